"""The component that makes and rotates keys."""

import random
from collections.abc import Sequence

from msgspec.structs import replace

from swarmlab.api import (
    HOUR,
    SECOND,
    Change,
    ChangeKind,
    Changes,
    Cluster,
    Duration,
    EncryptionKey,
    Instant,
    Update,
    after,
)
from swarmlab.component import Effect, Event, Propose, Proposed, Record, SetTimer, TimerFired
from swarmlab.store import Committed, Led, Snapshot

#: What has keys of its own. Source: SwarmKit `manager/keymanager`.
SUBSYSTEMS = ("networking:gossip", "networking:ipsec")
#: Keys of each subsystem; engines refuse any other count.
KEYS = 3
#: Bytes of a key.
KEY_BYTES = 16
#: How long a term lasts until its first rotation, and how far rotations lie apart.
ROTATION = Duration(12 * HOUR)
#: Pause after a proposal that failed.
RETRY = SECOND

_ROTATE, _RETRY, _TAG = "rotate", "retry", "keys-"


class KeyManager:
    """Sees to it that the cluster has three keys for each subsystem, and rotates them while it leads.

    Of the three, the middle one by `lamport_time` is what nodes write with. A rotation drops the oldest and adds one
    that is newer than all, so every node has the key that any other one writes with for a whole period.

    Args:
        entropy: Where keys come from: a generator of the operating system on a live manager, never one that is seeded.
            Who holds a key reads and forges what nodes tell each other, and a seed is short and is printed.
        rotation: How far rotations lie apart.
    """

    name = "keymanager"

    def __init__(self, entropy: random.Random, *, rotation: Duration = ROTATION) -> None:
        self._entropy = entropy
        self._rotation = rotation
        self._view: Snapshot | None = None
        #: The keys are to be rotated, beyond being complete.
        self._due = False
        self._under_way = False
        #: Proposals made so far, over all terms, so that a late answer is not taken for another.
        self._turn = 0

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """Take one event; give what is to be done."""
        match event:
            case Led(view):
                self._view, self._due, self._under_way = view, False, False
                return [SetTimer(_ROTATE, after(now, self._rotation)), *self._work(view)]
            case Committed(view, changes) if self._view is not None:
                self._view = view
                return self._work(view) if any(map(_is_news, changes)) else []
            case TimerFired(name) if name == _ROTATE and self._view is not None:
                self._due = True
                return [SetTimer(_ROTATE, after(now, self._rotation)), *self._work(self._view)]
            case TimerFired(name) if name == _RETRY and self._view is not None:
                return self._work(self._view)
            case Proposed(tag) if self._under_way and tag == self._tag and self._view is not None:
                self._under_way = False
                if event.error is not None:
                    return [SetTimer(_RETRY, after(now, RETRY))]
                self._due = self._due and bool(event.refused)
                return self._work(self._view)
        return []

    @property
    def _tag(self) -> str:
        return f"{_TAG}{self._turn}"

    def _work(self, view: Snapshot) -> list[Effect]:
        cluster = view.cluster()
        if cluster is None or self._under_way:
            return []
        if not is_complete(cluster.network_bootstrap_keys):
            made, event = first_keys(cluster, self._entropy), "network-keys-made"
        elif self._due:
            made, event = rotated(cluster, self._entropy), "network-keys-rotated"
        else:
            return []
        self._turn += 1
        self._under_way = True
        clock = made.encryption_key_lamport_clock
        return [Record(event, {"lamport_time": clock}), Propose(Changes.atomic(Update(made)), self._tag)]


def is_complete(keys: Sequence[EncryptionKey]) -> bool:
    """Whether nodes would take the keys: three of each subsystem and no others, each of its own time."""
    counts = [sum(key.subsystem == subsystem for key in keys) for subsystem in SUBSYSTEMS]
    return counts == [KEYS] * len(SUBSYSTEMS) and len({key.lamport_time for key in keys}) == len(keys) == sum(counts)


def first_keys(cluster: Cluster, entropy: random.Random) -> Cluster:
    """The cluster with new keys for every subsystem, whatever it had.

    The clock goes on from where it was; a new one starts at a random number, so that a cluster that is founded anew
    does not use the times of the one before.
    """
    clock = cluster.encryption_key_lamport_clock or entropy.getrandbits(16)
    keys = []
    for subsystem in SUBSYSTEMS:
        for _ in range(KEYS):
            clock += 1
            keys.append(_key(subsystem, clock, entropy))
    return replace(cluster, network_bootstrap_keys=tuple(keys), encryption_key_lamport_clock=clock)


def rotated(cluster: Cluster, entropy: random.Random) -> Cluster:
    """The cluster with the oldest key of each subsystem replaced by one that is newer than all."""
    clock = max(cluster.encryption_key_lamport_clock, *(key.lamport_time for key in cluster.network_bootstrap_keys))
    keys: list[EncryptionKey] = []
    for subsystem in SUBSYSTEMS:
        own = [key for key in cluster.network_bootstrap_keys if key.subsystem == subsystem]
        clock += 1
        keys += sorted(own, key=lambda key: key.lamport_time)[1:]
        keys.append(_key(subsystem, clock, entropy))
    return replace(cluster, network_bootstrap_keys=tuple(keys), encryption_key_lamport_clock=clock)


def _key(subsystem: str, time: int, entropy: random.Random) -> EncryptionKey:
    key = entropy.getrandbits(8 * KEY_BYTES).to_bytes(KEY_BYTES, "big")
    return EncryptionKey(subsystem=subsystem, key=key, lamport_time=time)


def _is_news(change: Change) -> bool:
    """The cluster was founded, or its keys are others now."""
    new, old = change.object, change.old
    if not isinstance(new, Cluster) or change.kind is ChangeKind.REMOVED:
        return False
    return not isinstance(old, Cluster) or old.network_bootstrap_keys != new.network_bootstrap_keys
