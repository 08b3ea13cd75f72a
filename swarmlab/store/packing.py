"""How changes that are too large for one entry are parted."""

from collections.abc import Sequence

import msgspec

from swarmlab.api import Action, Delete, Instant, Refused, TooLarge
from swarmlab.store.proposer import Entry
from swarmlab.store.snapshot import Snapshot
from swarmlab.store.transaction import apply

#: What version and times, stamped later, add at most to an object, with its envelope.
STAMP_BYTES = 96

_ENCODER = msgspec.msgpack.Encoder()


def packed(
    head: Snapshot, groups: Sequence[Sequence[Action]], now: Instant, limit: int
) -> tuple[list[Entry], tuple[Refused, ...]]:
    """Entries of at most `limit` bytes that follow `head`, parted between groups; and the groups not taken.

    A group that alone exceeds the limit is refused with TooLarge.
    """
    entries: list[Entry] = []
    refused: list[Refused] = []
    for batch in _batches(groups, limit, refused):
        applied = apply(head, [groups[number] for number in batch], now, head.version + 1)
        refused += [Refused(batch[refusal.group], refusal.error) for refusal in applied.refused]
        if applied.changes:
            head = applied.snapshot
            entries.append(Entry(head, applied.changes))
    return entries, tuple(sorted(refused, key=lambda refusal: refusal.group))


def _batches(groups: Sequence[Sequence[Action]], limit: int, refused: list[Refused]) -> list[list[int]]:
    """The places of the groups, in order, as runs that fit; those that never fit go to `refused`."""
    runs: list[list[int]] = []
    left = 0
    for number, group in enumerate(groups):
        size = sum(map(_size, group))
        if size > limit:
            refused.append(
                Refused(number, TooLarge(f"a group of changes takes {size} bytes; at most {limit} are taken"))
            )
            continue
        if not runs or size > left:
            runs.append([])
            left = limit
        runs[-1].append(number)
        left -= size
    return runs


def _size(action: Action) -> int:
    if isinstance(action, Delete):
        return STAMP_BYTES
    return len(_ENCODER.encode(action.object)) + STAMP_BYTES
