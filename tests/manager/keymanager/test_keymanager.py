"""Keys of the nodes' own networks: three of each kind, always, and new ones from time to time."""

import random
from dataclasses import dataclass, field

from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    Changes,
    Cluster,
    ClusterId,
    ClusterSpec,
    Create,
    EncryptionKey,
    Instant,
    NetworkId,
    ProposalDropped,
    Update,
)
from swarmlab.api.objects import Network
from swarmlab.component import Effect, Event, Propose, Proposed, Record, SetTimer, TimerFired
from swarmlab.manager.keymanager import ROTATION, SUBSYSTEMS, KeyManager
from swarmlab.store import EMPTY, Committed, Led, Snapshot, apply


@dataclass
class World:
    """A store in front of a key manager; commits happen when they are told to."""

    manager: KeyManager = field(default_factory=lambda: KeyManager(random.Random(11)))
    view: Snapshot = EMPTY
    now: int = 1
    timers: dict[str, int] = field(default_factory=dict)
    proposed: list[Propose] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)

    def step(self, event: Event) -> None:
        for effect in self.manager.step(event, Instant(self.now)):
            self.take(effect)

    def take(self, effect: Effect) -> None:
        match effect:
            case SetTimer(name, at):
                self.timers[name] = at
            case Propose():
                self.proposed.append(effect)
            case Record():
                self.records.append(effect)

    def commit(self, changes: Changes) -> tuple:
        applied = apply(self.view, changes.groups, Instant(self.now), self.view.version + 1)
        self.view = applied.snapshot
        if applied.changes:
            self.step(Committed(self.view, applied.changes))
        return applied.refused

    def settle(self) -> None:
        while self.proposed:
            proposal = self.proposed.pop(0)
            refused = self.commit(proposal.changes)
            self.step(Proposed(proposal.tag, version=self.view.version, refused=refused))

    def found(self, **more: object) -> None:
        spec = ClusterSpec(annotations=Annotations("default"))
        self.commit(Changes.atomic(Create(Cluster(id=ClusterId("c"), spec=spec, **more))))

    @property
    def keys(self) -> tuple[EncryptionKey, ...]:
        return self.view.cluster().network_bootstrap_keys

    def times(self, subsystem: str) -> list[int]:
        return [key.lamport_time for key in self.keys if key.subsystem == subsystem]


def led(**more: object) -> World:
    world = World()
    world.found(**more)
    world.step(Led(world.view))
    world.settle()
    return world


def test_a_cluster_gets_three_keys_of_each_kind_as_soon_as_somebody_leads() -> None:
    world = World()
    world.step(Led(world.view))
    assert world.proposed == []
    world.found()
    world.settle()
    first = world.times(SUBSYSTEMS[0])[0]
    assert 1 <= first <= 1 << 16
    assert [world.times(subsystem) for subsystem in SUBSYSTEMS] == [
        [first, first + 1, first + 2],
        [first + 3, first + 4, first + 5],
    ]
    assert world.view.cluster().encryption_key_lamport_clock == first + 5
    assert [len(key.key) for key in world.keys] == [16] * 6
    assert len({key.key for key in world.keys}) == 6
    assert world.records == [Record("network-keys-made", {"lamport_time": first + 5})]


def test_a_rotation_drops_the_oldest_and_adds_a_newest_of_each_kind() -> None:
    world = led(encryption_key_lamport_clock=100)
    before = {key.lamport_time: key for key in world.keys}
    world.now = world.timers["rotate"]
    assert world.now == 1 + ROTATION
    world.step(TimerFired("rotate"))
    world.settle()
    assert [world.times(subsystem) for subsystem in SUBSYSTEMS] == [[102, 103, 107], [105, 106, 108]]
    assert all(before[key.lamport_time] == key for key in world.keys if key.lamport_time < 107)
    assert world.view.cluster().encryption_key_lamport_clock == 108
    assert world.timers["rotate"] == world.now + ROTATION


def test_a_successor_keeps_the_keys_and_begins_the_period_anew() -> None:
    world = led()
    keys, world.now = world.keys, 77
    world.manager = KeyManager(random.Random(12))
    world.step(Led(world.view))
    assert world.proposed == []
    assert world.keys == keys
    assert world.timers["rotate"] == 77 + ROTATION


def test_keys_that_nodes_would_not_take_are_replaced() -> None:
    """Such as two of a kind, from a cluster that was written down by another program."""
    world = led()
    world.commit(Changes.atomic(Update(replace(world.view.cluster(), network_bootstrap_keys=world.keys[1:]))))
    world.settle()
    assert [len(world.times(subsystem)) for subsystem in SUBSYSTEMS] == [3, 3]
    times = [key.lamport_time for key in world.keys]
    assert times == sorted(set(times))


def test_a_lost_proposal_is_made_again() -> None:
    world = World()
    world.found()
    world.step(Led(world.view))
    (lost,) = world.proposed
    world.proposed.clear()
    world.step(Proposed(lost.tag, error=ProposalDropped("no quorum")))
    assert world.timers["retry"] == 1 + 1_000_000_000
    world.step(TimerFired("retry"))
    world.settle()
    assert len(world.keys) == 6


def test_a_rotation_survives_that_the_cluster_changed_meanwhile() -> None:
    world = led()
    times = world.times(SUBSYSTEMS[0])
    world.step(TimerFired("rotate"))
    world.commit(Changes.atomic(Update(replace(world.view.cluster(), fips=True))))
    world.settle()
    assert world.view.cluster().fips
    assert world.times(SUBSYSTEMS[0])[:2] == times[1:]
    assert len(world.keys) == 6
    world.commit(Changes.atomic(Create(Network(id=NetworkId("n")))))
    assert world.proposed == []


def test_no_key_is_shown() -> None:
    world = led()
    shown = repr(world.keys) + repr(world.view.cluster()) + repr(world.records)
    assert not any(repr(key.key) in shown or key.key.hex() in shown for key in world.keys)
    assert repr(world.keys[0]).startswith("EncryptionKey(subsystem='networking:gossip', lamport_time=")
