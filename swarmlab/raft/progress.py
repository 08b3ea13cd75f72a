"""How far one follower is, as its leader sees it, and what may be on its way to it."""

from collections import deque
from enum import IntEnum

from swarmlab.api.value import Value


class ReplicationState(IntEnum):
    """How a leader sends to one follower."""

    #: Where the logs part is not known: one message, then wait for an answer or the next heartbeat's.
    PROBE = 0
    #: It follows: entries are sent ahead of the answers.
    REPLICATE = 1
    #: It needs entries that are gone: nothing until the snapshot's fate is reported.
    SNAPSHOT = 2


class Progress(Value, frozen=True, kw_only=True):
    """How far one follower is, for whoever asks a leader."""

    #: Its log is known to be durable and equal up to here.
    match: int
    #: The next entry to send.
    next: int
    state: ReplicationState
    #: Ticks since it was last heard.
    silent_ticks: int
    #: Heard within the election time-out.
    is_active: bool


class Replication:
    """What is sent to one follower, and what it answered."""

    __slots__ = (
        "_inflight",
        "_inflight_bytes",
        "is_due",
        "is_paused",
        "match",
        "next",
        "read_round",
        "silent_ticks",
        "snapshot_index",
        "state",
        "told_commit",
    )

    def __init__(self, after: int) -> None:
        self.match = 0
        self.next = after
        self.state = ReplicationState.PROBE
        #: PROBE: a message is on its way.
        self.is_paused = False
        #: REPLICATE: something may have been lost; a message is to be sent even without entries.
        self.is_due = False
        self.silent_ticks = 0
        #: SNAPSHOT: place of the snapshot that is sent.
        self.snapshot_index = 0
        #: Highest commit index on its way.
        self.told_commit = 0
        #: Last round of reads that it confirmed.
        self.read_round = 0
        #: Last index and bytes of each message on its way that carries entries, oldest first.
        self._inflight: deque[tuple[int, int]] = deque()
        self._inflight_bytes = 0

    def probe(self) -> None:
        """Look for the end of what the logs share."""
        # A snapshot that arrived was perhaps not answered yet, so it counts as it was reported.
        after = max(self.match, self.snapshot_index if self.state == ReplicationState.SNAPSHOT else 0)
        self._turn(ReplicationState.PROBE, after + 1)

    def replicate(self) -> None:
        """Send ahead from what is known to be equal."""
        self._turn(ReplicationState.REPLICATE, self.match + 1)

    def await_snapshot(self, index: int) -> None:
        """A snapshot goes out; nothing else until it is reported."""
        self._turn(ReplicationState.SNAPSHOT, self.next)
        self.snapshot_index = index

    def _turn(self, state: ReplicationState, following: int) -> None:
        self.state = state
        self.next = following
        self.is_paused = self.is_due = False
        self.snapshot_index = 0
        if state != ReplicationState.REPLICATE:
            self.told_commit = 0
        self._inflight.clear()
        self._inflight_bytes = 0

    def is_full(self, messages: int, size: int) -> bool:
        """Whether that many messages or bytes are on their way."""
        return len(self._inflight) >= messages or self._inflight_bytes >= size

    def sent(self, last: int, size: int) -> None:
        """Entries up to `last` were sent, of that many bytes."""
        if self.state == ReplicationState.PROBE:
            self.is_paused = True
            return
        self.is_due = False
        if size:
            self.next = last + 1
            self._inflight.append((last, size))
            self._inflight_bytes += size

    def accepted(self, index: int) -> bool:
        """Its log is durable and equal up to `index`; whether that is news."""
        news = index > self.match
        if news:
            self.match = index
        inflight = self._inflight
        while inflight and inflight[0][0] <= index:
            self._inflight_bytes -= inflight.popleft()[1]
        if self.state == ReplicationState.REPLICATE:
            self.next = max(self.next, index + 1)
        elif self.state == ReplicationState.PROBE:
            if index >= self.match:
                self.replicate()
        elif self.match >= self.snapshot_index:
            self.replicate()
        return news

    def rejected(self, index: int, following: int) -> None:
        """It lacks the entry at `index`, or has another; `following` is the next place to try.

        An answer to a message that was overtaken says nothing new and changes nothing.
        """
        if self.state == ReplicationState.REPLICATE:
            if index > self.match:
                self.probe()
                self.next = max(min(index, following), self.match + 1)
        elif self.state == ReplicationState.PROBE and index == self.next - 1:
            self.next = max(min(index, following), self.match + 1)
            self.is_paused = False

    def beat(self, last: int) -> None:
        """It answered a heartbeat: what waits for an answer may try again.

        With a full window that is a message without entries: its answer empties the window, or shows what was lost.
        """
        self.is_paused = False
        self.is_due = self.match < last

    def view(self, election_ticks: int) -> Progress:
        """For whoever asks."""
        return Progress(
            match=self.match,
            next=self.next,
            state=self.state,
            silent_ticks=self.silent_ticks,
            is_active=self.silent_ticks < election_ticks,
        )
