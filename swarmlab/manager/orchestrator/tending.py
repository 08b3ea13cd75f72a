"""One slot, looked after: whatever is not as it should be is put right, as one group of changes."""

import random
from collections.abc import Sequence
from typing import NamedTuple

from swarmlab.api import Action, Create, Instant, Task, TaskState, Update, after
from swarmlab.component import Record
from swarmlab.manager.orchestrator.blueprint import raised
from swarmlab.manager.orchestrator.charge import Charge
from swarmlab.manager.orchestrator.moves import MOVE_CANCELLED, MOVE_FAILED, MOVE_TIMEOUT, MOVED, ended, halves
from swarmlab.manager.orchestrator.restart import may_restart, starts_at
from swarmlab.manager.orchestrator.slots import (
    SlotKey,
    age,
    created_at,
    is_displaced,
    is_live,
    is_over,
)
from swarmlab.store import Snapshot


class Tended(NamedTuple):
    """What a look at a slot gave."""

    #: All or nothing.
    actions: tuple[Action, ...] = ()
    records: tuple[Record, ...] = ()
    #: When to look again if nothing else happens.
    again: Instant | None = None
    #: No task serves the slot or is to serve it.
    vacant: bool = False
    #: More than one live task is left: one of them will have to go when another runs.
    doubled: bool = False


def tend(key: SlotKey, slot: Sequence[Task], charge: Charge, ids: random.Random, *, replaceable: bool = True) -> Tended:
    """Restart what ended or lost its node, release what waited long enough, shut down what is too many.

    Args:
        key: The slot.
        slot: All its tasks, oldest first.
        charge: Its service.
        ids: For new tasks.
        replaceable: False: what ends here is not replaced.
    """
    move = halves(slot)
    if move is not None:
        return _tend_move(*move, slot, charge)
    return _Look(key, slot, charge).result(ids, replaceable=replaceable)


class _Look:
    """The live tasks of a slot by what is to become of them."""

    def __init__(self, key: SlotKey, slot: Sequence[Task], charge: Charge) -> None:
        self._key = key
        self._slot = slot
        self._charge = charge
        self._again: Instant | None = None
        #: Ended or must leave their node.
        gone: list[Task] = []
        #: Ended while they still waited for their start, and wait on.
        waiting: list[Task] = []
        standing: list[Task] = []
        for task in slot:
            if not is_live(task):
                continue
            if charge.is_done(task):
                standing.append(task)
            elif is_over(task):
                (waiting if self._is_early(task) else gone).append(task)
            elif is_displaced(charge.view, task):
                gone.append(task)
            else:
                standing.append(task)
        #: A job's slot that is done for good needs no other task.
        self._is_done = any(charge.is_done(task) for task in slot)
        kept = [task for task in kept_of(standing, charge) if not self._is_done or charge.is_done(task)]
        #: One task too many, or one that another has taken over from.
        surplus = [task for task in standing if task not in kept]
        self._has_clean = any(not charge.is_dirty(task) for task in kept)
        if self._has_clean or self._is_done:
            gone, waiting = gone + waiting, []
        self._gone, self._waiting, self._kept, self._surplus = gone, waiting, kept, surplus

    def _is_early(self, task: Task) -> bool:
        """Whether a task that ended may not be restarted yet, because its own start is still to come."""
        if task.desired_state != TaskState.READY:
            return False
        return self._comes(starts_at(task, self._slot, self._charge.view))

    def _comes(self, at: Instant) -> bool:
        """Whether `at` is still to come; then it is a moment to look again."""
        if at <= self._charge.now:
            return False
        self._again = at if self._again is None else min(at, self._again)
        return True

    def result(self, ids: random.Random, *, replaceable: bool) -> Tended:
        charge = self._charge
        records: list[Record] = []
        replaced = self._to_replace() if replaceable else None
        if replaced is not None and not charge.start_first:
            # The old task may have stayed for as long as the rules were others.
            self._surplus, self._kept = self._surplus + self._kept, []
        stopped = sorted(self._gone + self._surplus, key=age)
        actions: list[Action] = [Update(raised(task, TaskState.SHUTDOWN)) for task in stopped]
        if replaced is not None:
            task = charge.blueprint.task(ids, self._key, TaskState.READY)
            actions.append(Create(task))
            records.append(_restarted(self._key, replaced, task, charge.view))
        if not self._surplus:
            # What is shut down here is to stop before another starts in its place; that shows at the next look.
            actions += [
                Update(raised(task, charge.goal))
                for task in self._kept
                if task.desired_state < charge.goal and not self._comes(starts_at(task, self._slot, charge.view))
            ]
        live = len(self._kept) + len(self._waiting) + (replaced is not None)
        return Tended(tuple(actions), tuple(records), self._again, vacant=live == 0, doubled=live > 1)

    def _to_replace(self) -> Task | None:
        """The task that a restart replaces, if there is to be one."""
        if not self._gone or self._has_clean or self._waiting or self._is_done:
            return None
        clean = [task for task in self._gone if not self._charge.is_dirty(task)]
        if self._kept and not clean:
            return None
        last = max(clean or self._gone, key=age)
        return last if may_restart(last, self._slot, job=self._charge.mode.is_job) else None


def kept_of(standing: Sequence[Task], charge: Charge) -> list[Task]:
    """Those of a slot's tasks that stay: the best clean one and, start-first, the best old one until that one runs."""
    if len(standing) < 2:
        return list(standing)
    clean = [task for task in standing if not charge.is_dirty(task)]
    if not clean:
        return [best(standing, charge)]
    chosen = best(clean, charge)
    old = [task for task in standing if task not in clean]
    if not old or not charge.start_first or chosen.status.state >= TaskState.RUNNING:
        return [chosen]
    return sorted([chosen, best(old, charge)], key=age)


def best(tasks: Sequence[Task], charge: Charge) -> Task:
    """The task to keep: one that may run, the furthest of those, the oldest of those."""
    return min(tasks, key=lambda task: (task.desired_state < charge.goal, -task.status.state, age(task)))


def is_at_rest(slot: Sequence[Task], charge: Charge) -> bool:
    """Whether a slot without live tasks is left so: its last task ended and its restart policy leaves it at that.

    So is the slot of a job that is done. Not in a rollback, which must end with what ran before. Tasks that were to be
    removed say nothing about the slot; moves that came to nothing are among those.
    """
    if charge.rolling_back:
        return False
    if any(charge.is_done(task) for task in slot):
        return True
    last = last_served(slot)
    return last is not None and not may_restart(last, slot, job=charge.mode.is_job)


def last_served(slot: Sequence[Task]) -> Task | None:
    """The newest task that served the slot for its own sake."""
    served = [task for task in slot if task.desired_state < TaskState.REMOVE]
    return served[-1] if served else None


def renew(key: SlotKey, slot: Sequence[Task], charge: Charge, ids: random.Random) -> tuple[Action, ...]:
    """A new task in place of dirty ones: with them still running, start-first, or after they have stopped.

    Nothing, where a live task of the slot is clean already.
    """
    live = [task for task in slot if is_live(task)]
    if any(not charge.is_dirty(task) for task in live):
        return ()
    stopped = live
    if charge.start_first and live:
        keep = best(live, charge)
        stopped = [task for task in live if task is not keep]
    waits = bool(live) and not charge.start_first
    new = charge.blueprint.task(ids, key, TaskState.READY if waits else charge.goal)
    return (*(Update(raised(task, TaskState.SHUTDOWN)) for task in stopped), Create(new))


def _tend_move(new: Task, old: Task, slot: Sequence[Task], charge: Charge) -> Tended:
    """The next step of a move under way."""
    view, now = charge.view, charge.now
    limit = after(created_at(new), MOVE_TIMEOUT)

    def end(outcome: str, stopped: Sequence[tuple[Task, TaskState]], why: str = "") -> Tended:
        records = (ended(outcome, new, old, now, why),)
        return Tended(tuple(Update(raised(task, state)) for task, state in stopped), records)

    if is_over(new) and new.status.state != TaskState.ORPHANED:
        return end(MOVE_FAILED, [(new, TaskState.REMOVE)], _why_over(new))
    if is_over(new) or is_displaced(view, new):
        return end(MOVE_FAILED, [(new, TaskState.REMOVE)], "the target node was lost")
    if is_over(old) or is_displaced(view, old):
        stopped = [(old, TaskState.SHUTDOWN)]
        if not may_restart(old, slot):
            stopped.append((new, TaskState.REMOVE))
        return end(MOVE_CANCELLED, stopped, "the old task ended, or lost its node, first")
    if new.status.state == TaskState.RUNNING:
        return end(MOVED, [(old, TaskState.SHUTDOWN)])
    if charge.is_dirty(old) or charge.is_dirty(new):
        return end(MOVE_CANCELLED, [(new, TaskState.REMOVE)], "the service was updated")
    if now >= limit:
        return end(MOVE_FAILED, [(new, TaskState.REMOVE)], "the new task did not run in time")
    return Tended(again=limit, doubled=True)


def _restarted(key: SlotKey, old: Task, new: Task, view: Snapshot) -> Record:
    return Record(
        "restarted",
        {
            "service": key.service,
            "slot": key.number,
            "task": old.id,
            "new_task": new.id,
            "node": old.node_id,
            "why": _why_over(old) if is_over(old) else _why_displaced(view, old),
        },
    )


def _why_over(task: Task) -> str:
    detail = task.status.err or task.status.message
    return f"{task.status.state.name}: {detail}" if detail else task.status.state.name


def _why_displaced(view: Snapshot, task: Task) -> str:
    node = view.node(task.node_id)
    if node is None:
        return "its node was removed"
    return f"its node is {node.status.state.name}, {node.spec.availability.name}"


__all__ = ["Tended", "best", "is_at_rest", "kept_of", "last_served", "renew", "tend"]
