"""Global services: one task for each node that suits."""

from collections.abc import Sequence

from swarmlab.api import (
    Action,
    Availability,
    Change,
    ChangeKind,
    Create,
    Delete,
    Instant,
    Mode,
    Node,
    ServiceId,
    Task,
    TaskState,
    Update,
)
from swarmlab.manager.orchestrator.blueprint import raised
from swarmlab.manager.orchestrator.charge import Charge
from swarmlab.manager.orchestrator.desk import Entry
from swarmlab.manager.orchestrator.keeper import Keeper, recorded
from swarmlab.manager.orchestrator.slots import SlotKey, age, is_live, node_keeps_tasks
from swarmlab.manager.orchestrator.tending import Tended, is_at_rest, last_served, tend
from swarmlab.manager.orchestrator.update import Rollout
from swarmlab.store import Snapshot


class GlobalOrchestrator(Keeper):
    """Creates, restarts and updates the tasks of global services. Lives for one leader term.

    A slot is a node. Every node that is neither DOWN nor DRAIN and meets the constraints has one task; on a paused one
    it stays as it is.
    """

    name = "global"
    modes = frozenset({Mode.GLOBAL})

    def _reset(self, view: Snapshot) -> None:
        super()._reset(view)
        #: {service: tasks that this pass makes for nodes that had none}
        self._fresh: dict[ServiceId, list[Task]] = {}

    def _hear_node(self, change: Change, node: Node) -> None:
        """Mark the node's slot of every service, where something changed that decides about tasks."""
        old = change.old
        assert old is None or isinstance(old, Node)
        if change.kind == ChangeKind.UPDATED and old is not None and not _decides(node, old):
            return
        self._slots.update(SlotKey(service_id, 0, node.id) for service_id in self._own)

    def _reconcile(self, charge: Charge) -> list[Entry[SlotKey]]:
        service_id = charge.service.id
        slots: dict[SlotKey, list[Task]] = {}
        for task in self._view.tasks_of(service_id):
            slots.setdefault(SlotKey(service_id, 0, task.node_id), []).append(task)
        for tasks in slots.values():
            tasks.sort(key=age)
        nodes = [SlotKey(service_id, 0, node.id) for node in self._view.nodes()]
        self._slots.update(slots)
        self._slots.update(nodes)
        kept = [key for key in nodes if key in slots and self._takes(key, charge)]
        dirty = [key for key in kept if _is_dirty(slots[key], charge)]
        self._sync_rollout(charge, dirty, {key: slots[key] for key in kept})
        return []

    def _takes(self, key: SlotKey, charge: Charge) -> bool:
        """The node is to have an up-to-date task of the service."""
        node = self._view.node(key.node)
        return (
            node is not None
            and node_keeps_tasks(node)
            and node.spec.availability == Availability.ACTIVE
            and charge.suits(node)
        )

    def _look(self, key: SlotKey, slot: Sequence[Task], charge: Charge) -> Tended:
        node = self._view.node(key.node)
        if node is None:
            return Tended(tuple(Delete(Task, task.id) for task in slot))
        if not node_keeps_tasks(node) or not charge.suits(node):
            stopped: list[Action] = [Update(raised(task, TaskState.SHUTDOWN)) for task in slot if is_live(task)]
            return Tended(tuple(stopped))
        takes = node.spec.availability == Availability.ACTIVE
        tended = tend(key, slot, charge, self._ids, replaceable=takes)
        if takes and not tended.actions:
            if tended.vacant and not is_at_rest(slot, charge):
                task = charge.blueprint.task(self._ids, key)
                self._fresh.setdefault(key.service, []).append(task)
                return Tended((Create(task),))
            self._admit(key, slot, charge)
        return tended

    def _pass(self, now: Instant) -> list[Entry[SlotKey]]:
        entries = super()._pass(now)
        return recorded(entries, self._fresh, self._view)

    def _admit(self, key: SlotKey, slot: Sequence[Task], charge: Charge) -> None:
        """Have a slot updated that turned out to be dirty: its node was paused or down during the update.

        Not while the update is paused; that is seen when it is carried on.
        """
        if not _is_dirty(slot, charge):
            return
        rollout = self._rollouts.get(key.service)
        if rollout is None:
            rollout = self._rollouts[key.service] = Rollout(charge)
        rollout.admit(key)
        self._rolling.add(key.service)

    def _may_renew(self, key: SlotKey, charge: Charge) -> bool:
        return self._takes(key, charge)


def _is_dirty(slot: Sequence[Task], charge: Charge) -> bool:
    """All that serves the slot is dirty; a slot without any task is not."""
    live = [task for task in slot if is_live(task)]
    if live:
        return all(charge.is_dirty(task) for task in live)
    last = last_served(slot)
    return last is not None and is_at_rest(slot, charge) and charge.is_dirty(last)


def _decides(node: Node, old: Node) -> bool:
    """Something changed on which it depends whether the node has tasks."""
    return (
        node.status.state != old.status.state
        or node.spec != old.spec
        or node.role != old.role
        or node.status.addr != old.status.addr
        or node.description != old.description
    )
