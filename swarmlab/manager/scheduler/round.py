"""One round of decisions: from what waits to changes of tasks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace

from swarmlab.api import (
    Action,
    GenericResource,
    NodeId,
    Shortage,
    Task,
    TaskId,
    TaskState,
    TaskStatus,
    Update,
    Volume,
    VolumeAttachment,
    VolumePublishState,
    VolumePublishStatus,
)
from swarmlab.component import Record
from swarmlab.manager.orchestrator.moves import MOVE_FROM, MOVE_REASON
from swarmlab.manager.scheduler.columns import Columns
from swarmlab.manager.scheduler.demand import cluster_mounts, group_of_tasks
from swarmlab.manager.scheduler.generic import claims, holdings, joined
from swarmlab.manager.scheduler.journal import Journal, Judgement, judged
from swarmlab.manager.scheduler.shortages import explained, shortages
from swarmlab.manager.scheduler.view import View
from swarmlab.manager.scheduler.volumes import Use, with_use
from swarmlab.manager.scheduler.waiting import Batch, Waiting, batches
from swarmlab.plugin import Decision, Group, Host, Placement, Proof, Refusals, Strategy

ASSIGNED = "scheduler assigned task to node"
CONFIRMED = "scheduler confirmed task can run on preassigned node"
ENDED = "task was told to stop before it had a node"


class Round:
    """All that is decided on one view. Nothing of it is real before it is committed."""

    def __init__(self, columns: Columns, view: View, host: Host, journal: Journal) -> None:
        self._columns = columns
        self._view = view
        self._snapshot = view.snapshot
        self._host = host
        self._journal = journal
        self._now = view.now
        #: One group of actions for each task.
        self.actions: list[tuple[Action, ...]] = []
        self.records: list[Record] = []
        #: For observers, once they are committed; none where nobody observes.
        self.decisions: list[Decision] = []
        #: {(row, kind): units given to tasks of this round}
        self._given: dict[tuple[int, str], dict[str, int]] = {}
        #: Cluster volumes as this round has changed them, and their uses.
        self._volumes: dict[str, Volume] = {}
        self._uses = view.uses

    def decide(self, waiting: Waiting) -> None:
        """Bound tasks first, then all that may go anywhere, then moves, which are wishes only."""
        for name in sorted(waiting.ending):
            self._end(name)
        for batch in batches(waiting.bound, self._snapshot):
            self._confirm(batch, waiting)
        self._place(batches(waiting.free, self._snapshot), waiting)
        for name in sorted(waiting.moving):
            self._move(name, waiting.moving[name])

    def _end(self, name: TaskId) -> None:
        """Nobody else ends a task that never had a node, and a stop-first update waits for it."""
        task = self._snapshot.task(name)
        if task is not None:
            status = TaskStatus(state=TaskState.SHUTDOWN, timestamp=self._now, message=ENDED)
            self.actions.append((Update(replace(task, status=status)),))
            self.records.append(Record("ended", {"task": name, "service": task.service_annotations.name}))

    def _confirm(self, batch: Batch, waiting: Waiting) -> None:
        """Say yes or no to the nodes that tasks are bound to."""
        group = self._group(batch, waiting)
        if group is None:
            return
        before = self._view
        left = before.capacity(group).tolist()
        placed: list[tuple[Task, int]] = []
        refused: list[tuple[Task, int]] = []
        for task in batch.tasks:
            place = before.nodes.index(task.node_id)
            if place is None:
                continue  # Its node is gone, and soon the task is.
            if left[place] > 0:
                left[place] -= 1
                placed.append((task, place))
            else:
                refused.append((task, place))
        if placed:
            placement = Placement.of(group.id, before.capacity(group) - np.array(left, np.int64))
            self._take(group, placement, placed, CONFIRMED, None)
            self._record("confirmed", group, None, placement, len(refused))
        if refused:
            found = self._view.refusals(group)
            texts = {place: _bare(found, place) for _, place in refused}
            self._hold(group, [(task, texts[place]) for task, place in refused], shortages(found), None)

    def _place(self, queue: Sequence[Batch], waiting: Waiting) -> None:
        """Have the strategy place all groups at once."""
        groups: dict[str, Group] = {}
        left: dict[str, Sequence[Task]] = {}
        for batch in queue:
            group = self._group(batch, waiting)
            if group is not None:
                groups[group.id], left[group.id] = group, batch.tasks
        if not groups:
            return
        asked = sorted(groups.values(), key=lambda group: -group.priority)
        plan, strategy = self._host.place(asked, self._view)
        if plan.proof is not None:
            self.records.append(Record("proof", {"strategy": strategy.name, **_told(plan.proof)}))
        for placement in plan.placements:
            group = groups[placement.group]
            tasks, left[group.id] = left[group.id][: placement.total], left[group.id][placement.total :]
            places = np.repeat(placement.nodes, placement.counts).tolist()
            self._take(group, placement, list(zip(tasks, places, strict=True)), ASSIGNED, strategy, plan.proof)
            self._record("placed", group, strategy, placement, len(left[group.id]))
        for group in asked:
            if left[group.id]:
                found = shortages(self._view.refusals(group))
                if self._view.capacity(group).any():
                    found = (Shortage(strategy.name, f"strategy {strategy.name} held it back", 0), *found)
                text = explained(found)
                self._hold(group, [(task, text) for task in left[group.id]], found, strategy)

    def _move(self, name: TaskId, to: NodeId) -> None:
        """Place the new half of a move where it was wished to, or drop it."""
        task = self._snapshot.task(name)
        if task is None:
            return
        service = self._snapshot.service(task.service_id)
        group = self._view.know(group_of_tasks(f"move:{name}", task, service, 1))
        place = self._view.nodes.index(to)
        labels = task.annotations.labels
        told = {"task": labels.get(MOVE_FROM, ""), "new_task": name, "to": to, "reason": labels.get(MOVE_REASON, "")}
        if place is not None and self._view.capacity(group)[place] > 0:
            placement = Placement(group.id, np.array([place], np.int64), np.array([1], np.int64))
            self._take(group, placement, [(task, place)], ASSIGNED, None)
            self.records.append(Record("move-placed", {"service": group.service_name, **told}))
            return
        why = "the node is gone" if place is None else _bare(self._view.refusals(group), place)
        status = replace(task.status, timestamp=self._now, err=f"move dropped: {why}")
        self.actions.append((Update(replace(task, desired_state=TaskState.REMOVE, status=status)),))
        self.records.append(Record("move-dropped", {"service": group.service_name, **told, "why": why}))

    def _group(self, batch: Batch, waiting: Waiting) -> Group | None:
        """The group of the batch; None, and nobody waits any more, when its service is gone."""
        first = batch.tasks[0]
        service = self._snapshot.service(first.service_id) if first.service_id else None
        if first.service_id and service is None:
            for task in batch.tasks:
                waiting.forget(task.id)
            return None
        return self._view.know(group_of_tasks(batch.id, first, service, len(batch.tasks)))

    def _take(
        self,
        group: Group,
        placement: Placement,
        placed: list[tuple[Task, int]],
        message: str,
        strategy: Strategy | None,
        proof: Proof | None = None,
    ) -> None:
        """Give tasks their nodes, and go on with the branch after it."""
        standing = self._host.standing(strategy, group, self._view) if strategy is not None else None
        judgement = judged(self._view, group, placement, _name(strategy), standing, proof)
        self._journal.note(judgement, (task for task, _ in placed))
        self._view = self._view.after(placement)
        ids = self._view.nodes.ids
        status = TaskStatus(state=TaskState.ASSIGNED, timestamp=self._now, message=message)
        plain = not group.reservation.generic and not cluster_mounts(group.spec)
        for task, place in placed:
            if plain:
                new = replace(task, node_id=ids[place], status=status)
                self.actions.append((Update(new),))
            else:
                self._assign(group, task, ids[place], status)
        if self._host.observed:
            pairs = sorted((task.id, ids[place]) for task, place in placed)
            self.decisions.append(self._decision(group, strategy, tuple(pairs), (), ()))

    def _assign(self, group: Group, task: Task, node: NodeId, status: TaskStatus) -> None:
        """Give a task its node, units of generic resources and cluster volumes."""
        volumes = self._view.volumes_for(group, node, self._uses)
        assert volumes is not None, f"the plan puts task {task.id} on node {node}, where a volume is missing"
        new = replace(
            task,
            node_id=node,
            status=status,
            assigned_generic_resources=self._claim(group, node),
            volumes=volumes,
        )
        self.actions.append((Update(new), *self._publish(group, task.id, node, volumes)))

    def _claim(self, group: Group, node: NodeId) -> tuple[GenericResource, ...]:
        row = self._columns.rows[node]
        needs = group.reservation.generic
        held = {
            kind: joined(self._columns.held.get((row, kind), {}), self._given.get((row, kind), {})) for kind in needs
        }
        units = claims(needs, self._columns.stocks.get(row, {}), held)
        assert units is not None, f"the plan puts a task of {group.id} on node {node}, which has too few units for it"
        for kind, given in holdings(units).items():
            self._given[row, kind] = joined(self._given.get((row, kind), {}), given)
        return tuple(units)

    def _publish(self, group: Group, task: TaskId, node: NodeId, given: Sequence[VolumeAttachment]) -> list[Action]:
        """Note the uses, and ask for the volumes to come to the node where they are not there yet."""
        readonly = {(mount.source, mount.target): mount.readonly for mount in cluster_mounts(group.spec)}
        actions: list[Action] = []
        for attachment in given:
            use = Use(node, readonly[attachment.source, attachment.target])
            self._uses = with_use(self._uses, attachment.id, task, use)
            volume = self._volumes.get(attachment.id) or self._snapshot.get(Volume, attachment.id)
            if volume is not None and all(status.node_id != node for status in volume.publish_status):
                wanted = VolumePublishStatus(node_id=node, state=VolumePublishState.PENDING_PUBLISH)
                volume = replace(volume, publish_status=(*volume.publish_status, wanted))
                self._volumes[volume.id] = volume
                actions.append(Update(volume))
        return actions

    def _hold(
        self, group: Group, tasks: Sequence[tuple[Task, str]], found: tuple[Shortage, ...], strategy: Strategy | None
    ) -> None:
        """Leave tasks pending, each with its text; what has that text already is not written."""
        judgement = Judgement(
            version=self._view.version, at=self._now, strategy=_name(strategy), group=group.id, shortages=found
        )
        self._journal.note(judgement, (task for task, _ in tasks))
        changed = [(task, text) for task, text in tasks if task.status.err != text]
        for task, text in changed:
            status = replace(task.status, timestamp=self._now, err=text)
            self.actions.append((Update(replace(task, status=status)),))
        if not changed:
            return
        fields = _about(group, strategy)
        fields["tasks"] = len(tasks)
        fields["shortages"] = {shortage.text: shortage.nodes for shortage in found}
        self.records.append(Record("pending", fields))
        if self._host.observed:
            names = tuple(sorted(task.id for task, _ in tasks))
            self.decisions.append(self._decision(group, strategy, (), names, found))

    def _record(self, name: str, group: Group, strategy: Strategy | None, placement: Placement, pending: int) -> None:
        """The line of the decision log: tasks per node."""
        ids = self._view.nodes.ids
        fields = _about(group, strategy)
        fields["tasks"] = placement.total
        fields["pending"] = pending
        fields["nodes"] = {
            ids[place]: count for place, count in zip(placement.nodes.tolist(), placement.counts.tolist(), strict=True)
        }
        self.records.append(Record(name, fields))

    def _decision(
        self,
        group: Group,
        strategy: Strategy | None,
        placed: tuple[tuple[TaskId, NodeId], ...],
        pending: tuple[TaskId, ...],
        found: tuple[Shortage, ...],
    ) -> Decision:
        return Decision(
            version=self._view.version,
            at=self._now,
            strategy=_name(strategy),
            group=group.id,
            service=group.service,
            service_name=group.service_name,
            spec_version=group.spec_version,
            placed=placed,
            pending=pending,
            shortages=found,
        )


def _name(strategy: Strategy | None) -> str:
    """Empty where no strategy was asked."""
    return strategy.name if strategy is not None else ""


def _told(proof: Proof) -> dict[str, Any]:
    return {
        "goal": proof.goal,
        "value": proof.value,
        "bound": proof.bound,
        "gap": proof.gap,
        "start": proof.start,
        "outcome": proof.outcome,
        "why": proof.why,
    }


def _about(group: Group, strategy: Strategy | None) -> dict[str, Any]:
    return {"strategy": _name(strategy), "group": group.id, "service": group.service_name}


def _bare(refused: Sequence[Refusals], place: int) -> str:
    """Why one node will not do."""
    alone = [replace(refusal, mask=refusal.mask[place : place + 1]) for refusal in refused]
    text = "; ".join(shortage.text for shortage in shortages(alone) if shortage.nodes)
    return text or "no room beside the other tasks of its kind"
