"""Cluster state: one version after another.

Duty: snapshots with indexes and finders, transactions and their rules, change lists, watches, the Proposer port, the
bytes of log entries and snapshots.
Takes: `Changes` from any part, the time, and a proposer's word that an entry is final.
Gives: `Snapshot`s that never change, `Led` and `Committed` for the parts, an `Outcome` for who proposed.
Never: writes a file, waits, or lets an object be changed in place.
"""

from swarmlab.store.codec import decode_chunks, decode_snapshot, encode_chunks, encode_snapshot, replayed
from swarmlab.store.difference import difference
from swarmlab.store.events import Committed, Led, Outcome
from swarmlab.store.find import (
    AttachesVolume,
    By,
    ByCustom,
    ByCustomPrefix,
    ByDesiredState,
    ByDriver,
    ByIdPrefix,
    ByKind,
    ByMembership,
    ByName,
    ByNamePrefix,
    ByNode,
    ByRole,
    ByRuntime,
    ByService,
    BySlot,
    ByTaskState,
    ByVolumeGroup,
    ReferencesConfig,
    ReferencesNetwork,
    ReferencesSecret,
)
from swarmlab.store.history import Watch
from swarmlab.store.proposer import CommitAtOnce, Entry, Proposer
from swarmlab.store.snapshot import EMPTY, Snapshot
from swarmlab.store.store import Store
from swarmlab.store.transaction import Applied, apply

__all__ = [
    "EMPTY",
    "Applied",
    "AttachesVolume",
    "By",
    "ByCustom",
    "ByCustomPrefix",
    "ByDesiredState",
    "ByDriver",
    "ByIdPrefix",
    "ByKind",
    "ByMembership",
    "ByName",
    "ByNamePrefix",
    "ByNode",
    "ByRole",
    "ByRuntime",
    "ByService",
    "BySlot",
    "ByTaskState",
    "ByVolumeGroup",
    "CommitAtOnce",
    "Committed",
    "Entry",
    "Led",
    "Outcome",
    "Proposer",
    "ReferencesConfig",
    "ReferencesNetwork",
    "ReferencesSecret",
    "Snapshot",
    "Store",
    "Watch",
    "apply",
    "decode_chunks",
    "decode_snapshot",
    "difference",
    "encode_chunks",
    "encode_snapshot",
    "replayed",
]
