"""Moves: a new task in the slot of an old one, on a node that somebody wished for."""

from swarmlab.component import Event
from swarmlab.plugin import Move

#: Labels of a task that is the new half of a move: the task that it replaces, the node it is for, and why.
MOVE_FROM = "swarmlab.move.from"
MOVE_TO = "swarmlab.move.to"
MOVE_REASON = "swarmlab.move.reason"


class MovesWished(Event, frozen=True):
    """Somebody wants these moves made. Each is made, or refused with a record of the reason."""

    moves: tuple[Move, ...]
