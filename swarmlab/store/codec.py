"""The store's bytes: log entries and whole snapshots, as msgpack.

A log entry is `[schema, version, [[change kind, word of the kind of object, object or id], ...]]`, a table chunk
`[schema, word, [object, ...]]`. Objects are written by field name without their defaults, so that a field may be added
without a new schema; anything else that changes the meaning raises `SCHEMA`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from swarmlab.api import KINDS, Change, ChangeKind, Config, Secret, StateError, StoreObject
from swarmlab.store.snapshot import EMPTY, Snapshot
from swarmlab.store.succession import advanced

#: Form of the bytes; a reader refuses those of a later one.
SCHEMA = 1

#: Objects of one chunk of a table: large enough to be quick, small enough to be written between other work. Of those
#: that may hold up to a megabyte each there are fewer.
CHUNK = 500
_CHUNKS: dict[type[StoreObject], int] = {Config: 4, Secret: 8}

#: What decoding raises on bytes that are not ours.
_DAMAGE = (msgspec.DecodeError, UnicodeDecodeError)

_ENCODER = msgspec.msgpack.Encoder()
_KIND_OF = {word: kind for kind, word in KINDS.items()}
_OBJECTS: dict[type[StoreObject], msgspec.msgpack.Decoder[Any]] = {
    kind: msgspec.msgpack.Decoder(kind) for kind in KINDS
}
_ENTRY = msgspec.msgpack.Decoder(tuple[int, int, tuple[tuple[ChangeKind, str, msgspec.Raw], ...]])
_CHUNK = msgspec.msgpack.Decoder(tuple[int, str, tuple[msgspec.Raw, ...]])
_TEXT = msgspec.msgpack.Decoder(str)
_FILE = msgspec.msgpack.Decoder(tuple[int, int, tuple[bytes, ...]])


def encode_change(change: Change) -> bytes:
    """One change, as a part of a log entry."""
    if change.kind == ChangeKind.REMOVED:
        return _ENCODER.encode((change.kind, KINDS[type(change.object)], change.object.id))
    return _ENCODER.encode((change.kind, KINDS[type(change.object)], change.object))


def encode_entry(version: int, changes: Iterable[bytes]) -> bytes:
    """A log entry of encoded changes."""
    return _ENCODER.encode((SCHEMA, version, [msgspec.Raw(change) for change in changes]))


def replayed(snapshot: Snapshot, data: bytes) -> tuple[Snapshot, tuple[Change, ...]]:
    """The snapshot after a log entry, and its changes. Versions and times are those of the entry.

    Raises:
        StateError: The bytes are damaged, of a later schema, or not the entry that follows `snapshot`.
    """
    _check_schema(data)
    try:
        _, version, parts = _ENTRY.decode(data)
    except _DAMAGE as error:
        raise StateError(f"the log entry after version {snapshot.version} is damaged: {error}") from error
    if version != snapshot.version + 1:
        raise StateError(f"log entry {version} cannot follow version {snapshot.version}")
    try:
        changes = tuple(_change(snapshot, *part) for part in parts)
    except _DAMAGE as error:
        raise StateError(f"log entry {version} is damaged: {error}") from error
    return advanced(snapshot, changes, version), changes


def _change(snapshot: Snapshot, kind: ChangeKind, word: str, body: msgspec.Raw) -> Change:
    of_kind = _kind_of(word)
    if kind == ChangeKind.REMOVED:
        key = _TEXT.decode(body)
        gone = snapshot.get(of_kind, key)
        if gone is None:
            raise StateError(f"the log removes {word} {key}, which version {snapshot.version} does not have")
        return Change(kind, gone)
    obj = _OBJECTS[of_kind].decode(body)
    old = snapshot.get(of_kind, obj.id)
    if (old is None) != (kind == ChangeKind.CREATED):
        raise StateError(
            f"the log has {word} {obj.id} {kind.name.lower()}, which does not fit version {snapshot.version}"
        )
    return Change(kind, obj, old)


def encode_chunks(snapshot: Snapshot) -> Iterator[tuple[str, bytes]]:
    """The whole snapshot in pieces (word of the kind, chunk), in the order of KINDS and of ids."""
    for kind, word in KINDS.items():
        rows: Sequence[Any] = snapshot.all(kind)
        size = _CHUNKS.get(kind, CHUNK)
        for start in range(0, len(rows), size):
            yield word, _ENCODER.encode((SCHEMA, word, rows[start : start + size]))


def decode_chunks(version: int, chunks: Iterable[bytes]) -> Snapshot:
    """The snapshot of that version from its pieces.

    Raises:
        StateError: The bytes are damaged or of a later schema.
    """
    created: list[Change] = []
    for data in chunks:
        _check_schema(data)
        try:
            _, word, rows = _CHUNK.decode(data)
            decoder = _OBJECTS[_kind_of(word)]
            created += [Change(ChangeKind.CREATED, decoder.decode(row)) for row in rows]
        except _DAMAGE as error:
            raise StateError(f"the snapshot of version {version} is damaged: {error}") from error
    snapshot = advanced(EMPTY, created, version)
    if sum(map(snapshot.count, KINDS)) != len(created):
        raise StateError(f"the snapshot of version {version} is damaged: an object is there twice")
    return snapshot


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """The whole snapshot as one piece; equal snapshots give equal bytes."""
    return _ENCODER.encode((SCHEMA, snapshot.version, [data for _, data in encode_chunks(snapshot)]))


def decode_snapshot(data: bytes) -> Snapshot:
    """The snapshot that `encode_snapshot` wrote.

    Raises:
        StateError: The bytes are damaged or of a later schema.
    """
    _check_schema(data)
    try:
        _, version, chunks = _FILE.decode(data)
    except _DAMAGE as error:
        raise StateError(f"the snapshot is damaged: {error}") from error
    return decode_chunks(version, chunks)


def _check_schema(data: bytes) -> None:
    # An array's head and a small number: the schema can be read before, and whatever, the rest means.
    if len(data) < 2 or data[0] >> 4 != 9:
        raise StateError("these bytes were not written by the store")
    if data[1] != SCHEMA:
        raise StateError(f"these bytes are of schema {data[1]}; this version reads schema {SCHEMA}")


def _kind_of(word: str) -> type[StoreObject]:
    kind = _KIND_OF.get(word)
    if kind is None:
        raise StateError(f"the bytes hold a {word!r}, which is no kind of object")
    return kind
