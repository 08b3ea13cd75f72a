"""Moves: a new task in the slot of an old one, on a node that somebody wished for.

The new task carries the move in its labels, so that all of a move's life can be read from the store. It is under way
while both tasks are live. It ends in one of three ways, each with a record:

* `moved`: the new task runs, and the old one is shut down;
* `move-failed`: the new task ended, lost its node or took too long; the old one stays;
* `move-cancelled`: it became pointless: the service changed, the old task ended, the target does not fit any more.
"""

from collections.abc import Mapping, Sequence

from swarmlab.api import MINUTE, Duration, Instant, Task, TaskState, UpdateState, between
from swarmlab.component import Event, Record
from swarmlab.manager.orchestrator.charge import Charge
from swarmlab.manager.orchestrator.slots import created_at, is_live, node_takes_tasks
from swarmlab.plugin import Move
from swarmlab.store import Snapshot

#: Labels of a task that is the new half of a move: the task that it replaces, the node it is for, and why.
MOVE_FROM = "swarmlab.move.from"
MOVE_TO = "swarmlab.move.to"
MOVE_REASON = "swarmlab.move.reason"

#: A new task that does not run by then is given up.
MOVE_TIMEOUT = Duration(10 * MINUTE)

MOVED = "moved"
MOVE_FAILED = "move-failed"
MOVE_CANCELLED = "move-cancelled"

_UPDATING = (UpdateState.UPDATING, UpdateState.ROLLBACK_STARTED)


class MovesWished(Event, frozen=True):
    """Somebody wants these moves made. Each is made, or refused with a record of the reason."""

    moves: tuple[Move, ...]


def is_move(task: Task) -> bool:
    """The task was made as the new half of a move."""
    return MOVE_FROM in task.annotations.labels


def labels_of(move: Move) -> Mapping[str, str]:
    """What marks the new task of the move."""
    return {MOVE_FROM: move.task, MOVE_TO: move.to, MOVE_REASON: move.reason}


def halves(slot: Sequence[Task]) -> tuple[Task, Task] | None:
    """The new and the old task of the move under way in a slot, if there is one: the two live ones, and no other."""
    live = [task for task in slot if is_live(task)]
    if len(live) != 2:
        return None
    for new, old in (live, live[::-1]):
        if new.annotations.labels.get(MOVE_FROM) == old.id:
            return new, old
    return None


def objection(move: Move, slot: Sequence[Task], charge: Charge | None, view: Snapshot) -> str | None:
    """Why the move cannot begin; None when it can.

    Args:
        move: What is wished.
        slot: The tasks of the slot of `move.task`.
        charge: The service of that task, where it is a replicated one.
        view: The cluster.
    """
    task = view.task(move.task)
    if task is None:
        return "the task is gone"
    if charge is None:
        return "only tasks of replicated services are moved"
    if task.status.state != TaskState.RUNNING or task.desired_state != TaskState.RUNNING:
        return f"the task is {task.status.state.name}, wanted {task.desired_state.name}"
    status = charge.service.update_status
    if (status is not None and status.state in _UPDATING) or charge.is_dirty(task):
        return "the service is being updated"
    if sum(map(is_live, slot)) != 1:
        return "its slot has another task already"
    if task.node_id == move.to:
        return "the task is there already"
    if not node_takes_tasks(view.node(move.to)):
        return "the target takes no tasks"
    return None


def refused(move: Move, task: Task | None, why: str) -> Record:
    """The record of a move that did not begin."""
    return Record(
        MOVE_CANCELLED,
        {
            "service": task.service_id if task is not None else "",
            "slot": task.slot if task is not None else 0,
            "task": move.task,
            "new_task": "",
            "from": task.node_id if task is not None else "",
            "to": move.to,
            "reason": move.reason,
            "why": why,
            "seconds": 0.0,
        },
    )


def ended(outcome: str, new: Task, old: Task | None, now: Instant, why: str = "") -> Record:
    """The record of the end of a move; `seconds` is its length."""
    labels = new.annotations.labels
    return Record(
        outcome,
        {
            "service": new.service_id,
            "slot": new.slot,
            "task": labels.get(MOVE_FROM, ""),
            "new_task": new.id,
            "from": old.node_id if old is not None else "",
            "to": labels.get(MOVE_TO, ""),
            "reason": labels.get(MOVE_REASON, ""),
            "why": why,
            "seconds": between(created_at(new), now) / 1e9,
        },
    )
