"""What leads from one snapshot to another."""

from typing import Any

from swarmlab.api import KINDS, Change, ChangeKind
from swarmlab.store.snapshot import Snapshot


def difference(before: Snapshot, after: Snapshot) -> tuple[Change, ...]:
    """What happened to each object between the two, in the order of KINDS and of ids."""
    changes: list[Change] = []
    for kind in KINDS:
        old: Any = before.table(kind).objects
        new: Any = after.table(kind).objects
        if old is new:
            continue
        for key in sorted({*old, *new}):
            was, now = old.get(key), new.get(key)
            if was is None:
                changes.append(Change(ChangeKind.CREATED, now))
            elif now is None:
                changes.append(Change(ChangeKind.REMOVED, was))
            elif was is not now and was != now:
                changes.append(Change(ChangeKind.UPDATED, now, was))
    return tuple(changes)
