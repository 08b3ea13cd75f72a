"""Replicated services: so many tasks, each in a slot of its own."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from swarmlab.api import Action, Create, Instant, Mode, NodeId, ServiceId, Task, TaskId, TaskState, Update
from swarmlab.component import Event, Record
from swarmlab.manager.orchestrator.blueprint import raised
from swarmlab.manager.orchestrator.charge import Charge, Charges
from swarmlab.manager.orchestrator.desk import Entry
from swarmlab.manager.orchestrator.keeper import EVERYTHING, Keeper, recorded
from swarmlab.manager.orchestrator.moves import (
    MOVE_CANCELLED,
    MOVE_FROM,
    MovesWished,
    ended,
    halves,
    is_move,
    labels_of,
    objection,
    refused,
)
from swarmlab.manager.orchestrator.scaling import free_slots, kept_slots
from swarmlab.manager.orchestrator.slots import SlotKey, age, is_displaced, is_live, is_over, tasks_at
from swarmlab.manager.orchestrator.tending import is_at_rest, last_served
from swarmlab.plugin import Move
from swarmlab.store import Snapshot


class ReplicatedOrchestrator(Keeper):
    """Creates, restarts, updates and moves the tasks of replicated services. Lives for one leader term."""

    name = "replicated"
    modes = frozenset({Mode.REPLICATED})

    def _reset(self, view: Snapshot) -> None:
        super()._reset(view)
        #: Moves that are wished and not yet begun.
        self._wishes: list[Move] = []

    # --- how many

    def _reconcile(self, charge: Charge) -> list[Entry[SlotKey]]:
        spec = charge.service.spec
        wanted = spec.replicated.replicas if spec.replicated is not None else 0
        slots = self._slots_of(charge.service.id)
        serving = self._serving(slots, charge)
        kept = sorted(serving)
        entries: list[Entry[SlotKey]] = []
        if len(kept) > wanted:
            kept = kept_slots({number: _apart_from_moves(tasks) for number, tasks in serving.items()}, wanted)
            entries += self._cancel_moves([slots[number] for number in kept], charge.now)
        new = list(islice(free_slots(serving), max(0, wanted - len(serving))))
        left = set(slots) - set(kept) - set(new)
        entries += self._remove([slots[number] for number in sorted(left)], charge.now)
        entries += self._fill(new, charge)
        here = [SlotKey(charge.service.id, number) for number in kept]
        dirty = [key for key in here if all(charge.is_dirty(task) for task in serving[key.number])]
        self._sync_rollout(charge, dirty, {key: slots[key.number] for key in here})
        return entries

    def _slots_of(self, service_id: ServiceId) -> dict[int, list[Task]]:
        """{number: its tasks, oldest first}."""
        slots: dict[int, list[Task]] = {}
        for task in self._view.tasks_of(service_id):
            found = slots.get(task.slot)
            if found is None:
                slots[task.slot] = [task]
            else:
                found.append(task)
        for tasks in slots.values():
            if len(tasks) > 1:
                tasks.sort(key=age)
        return slots

    def _serving(self, slots: Mapping[int, Sequence[Task]], charge: Charge) -> dict[int, list[Task]]:
        """{number: the tasks that make the slot count}: the live ones, or the last one where it is not to be restarted.

        Slots in which more is to be seen than one task that does well are marked.
        """
        displaced: dict[NodeId, bool] = {}
        serving: dict[int, list[Task]] = {}
        for number, tasks in slots.items():
            live = [task for task in tasks if is_live(task)]
            if not live:
                last = last_served(tasks)
                if last is not None and is_at_rest(tasks, charge):
                    serving[number] = [last]
                continue
            serving[number] = live
            task = live[0]
            if task.node_id not in displaced:
                displaced[task.node_id] = is_displaced(self._view, task)
            if len(live) > 1 or is_over(task) or task.desired_state < charge.goal or displaced[task.node_id]:
                self._slots.add(SlotKey(charge.service.id, number))
        return serving

    def _fill(self, numbers: Sequence[int], charge: Charge) -> list[Entry[SlotKey]]:
        """New tasks for slots that have none."""
        if not numbers:
            return []
        everything = SlotKey(charge.service.id, EVERYTHING)
        blueprint = charge.blueprint
        tasks = [blueprint.task(self._ids, SlotKey(charge.service.id, number)) for number in numbers]
        entries = [Entry(everything, (Create(task),)) for task in tasks]
        return recorded(entries, {charge.service.id: tasks}, self._view)

    def _remove(self, slots: Iterable[Sequence[Task]], now: Instant) -> list[Entry[SlotKey]]:
        """Have all tasks of these slots stopped and deleted."""
        entries = []
        for tasks in slots:
            actions: list[Action] = [
                Update(raised(task, TaskState.REMOVE)) for task in tasks if task.desired_state < TaskState.REMOVE
            ]
            if actions:
                move = halves(tasks)
                records = () if move is None else (ended(MOVE_CANCELLED, *move, now, "the slot was removed"),)
                self._removing.update(task.id for task in tasks)
                entries.append(Entry(SlotKey(tasks[0].service_id, EVERYTHING), tuple(actions), records))
        return entries

    def _hear_vacant(self, key: SlotKey) -> None:
        self._services.add(key.service)

    # --- moves

    def _hear_other(self, event: Event) -> bool:
        if not isinstance(event, MovesWished):
            return False
        self._wishes += event.moves
        return True

    def _is_marked(self) -> bool:
        return bool(self._wishes) or super()._is_marked()

    def _pass(self, now: Instant) -> list[Entry[SlotKey]]:
        # Whatever else is to be done comes first; a move begins on what that leaves.
        entries = super()._pass(now)
        return entries or self._begin_moves(now)

    def _begin_moves(self, now: Instant) -> list[Entry[SlotKey]]:
        wishes, self._wishes = self._wishes, []
        charges = Charges(self._view, self._own, now)
        entries: dict[SlotKey, Entry[SlotKey]] = {}
        for move in wishes:
            task = self._view.task(move.task)
            key = SlotKey(task.service_id, task.slot) if task is not None else SlotKey(ServiceId(""))
            charge = charges.get(key.service)
            why = objection(move, tasks_at(self._view, key), charge, self._view)
            if why is None and key in entries:
                why = "its slot has another task already"
            if why is not None or charge is None:
                self._heard.append(refused(move, task, why or ""))
                continue
            new = charge.blueprint.task(self._ids, key, labels=labels_of(move))
            entries[key] = Entry(key, (Create(new),), (_begun(move, new, task),))
        return list(entries.values())

    def _cancel_moves(self, slots: Iterable[Sequence[Task]], now: Instant) -> list[Entry[SlotKey]]:
        """Take back the new halves of moves: with fewer slots, another plan would have been made."""
        entries = []
        for tasks in slots:
            move = halves(tasks)
            if move is not None:
                record = ended(MOVE_CANCELLED, *move, now, "the service was scaled down")
                actions = (Update(raised(move[0], TaskState.REMOVE)),)
                entries.append(Entry(SlotKey(tasks[0].service_id, EVERYTHING), actions, (record,)))
        return entries

    def _hear_given_up(self, task: Task, now: Instant) -> None:
        """Record the end of a move that somebody else took back, as the scheduler does when the target does not fit."""
        if not is_move(task):
            return
        old = self._view.task(TaskId(task.annotations.labels[MOVE_FROM]))
        if old is not None and is_live(old) and old.status.state == TaskState.RUNNING:
            why = task.status.err or "the target does not suit the task any more"
            self._heard.append(ended(MOVE_CANCELLED, task, old, now, why))


def _apart_from_moves(tasks: Sequence[Task]) -> Sequence[Task]:
    """The tasks of a slot without the new half of a move, which does not count until it runs."""
    move = halves(tasks)
    return tasks if move is None else [move[1]]


def _begun(move: Move, new: Task, old: Task | None) -> Record:
    return Record(
        "move-begun",
        {
            "service": new.service_id,
            "slot": new.slot,
            "task": move.task,
            "new_task": new.id,
            "from": old.node_id if old is not None else "",
            "to": move.to,
            "reason": move.reason,
        },
    )
