"""Changes of the membership that wait for their turn: consensus takes one at a time."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from swarmlab.api import NodeId, ProposalDropped, ProposalUnknown, SwarmlabError
from swarmlab.raft import ConfigChange, Raft

#: Told once, with None when the change is committed, otherwise why it was not or may not have been.
Ended = Callable[[Exception | None], None]


class _Wish(NamedTuple):
    change: ConfigChange
    ended: Ended
    #: Of the node that is admitted or moves; empty for other changes.
    node_id: NodeId = NodeId("")
    #: Where the entry stands in the log; 0 while it waits.
    place: int = 0


class ChangeDesk:
    """The leader's queue of changes. One is under way; it is asked for again while consensus is busy with another."""

    def __init__(self) -> None:
        self._waiting: deque[_Wish] = deque()
        self._under_way: _Wish | None = None

    def is_wished(self, change: ConfigChange) -> bool:
        """Whether that very change is under way or waits."""
        return any(wish.change == change for wish in self._wishes())

    def is_wished_of(self, node_id: NodeId) -> bool:
        """Whether that node is being admitted, or is moving."""
        return any(wish.node_id == node_id for wish in self._wishes())

    def ask(self, change: ConfigChange, ended: Ended, node_id: NodeId = NodeId("")) -> None:  # noqa: B008  # a plain text
        """Put it in the queue."""
        self._waiting.append(_Wish(change, ended, node_id))

    def proceed(self, raft: Raft) -> bool:
        """Propose the next one, if none is under way; whether there may be more to do."""
        if self._under_way is not None or not self._waiting:
            return False
        wish = self._waiting.popleft()
        try:
            index = raft.propose_change(wish.change)
        except ProposalDropped:
            self._waiting.appendleft(wish)
            return False
        except SwarmlabError as error:
            wish.ended(error)
            return bool(self._waiting)
        self._under_way = wish._replace(place=index)
        return True

    def settle(self, index: int) -> None:
        """The entry at `index` was applied."""
        wish = self._under_way
        if wish is not None and wish.place <= index:
            self._under_way = None
            wish.ended(None if wish.place == index else ProposalUnknown("another entry stands in its place"))

    def give_up(self, error: Exception) -> None:
        """The leadership is lost: what waits ends with `error`, what is under way may yet be committed."""
        wish, self._under_way = self._under_way, None
        waiting, self._waiting = self._waiting, deque()
        if wish is not None:
            wish.ended(ProposalUnknown(f"the membership may have changed: {error}"))
        for each in waiting:
            each.ended(error)

    def _wishes(self) -> list[_Wish]:
        return [*self._waiting, *([self._under_way] if self._under_way else [])]
