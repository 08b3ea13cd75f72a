"""The store: takes proposals, has them made final, and tells who follows."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from swarmlab.api import (
    Action,
    Change,
    Changes,
    Instant,
    NotLeader,
    ProposalDropped,
    ProposalUnknown,
    Refused,
    TooLarge,
)
from swarmlab.store.codec import decode_snapshot, encode_snapshot, replayed
from swarmlab.store.difference import difference
from swarmlab.store.events import Committed, Outcome
from swarmlab.store.history import History, Watch
from swarmlab.store.packing import packed
from swarmlab.store.proposer import Entry, Proposer
from swarmlab.store.snapshot import EMPTY, Snapshot
from swarmlab.store.transaction import apply

#: Failures after which it is certain that nothing was committed.
DEFINITE = (ProposalDropped, NotLeader, TooLarge)

#: Changes that the history holds.
HISTORY = 20_000


class _Proposal:
    """What was asked for at once; one or several entries."""

    def __init__(self, done: Callable[[Outcome], None]) -> None:
        self.done = done
        self.refused: tuple[Refused, ...] = ()
        #: Entries not yet answered.
        self.open = 0
        #: Version of the last entry that was committed.
        self.committed: int | None = None
        self.ended = False


class _Step:
    """An entry with the proposer; or, without one, the place in the line of a proposal that needs none."""

    __slots__ = ("entry", "proposal", "settled")

    def __init__(self, proposal: _Proposal, entry: Entry | None) -> None:
        self.proposal = proposal
        self.entry = entry
        self.settled = False


class Store:
    """The cluster's state, and the only way to change it.

    Proposals are checked against the head, which is ahead of the committed `view` by what the proposer has not answered
    yet; so several may be on their way at once. When one fails, all that were checked on top of it fail too, and the
    head returns to what was there before it.

    All calls and callbacks happen on one thread. Callbacks never nest: what a callback causes is told after it has
    returned, in the order of the commits. A follower that is slow holds up the others, so one that cannot keep up puts
    what it hears in a queue of its own.

    Args:
        proposer: Makes entries final.
        clock: For the times in objects; asked once per proposal.
        snapshot: What is committed already.
        on_commit: Hears each commit first; then the watches, in the order in which they came; then who proposed it.
        history: How many changes are kept for those who watch from a version; 0 for none.
    """

    def __init__(
        self,
        proposer: Proposer,
        clock: Callable[[], Instant],
        snapshot: Snapshot = EMPTY,
        on_commit: Callable[[Committed], None] | None = None,
        *,
        history: int = HISTORY,
    ) -> None:
        self._proposer = proposer
        self._clock = clock
        self._view = snapshot
        self._head = snapshot
        self._on_commit = on_commit
        self._history = History(history, snapshot.version)
        self._steps: deque[_Step] = deque()
        self._watches: list[Watch] = []
        self._news: deque[Callable[[], None]] = deque()
        self._telling = False
        self._closed = False

    @property
    def view(self) -> Snapshot:
        """The committed state."""
        return self._view

    def propose(self, changes: Changes, done: Callable[[Outcome], None]) -> None:
        """Commit `changes`; `done` is called exactly once, after the commit was told to those who follow.

        Groups are refused for themselves, as `apply` says; a group that alone exceeds the proposer's limit is refused
        with TooLarge. Where the proposer has a limit, what is larger is committed in several versions, parted between
        groups.
        """
        proposal = _Proposal(done)
        if self._closed:
            self._end(proposal, ProposalDropped("the store is closed"))
            self._tell()
            return
        entries, proposal.refused = self._entries(changes.groups)
        if not entries:
            self._steps.append(_Step(proposal, None))
            self._end_idle()
        else:
            proposal.open = len(entries)
            steps = [_Step(proposal, entry) for entry in entries]
            # All of them stand in line before the first is answered, so that its failure fails the others.
            self._steps.extend(steps)
            self._head = entries[-1].view
            for step, entry in zip(steps, entries, strict=True):
                if not step.settled:
                    self._proposer.propose(entry, partial(self._answer, step))
        self._tell()

    def _entries(self, groups: Sequence[Sequence[Action]]) -> tuple[list[Entry], tuple[Refused, ...]]:
        now = self._clock()
        limit = self._proposer.max_entry_bytes
        applied = apply(self._head, groups, now, self._head.version + 1)
        if not applied.changes:
            return [], applied.refused
        entry = Entry(applied.snapshot, applied.changes)
        if limit is None or entry.size() <= limit:
            return [entry], applied.refused
        return packed(self._head, groups, now, limit)

    def _answer(self, step: _Step, error: Exception | None) -> None:
        """The proposer has decided on an entry."""
        if step.settled or self._closed:
            assert error is not None or self._closed, "the proposer committed an entry after one before it had failed"
            return
        if error is None:
            self._commit(step)
        else:
            self._fail(step, error)
        self._end_idle()
        self._tell()

    def _commit(self, step: _Step) -> None:
        assert self._steps[0] is step, "the proposer committed an entry before an earlier one"
        assert step.entry is not None
        self._steps.popleft()
        step.settled = True
        before, self._view = self._view, step.entry.view
        before.forget(self._view)
        self._announce(Committed(step.entry.view, step.entry.changes))
        proposal = step.proposal
        proposal.committed = step.entry.version
        proposal.open -= 1
        if not proposal.open:
            self._end(proposal, None)

    def _fail(self, step: _Step, error: Exception) -> None:
        """End the proposal of `step` and all after it; what was before it stays in line."""
        place = self._steps.index(step)
        failed = [self._steps.pop() for _ in range(len(self._steps) - place)]
        failed.reverse()
        before = next((earlier.entry for earlier in reversed(self._steps) if earlier.entry is not None), None)
        self._head = before.view if before is not None else self._view
        definite = isinstance(error, DEFINITE)
        for later in failed:
            later.settled = True
            if later.proposal is step.proposal:
                self._end(later.proposal, error if definite else _unknown(error))
            elif definite:
                self._end(later.proposal, ProposalDropped(f"an earlier proposal was dropped: {error}"))
            else:
                self._end(later.proposal, ProposalUnknown(f"an earlier proposal may not have been committed: {error}"))

    def _end_idle(self) -> None:
        """End the proposals that had nothing to commit and that wait for nothing any more."""
        while self._steps and self._steps[0].entry is None:
            self._end(self._steps.popleft().proposal, None)

    def _end(self, proposal: _Proposal, error: Exception | None) -> None:
        if proposal.ended:
            return
        proposal.ended = True
        version = self._view.version if proposal.committed is None else proposal.committed
        if error is not None and proposal.committed is not None:
            error = ProposalUnknown(f"only a part was committed, up to version {version}: {error}")
        outcome = Outcome(version, proposal.refused, error)
        self._news.append(lambda: proposal.done(outcome))

    def _announce(self, committed: Committed, *, continues: bool = True) -> None:
        sequence = self._history.add(committed) if continues else self._history.restart(committed)

        def tell() -> None:
            if self._on_commit is not None:
                self._on_commit(committed)
            for watch in tuple(self._watches):
                watch.hear(sequence, committed)
            self._watches = [watch for watch in self._watches if not watch.cancelled]

        self._news.append(tell)

    def _tell(self) -> None:
        if self._telling:
            return
        self._telling = True
        try:
            while self._news:
                self._news.popleft()()
        finally:
            self._telling = False

    def follow(self, data: bytes) -> None:
        """Commit an entry that was proposed elsewhere: `Entry.data` of the next version.

        Those who follow hear of it as of any commit. Proposals on their way, which cannot be checked against it, end as
        ProposalUnknown.

        Raises:
            StateError: The bytes are damaged, or not the entry that follows the view; nothing changes then.
        """
        before = self._view
        view, changes = replayed(before, data)
        if self._steps:
            self._fail(self._steps[0], ProposalUnknown(f"version {view.version} was committed by another manager"))
        self._view = self._head = view
        before.forget(view)
        self._announce(Committed(view, changes))
        self._tell()

    def watch(self, since: int | None, deliver: Callable[[Committed], None]) -> Watch:
        """Deliver every commit after version `since`, first those of the past, none twice and none left out.

        With None: those to come. Commits of the past are delivered before this returns.

        Raises:
            OutOfSequence: The history does not reach back to `since`, or the store has not reached it yet.
        """
        past = [] if since is None else self._history.since(since, self._view.version)
        watch = Watch(deliver, past[0][0] - 1 if past else self._history.sequence)
        telling, self._telling = self._telling, True
        try:
            for sequence, committed in past:
                watch.hear(sequence, committed)
        finally:
            self._telling = telling
        self._watches.append(watch)
        self._tell()
        return watch

    def save(self) -> bytes:
        """The committed state as bytes."""
        return encode_snapshot(self._view)

    def restore(self, data: bytes) -> tuple[Change, ...]:
        """Replace the committed state by a saved one; those who follow hear the difference as one commit.

        Proposals on their way end as ProposalUnknown. The history begins anew.

        Raises:
            StateError: The bytes are damaged or of a later schema; nothing changes then.
        """
        return self.adopt(decode_snapshot(data))

    def adopt(self, snapshot: Snapshot) -> tuple[Change, ...]:
        """The same as `restore`, with a snapshot that was decoded already."""
        if self._steps:
            self._fail(self._steps[0], ProposalUnknown("the store was restored meanwhile"))
        changes = difference(self._view, snapshot)
        self._view = self._head = snapshot
        self._announce(Committed(snapshot, changes), continues=False)
        self._tell()
        return changes

    def close(self) -> None:
        """Take no more; proposals on their way end as ProposalUnknown, whatever the proposer answers later."""
        if self._closed:
            return
        if self._steps:
            self._fail(self._steps[0], ProposalUnknown("the store was closed meanwhile"))
        self._closed = True
        self._tell()


def _unknown(error: Exception) -> Exception:
    if isinstance(error, ProposalUnknown):
        return error
    unknown = ProposalUnknown(f"it may have been committed: {error}")
    unknown.__cause__ = error
    return unknown
