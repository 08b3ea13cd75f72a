"""What the orchestrators of all modes share: marks made by commits, and passes over what is marked."""

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence

from swarmlab.api import (
    Change,
    ChangeKind,
    Create,
    Instant,
    Mode,
    Node,
    Service,
    ServiceId,
    Task,
    TaskId,
    TaskState,
    Update,
    UpdateState,
)
from swarmlab.component import Effect, Event, Proposed, Record, TimerFired
from swarmlab.manager.orchestrator.charge import Charge, Charges
from swarmlab.manager.orchestrator.desk import AGENDA, RETRY, Agenda, Desk, Entry
from swarmlab.manager.orchestrator.moves import is_move
from swarmlab.manager.orchestrator.slots import (
    SlotKey,
    is_displaced,
    is_live,
    is_over,
    mode_if_any,
    node_is_lost,
    node_keeps_tasks,
    slot_of,
    tasks_at,
)
from swarmlab.manager.orchestrator.tending import Tended, best, is_at_rest, renew, tend
from swarmlab.manager.orchestrator.update import IN_PROGRESS, PAUSED, Rollout
from swarmlab.store import EMPTY, Committed, Led, Snapshot

#: In place of the number of a slot: the update of the service, and all of the service.
UPDATE = -1
EVERYTHING = -2


class Keeper(ABC):
    """Keeps the tasks of the services of some modes as they should be. Lives for one leader term.

    Commits mark services and slots; a pass looks at what is marked and proposes all of it at once. What it knows beside
    the view is derived from it: which services are its own, which slots have two live tasks, how far updates are.
    """

    name = ""
    modes: frozenset[Mode] = frozenset()

    def __init__(self, ids: random.Random) -> None:
        self._ids = ids
        self._desk: Desk[SlotKey] = Desk()
        self._reset(EMPTY)

    def _reset(self, view: Snapshot) -> None:
        """Know nothing but the view."""
        self._view = view
        self._desk.reset()
        self._agenda: Agenda[SlotKey] = Agenda()
        #: {service of these modes: its mode}
        self._own: dict[ServiceId, Mode] = {}
        self._rollouts: dict[ServiceId, Rollout] = {}
        #: Slots with more than one live task; when one of those runs, the other may have to go.
        self._doubled: set[SlotKey] = set()
        #: Tasks that the proposal on its way makes or changes, and those of them whose slots are done with then.
        self._sent: set[TaskId] = set()
        self._removing: set[TaskId] = set()
        # What is marked: services to reconcile, slots to tend, updates to carry on.
        self._services: set[ServiceId] = set()
        self._slots: set[SlotKey] = set()
        self._rolling: set[ServiceId] = set()
        #: Records of what commits brought about.
        self._heard: list[Record] = []

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """React to a commit, the answer to a proposal, or a moment that was waited for."""
        effects: list[Effect] = []
        match event:
            case Committed(view=view, changes=changes):
                self._view = view
                self._hear(changes, now)
            case Led(view=view):
                self._reset(view)
                self._begin_term()
            case Proposed():
                settled = self._desk.settle(event, now)
                self._sent.clear()
                self._removing.clear()
                self._mark(settled.again)
                effects += settled.effects
            case TimerFired(name=name) if name == RETRY:
                self._desk.resume()
            case TimerFired(name=name) if name == AGENDA:
                self._agenda.fired()
            case _ if self._hear_other(event):
                pass
            case _:
                return ()
        self._mark(self._agenda.take(now))
        if not self._desk.busy:
            effects += self._work(now)
        effects += self._heard
        self._heard = []
        return [*effects, *self._agenda.timer()]

    def _hear_other(self, event: Event) -> bool:
        """Take an event of one mode's own; whether it was one."""
        del event
        return False

    def _begin_term(self) -> None:
        for service in self._view.services():
            mode = mode_if_any(service)
            if mode in self.modes:
                self._own[service.id] = mode
                self._services.add(service.id)

    def _mark(self, keys: Iterable[SlotKey]) -> None:
        for key in keys:
            if key.service not in self._own:
                continue
            if key.number == UPDATE:
                self._rolling.add(key.service)
            elif key.number == EVERYTHING:
                self._services.add(key.service)
            else:
                self._slots.add(key)

    # --- what commits say

    def _hear(self, changes: Iterable[Change], now: Instant) -> None:
        own = self._own
        for change in changes:
            obj = change.object
            if type(obj) is Task:
                mode = own.get(obj.service_id)
                if mode is not None:
                    self._hear_task(change, obj, mode, now)
            elif type(obj) is Node:
                self._hear_node(change, obj)
            elif type(obj) is Service:
                self._hear_service(change, obj)

    def _hear_task(self, change: Change, task: Task, mode: Mode, now: Instant) -> None:
        key = slot_of(task, mode)
        old = change.old
        assert old is None or isinstance(old, Task)
        if task.service_id in self._rollouts and self._tell_rollout(key, change, task, old, now):
            self._slots.add(key)
        if change.kind == ChangeKind.REMOVED:
            if is_live(task) or key in self._agenda:
                self._slots.add(key)
        elif old is None:
            if task.id not in self._sent:
                # Somebody else's: of an earlier term perhaps, and committed only now.
                self._services.add(task.service_id)
                self._slots.add(key)
            elif task.desired_state == TaskState.READY or is_move(task):
                self._slots.add(key)
        elif self._matters(key, task, old):
            self._slots.add(key)
            if is_live(old) and not is_live(task) and task.id not in self._sent:
                self._hear_given_up(task, now)

    def _matters(self, key: SlotKey, task: Task, old: Task) -> bool:
        """Whether a task changed in a way that asks for a look at its slot."""
        state, before = task.status.state, old.status.state
        if state != before:
            if is_over(task) and not is_over(old):
                return is_live(task) or key in self._agenda
            if state == TaskState.RUNNING and key in self._doubled:
                return True
        if task.desired_state != old.desired_state and not is_live(task):
            return task.id not in self._removing
        return task.node_id != old.node_id and is_displaced(self._view, task)

    def _hear_given_up(self, task: Task, now: Instant) -> None:  # noqa: B027 - not every mode has something to do here
        """Somebody else gave a task up that was wanted."""

    def _tell_rollout(self, key: SlotKey, change: Change, task: Task, old: Task | None, now: Instant) -> bool:
        """Let the update under way learn from a change; whether it did."""
        rollout = self._rollouts[key.service]
        if change.kind == ChangeKind.REMOVED:
            rollout.hear_gone(key, task, tasks_at(self._view, key))
        elif rollout.concerns(key, task, old):
            rollout.hear(key, task, old, tasks_at(self._view, key), now)
        else:
            return False
        self._rolling.add(key.service)
        return True

    def _hear_node(self, change: Change, node: Node) -> None:
        """Mark what the loss or the drain of a node concerns; one that comes back changes nothing here."""
        old = change.old
        assert old is None or isinstance(old, Node)
        now = None if change.kind == ChangeKind.REMOVED else node
        if node_keeps_tasks(now) or (not node_keeps_tasks(old) and node_is_lost(old) == node_is_lost(now)):
            return
        for task in self._view.tasks_on(node.id):
            mode = self._own.get(task.service_id)
            if mode is not None:
                self._slots.add(slot_of(task, mode))

    def _hear_service(self, change: Change, service: Service) -> None:
        if change.kind == ChangeKind.REMOVED:
            if self._own.pop(service.id, None) is not None:
                self._forget(service.id)
            return
        mode = mode_if_any(service)
        if mode not in self.modes:
            return
        self._own[service.id] = mode
        old = change.old
        assert old is None or isinstance(old, Service)
        if old is None or _is_asked_anew(service, old):
            self._services.add(service.id)
        elif service.update_status != old.update_status:
            self._rolling.add(service.id)

    def _forget(self, service_id: ServiceId) -> None:
        """The service is gone: nothing of it is looked at any more."""
        self._services.discard(service_id)
        self._rolling.discard(service_id)
        self._rollouts.pop(service_id, None)
        self._slots = {key for key in self._slots if key.service != service_id}
        self._doubled = {key for key in self._doubled if key.service != service_id}

    # --- what is done about it

    def _work(self, now: Instant) -> list[Effect]:
        while self._is_marked():
            entries = self._pass(now)
            if entries:
                self._sent = {
                    action.object.id
                    for entry in entries
                    for action in entry.actions
                    if isinstance(action, Create | Update) and isinstance(action.object, Task)
                }
                return self._desk.propose(entries)
        return []

    def _is_marked(self) -> bool:
        return bool(self._services or self._slots or self._rolling)

    def _pass(self, now: Instant) -> list[Entry[SlotKey]]:
        """Look at all that is marked; what has to wait for the outcome of something else stays marked."""
        charges = Charges(self._view, self._own, now)
        services, self._services = self._services, set()
        slots, self._slots = self._slots, set()
        rolling, self._rolling = self._rolling, set()
        entries: list[Entry[SlotKey]] = []
        #: Services that other changes were found for in this pass.
        changed: set[ServiceId] = set()
        for charge in charges.of(services):
            found = self._reconcile(charge)
            if found:
                changed.add(charge.service.id)
                entries += found
        touched: set[SlotKey] = set()
        for key in sorted(slots | self._slots):
            self._slots.discard(key)
            found_charge = charges.get(key.service)
            if key.service in changed:
                self._slots.add(key)
            elif found_charge is not None:
                entry = self._attend(key, found_charge)
                if entry is not None:
                    touched.add(key)
                    entries.append(entry)
        rolling |= self._rolling
        self._rolling = rolling & changed
        for charge in charges.of(rolling - changed):
            entries += self._advance(charge, touched)
        return entries

    @abstractmethod
    def _reconcile(self, charge: Charge) -> list[Entry[SlotKey]]:
        """Bring the number of the service's tasks in line, and mark those of its slots that need a look."""

    def _look(self, key: SlotKey, slot: Sequence[Task], charge: Charge) -> Tended:
        """What is to be done in one slot."""
        return tend(key, slot, charge, self._ids)

    def _attend(self, key: SlotKey, charge: Charge) -> Entry[SlotKey] | None:
        slot = self._tasks_at(key, charge)
        tended = self._look(key, slot, charge)
        self._agenda.put(key, tended.again)
        if tended.doubled:
            self._doubled.add(key)
        else:
            self._doubled.discard(key)
        if tended.vacant and not tended.actions and not is_at_rest(slot, charge):
            self._hear_vacant(key)
        if not tended.actions:
            return None
        return Entry(key, tended.actions, tended.records)

    def _tasks_at(self, key: SlotKey, charge: Charge) -> tuple[Task, ...]:
        """The tasks of a slot as far as they matter now, oldest first."""
        del charge
        return tasks_at(self._view, key)

    def _hear_vacant(self, key: SlotKey) -> None:  # noqa: B027
        """A slot is without a task, and should not be."""

    # --- updates

    def _sync_rollout(self, charge: Charge, dirty: Sequence[SlotKey], slots: Mapping[SlotKey, Sequence[Task]]) -> None:
        """Begin, carry on or give up the update of a service, now that its slots are known.

        Args:
            charge: The service.
            dirty: Slots whose tasks are all dirty.
            slots: The slots that it keeps, with their tasks, oldest first.
        """
        service_id = charge.service.id
        status = charge.service.update_status
        rollout = self._rollouts.get(service_id)
        if status is not None and status.state in PAUSED:
            self._end_rollout(service_id)
            return
        halfway = _halfway(slots, charge)
        if rollout is None or not rollout.continues(charge):
            if not dirty and not halfway and (status is None or status.state not in IN_PROGRESS):
                self._end_rollout(service_id)
                return
            rollout = self._rollouts[service_id] = Rollout(charge)
            rollout.resume(slots, charge)
        rollout.sync(charge, dirty, halfway, slots)
        self._rolling.add(service_id)

    def _end_rollout(self, service_id: ServiceId) -> None:
        self._rollouts.pop(service_id, None)
        self._agenda.put(SlotKey(service_id, UPDATE), None)

    def _advance(self, charge: Charge, touched: set[SlotKey]) -> list[Entry[SlotKey]]:
        """The next step of a service's update.

        Args:
            charge: The service.
            touched: Slots that something else is done to in this pass; they come later.
        """
        service = charge.service
        rollout = self._rollouts.get(service.id)
        if rollout is None:
            return []
        paused = service.update_status is not None and service.update_status.state in PAUSED
        if paused or not rollout.continues(charge):
            self._end_rollout(service.id)
            return []
        rollout.tick(charge.now)
        verdict = rollout.verdict(service, charge.now)
        if verdict is None and rollout.is_finished(charge.now):
            self._end_rollout(service.id)
            return []
        whole = SlotKey(service.id, UPDATE)
        self._agenda.put(whole, rollout.next_at())
        entries: list[Entry[SlotKey]] = []
        if verdict is not None:
            entries.append(Entry(whole, (Update(verdict.service),), (_status_record(verdict.service),)))
            if verdict.stops:
                return entries
        return entries + self._begin_slots(rollout, charge, touched)

    def _begin_slots(self, rollout: Rollout, charge: Charge, touched: set[SlotKey]) -> list[Entry[SlotKey]]:
        entries = []
        for key in rollout.startable():
            if key in touched:
                self._rolling.add(key.service)
                continue
            actions = renew(key, tasks_at(self._view, key), charge, self._ids) if self._may_renew(key, charge) else ()
            if actions:
                entries.append(Entry(SlotKey(key.service, UPDATE), actions))
            else:
                rollout.leave(key)
                self._rolling.add(key.service)
        return entries

    def _may_renew(self, key: SlotKey, charge: Charge) -> bool:
        """Whether the slot may be updated now."""
        del charge
        return bool(tasks_at(self._view, key))


def _halfway(slots: Mapping[SlotKey, Sequence[Task]], charge: Charge) -> dict[SlotKey, Task]:
    """The slots in which a new task, which does not run yet, is to take over from an old one; with that new task."""
    found = {}
    for key, tasks in slots.items():
        live = [task for task in tasks if is_live(task)] if len(tasks) > 1 else []
        clean = [task for task in live if not charge.is_dirty(task)]
        if len(live) > len(clean) > 0:
            chosen = best(clean, charge)
            if chosen.status.state < TaskState.RUNNING:
                found[key] = chosen
    return found


def recorded(entries: list[Entry[SlotKey]], fresh: dict[ServiceId, list[Task]], view: Snapshot) -> list[Entry[SlotKey]]:
    """The entries, with one record for each service of the tasks in `fresh`: new ones that replace nothing.

    `fresh` is empty then.
    """
    if not fresh:
        return entries
    firsts = {tasks[0].id: service_id for service_id, tasks in fresh.items()}
    for place, entry in enumerate(entries):
        action = entry.actions[-1]
        made = action.object if isinstance(action, Create) else None
        service_id = firsts.get(made.id) if isinstance(made, Task) else None
        if service_id is not None:
            service = view.service(service_id)
            name = service.spec.annotations.name if service is not None else ""
            fields = {"service": service_id, "name": name, "tasks": len(fresh[service_id])}
            entries[place] = entry._replace(records=(*entry.records, Record("created", fields)))
    fresh.clear()
    return entries


def _status_record(service: Service) -> Record:
    status = service.update_status
    assert status is not None
    return Record(
        "update",
        {
            "service": service.id,
            "name": service.spec.annotations.name,
            "state": status.state.name.lower().replace("_", "-"),
            "message": status.message,
        },
    )


def _is_asked_anew(service: Service, old: Service) -> bool:
    """The user, or a rollback, asked for something else; not just: something was noted about the service."""
    if service.spec_version != old.spec_version or (service.spec is not old.spec and service.spec != old.spec):
        return True
    if service.update_status is None and old.update_status is not None:
        return True
    return service.job_status != old.job_status or _is_rollback(service) != _is_rollback(old)


def _is_rollback(service: Service) -> bool:
    return service.update_status is not None and service.update_status.state == UpdateState.ROLLBACK_STARTED
