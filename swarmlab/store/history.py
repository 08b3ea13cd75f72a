"""The recent commits, and those who follow them."""

from collections import deque
from collections.abc import Callable

from swarmlab.api import OutOfSequence
from swarmlab.store.events import Committed

#: What a commit counts at least; so the default limit holds a thousand.
COMMIT_WEIGHT = 20


class Watch:
    """A follower of the store's commits, until it is cancelled."""

    def __init__(self, deliver: Callable[[Committed], None], sequence: int) -> None:
        self._deliver = deliver
        #: Number of the last commit delivered.
        self._sequence = sequence
        self.cancelled = False

    def cancel(self) -> None:
        """Deliver no more."""
        self.cancelled = True

    def hear(self, sequence: int, committed: Committed) -> None:
        """Deliver a commit, unless it was delivered already."""
        if sequence > self._sequence and not self.cancelled:
            self._sequence = sequence
            self._deliver(committed)


class History:
    """The last commits, as many as together hold at most `limit` changes; the very last one in any case.

    A commit counts as at least `COMMIT_WEIGHT` changes, since it holds a snapshot. With a limit of 0 none is held.

    Commits are numbered here apart from their versions, since a restore may lead to any version.
    """

    def __init__(self, limit: int, version: int) -> None:
        self._limit = limit
        self._commits: deque[Committed] = deque()
        self._size = 0
        #: Version before the oldest commit held.
        self._floor = version
        #: How many commits there have been.
        self.sequence = 0

    def add(self, committed: Committed) -> int:
        """Hold a commit, let go of the oldest; its number."""
        self.sequence += 1
        self._commits.append(committed)
        self._size += _weight(committed)
        while self._commits and self._size > self._limit and (len(self._commits) > 1 or not self._limit):
            oldest = self._commits.popleft()
            self._size -= _weight(oldest)
            self._floor = oldest.view.version
        return self.sequence

    def restart(self, committed: Committed) -> int:
        """Forget all that led to a version before this one, which does not continue it; its number."""
        self._commits.clear()
        self._size = 0
        self._floor = committed.view.version
        self.sequence += 1
        return self.sequence

    def since(self, version: int, present: int) -> list[tuple[int, Committed]]:
        """The commits after `version` up to `present` with their numbers.

        Raises:
            OutOfSequence: They are not held any more, or that version is not yet.
        """
        if version > present:
            raise OutOfSequence(f"cannot watch from version {version}: the store is at {present}")
        if version < self._floor:
            raise OutOfSequence(f"cannot watch from version {version}: the history begins after {self._floor}")
        first = self.sequence - len(self._commits) + 1
        return [
            (first + place, committed)
            for place, committed in enumerate(self._commits)
            if committed.view.version > version
        ]


def _weight(committed: Committed) -> int:
    return max(len(committed.changes), COMMIT_WEIGHT)
