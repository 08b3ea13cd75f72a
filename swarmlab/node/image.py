"""The state of a manager at one place of the log, as a whole: what a snapshot is, on the disk and on the wire."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from swarmlab.api import StateError
from swarmlab.node.members import RaftMember, Roster
from swarmlab.raft import EntryKind, HardState, LogEntry, Membership, SnapshotMeta
from swarmlab.store import EMPTY, Snapshot, decode_chunks, encode_chunks, replayed

#: Form of the first part; a reader refuses a later one.
SCHEMA = 1

_ENCODER = msgspec.msgpack.Encoder()
_HEAD = msgspec.msgpack.Decoder(tuple[int, SnapshotMeta, Roster, int])


class Image(NamedTuple):
    """All that the log up to `meta.index` led to. Immutable, and shares what it can with later states."""

    meta: SnapshotMeta = SnapshotMeta()
    roster: Roster = Roster()
    view: Snapshot = EMPTY

    def parts(self) -> Iterator[bytes]:
        """The image in pieces, made one at a time; `assembled` reads them."""
        yield _ENCODER.encode((SCHEMA, self.meta, self.roster, self.view.version))
        for _, chunk in encode_chunks(self.view):
            yield chunk


class Recovered(NamedTuple):
    """What a manager finds on its disk, or begins with."""

    #: Who it is.
    member: RaftMember
    image: Image
    hard_state: HardState = HardState()
    #: Those after `image.meta.index`, without a gap.
    entries: tuple[LogEntry, ...] = ()


def assembled(parts: Iterable[bytes]) -> Image:
    """The image of these parts.

    Raises:
        StateError: They are damaged, of a later version, or none.
    """
    rest = iter(parts)
    head = b"".join(islice(rest, 1))
    try:
        schema, meta, roster, version = _HEAD.decode(head)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(f"the snapshot is damaged: {error}") from error
    if schema != SCHEMA:
        raise StateError(f"the snapshot is of schema {schema}; this version reads schema {SCHEMA}")
    return Image(meta, roster, decode_chunks(version, rest))


def founding(member: RaftMember, view: Snapshot = EMPTY) -> Recovered:
    """What the first manager of a cluster begins with; `view` is what it brings along.

    The first place of the log is covered by the snapshot, so that whoever joins later gets the snapshot, and with it
    the first member, which no entry names.
    """
    meta = SnapshotMeta(index=1, term=1, members=Membership(voters=(member.raft_id,)))
    return Recovered(member, Image(meta, Roster((member,)), view), HardState(term=1, commit=1))


def joining(member: RaftMember, roster: Roster) -> Recovered:
    """What a manager begins with that was admitted as `member` of the group `roster`; the leader sends it the rest."""
    return Recovered(member, Image(roster=roster))


def alone(recovered: Recovered) -> Recovered:
    """The same state with its owner as the only member: how a cluster goes on that has lost its quorum for good.

    All entries that are there count as committed: some were acknowledged, and nobody is left who could tell which.
    Messages of the others, should they come back, are refused; they have to join anew.

    Raises:
        StateError: The entries do not fit the snapshot.
    """
    member, image = recovered.member, recovered.image
    view, roster, last = image.view, image.roster, (image.meta.index, image.meta.term)
    for entry in recovered.entries:
        if entry.kind is EntryKind.NORMAL and entry.data:
            view, _ = replayed(view, entry.data)
        last = entry.index, entry.term
    others = {other.raft_id for other in roster.members if other.raft_id != member.raft_id}
    roster = Roster((member,), tuple(sorted({*roster.removed, *others})))
    term = max(recovered.hard_state.term, last[1]) + 1
    meta = SnapshotMeta(index=max(1, last[0]), term=max(1, last[1]), members=Membership(voters=(member.raft_id,)))
    return Recovered(member, Image(meta, roster, view), HardState(term=term, commit=meta.index))


def check_entries(image: Image, entries: Sequence[LogEntry]) -> None:
    """The entries follow the image without a gap.

    Raises:
        StateError: They do not.
    """
    for place, entry in enumerate(entries, image.meta.index + 1):
        if entry.index != place:
            raise StateError(f"log entry {place} is missing: entry {entry.index} stands in its place")
