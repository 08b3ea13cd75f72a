"""Reads that see all that was committed before them, without an entry of their own (thesis, section 6.4)."""

from collections import deque

from swarmlab.api.value import Value
from swarmlab.raft.messages import RaftId


class Read(Value, frozen=True):
    """A read that a leader has not confirmed yet."""

    reader: RaftId
    context: bytes
    #: What was committed when it was asked for.
    index: int
    #: The round of heartbeats that confirms it.
    round: int


class Reads:
    """The reads of one term of one leader.

    A read is good once a majority answered a heartbeat sent after it: then no later leader had committed anything when
    it was asked for. All reads that come between two rounds share the next one; rounds are numbered, and the answer to
    one confirms every earlier one too.
    """

    def __init__(self) -> None:
        #: Number of the newest round on its way.
        self.round = 0
        self._waiting: deque[Read] = deque()
        #: Asked for before an entry of the term was committed: until then a leader cannot know what is committed.
        self._early: list[tuple[RaftId, bytes]] = []

    def ask(self, reader: RaftId, context: bytes, commit: int) -> None:
        """A read of `reader`, of what is committed up to `commit`."""
        self._waiting.append(Read(reader=reader, context=context, index=commit, round=self.round + 1))

    def postpone(self, reader: RaftId, context: bytes) -> None:
        """A read that comes before the term's first commit."""
        self._early.append((reader, context))

    def resume(self, commit: int) -> None:
        """The term has its first commit."""
        for reader, context in self._early:
            self.ask(reader, context, commit)
        self._early.clear()

    def begin_round(self) -> bool:
        """Start a round of heartbeats if a read wants one; whether it did."""
        if self._waiting and self._waiting[-1].round > self.round:
            self.round += 1
            return True
        return False

    def confirmed(self, round_: int) -> list[Read]:
        """The reads that a majority's answers to a round make good, oldest first."""
        good = []
        while self._waiting and self._waiting[0].round <= round_:
            good.append(self._waiting.popleft())
        return good
