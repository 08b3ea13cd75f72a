"""Replicas over a modelled wire and modelled disks, in virtual time: a tick is 100 ms."""

import random
from collections.abc import Callable

from swarmlab.api import Changes, Create, Instant, NodeId, Task, TaskId, after, seconds
from swarmlab.node import RaftMember, Recovered, Replica, ReplicaConfig, founding, joining
from swarmlab.raft import NOBODY, RaftId
from swarmlab.sim import Heap
from swarmlab.sim.disk import DiskModel, SimDisk
from swarmlab.sim.mesh import Mesh, MeshModel, MeshWire
from swarmlab.store import Outcome, Snapshot, Store

TICK = seconds(0.1)


class Seat:
    """One manager's machine: its disk lasts, its lives come and go."""

    def __init__(self, group: "Group", recovered: Recovered) -> None:
        self.group = group
        self.raft_id = recovered.member.raft_id
        rng = random.Random(f"{group.seed}/disk/{recovered.member.node_id}")
        self.disk = SimDisk(group.heap, rng, lambda: group.disk_model, recovered)
        self.lives = 0
        self.records: list[tuple[str, dict]] = []
        #: "lead" and "resign", as they came.
        self.turns: list[str] = []
        self.outcomes: dict[str, Outcome] = {}
        self.versions: list[int] = []
        self.start()

    def start(self) -> None:
        self.lives += 1
        group, recovered = self.group, self.disk.recovered
        self.wire = MeshWire(group.mesh)
        self.replica = Replica(
            group.config,
            recovered,
            random.Random(f"{group.seed}/{recovered.member.node_id}/{self.lives}"),
            self.disk,
            self.wire,
            lambda event, fields: self.records.append((event, dict(fields))),
        )
        self.store, lead, resign = group.made(self, self.replica)
        self.store.watch(None, lambda event: self.versions.append(event.view.version))
        self.up = True
        group.mesh.attach(self.raft_id, self.replica)
        self.replica.start(
            self.store, lambda: (self.turns.append("lead"), lead()), lambda: (self.turns.append("resign"), resign())
        )
        self._tick_later(self.replica)

    def crash(self, kept: int = 0) -> None:
        """Power fails; of the writes under way the first ones are on the disk."""
        self.up = False
        self.group.mesh.detach(self.raft_id)
        self.disk.crash(kept)

    def propose(self, *keys: str) -> None:
        """Create a task for each, each in a proposal of its own."""
        for key in keys:
            self.store.propose(
                Changes.atomic(Create(Task(id=TaskId(key)))), lambda outcome, key=key: self._end(key, outcome)
            )

    def tasks(self) -> list[str]:
        return [task.id for task in self.store.view.tasks()]

    def events(self, *names: str) -> list[dict]:
        return [fields for event, fields in self.records if event in names]

    def _end(self, key: str, outcome: Outcome) -> None:
        assert key not in self.outcomes, f"the proposal of {key} ended twice"
        self.outcomes[key] = outcome

    def _tick_later(self, replica: Replica) -> None:
        def tick() -> None:
            if self.up and self.replica is replica:
                replica.tick()
                self.group.heap.later(TICK, tick)

        self.group.heap.later(TICK, tick)


class Group:
    """A founder, and those who joined it."""

    def __init__(self, size: int = 3, seed: int = 1, **config: int) -> None:
        self.seed = seed
        self.heap = Heap()
        self.config = ReplicaConfig(**config)
        self.disk_model = DiskModel()
        self.mesh_model = MeshModel()
        self.mesh = Mesh(self.heap, random.Random(f"{seed}/mesh"), lambda: self.mesh_model)
        founder = RaftMember(RaftId(11), NodeId("m1"), "m1:2377")
        self.seats = [Seat(self, founding(founder))]
        self.run(1)
        for number in range(2, size + 1):
            self.join(f"m{number}")
            self.run(2)
        if size > 1:
            assert len(self.leader.replica.voters) == size, self.leader.replica.status()

    def made(self, seat: Seat, replica: Replica) -> tuple[Store, Callable[[], None], Callable[[], None]]:
        """A store for one life, and what to call when its turn to lead begins and ends."""
        return Store(replica, self.heap.clock, replica.snapshot), lambda: None, lambda: None

    def join(self, name: str) -> Seat:
        """Have the leader admit that node, and start it."""
        answers = []
        self.leader.replica.join(NodeId(name), f"{name}:2377", lambda joined, error: answers.append((joined, error)))
        self.until(lambda: bool(answers))
        [(joined, error)] = answers
        assert error is None, error
        self.seats.append(Seat(self, joining(joined.member, joined.roster)))
        return self.seats[-1]

    @property
    def leading(self) -> list[Seat]:
        return [seat for seat in self.seats if seat.up and seat.replica.leads]

    @property
    def leader(self) -> Seat:
        """The one of the newest term, after as long as it takes."""
        self.until(lambda: bool(self.leading))
        return max(self.leading, key=lambda seat: seat.replica.status().term)

    @property
    def followers(self) -> list[Seat]:
        leader = self.leader
        return [seat for seat in self.seats if seat is not leader and seat.up]

    def run(self, span: float) -> None:
        self.heap.run_until(after(self.heap.now, seconds(span)))

    def until(self, ready, limit: float = 60) -> None:
        end = after(self.heap.now, seconds(limit))
        while not ready():
            assert self.heap.now < end, f"it did not happen within {limit} s (seed {self.seed})"
            assert self.heap.step(), f"nothing will happen any more (seed {self.seed})"

    def cut_off(self, seat: Seat) -> None:
        for other in self.seats:
            if other is not seat:
                self.mesh.cut(seat.raft_id, other.raft_id)

    def views(self) -> list[Snapshot]:
        return [seat.store.view for seat in self.seats if seat.up]

    def agree(self) -> None:
        """Everybody who is up comes to the same state."""
        self.until(lambda: len({view.version for view in self.views()}) == 1)
        first, *others = self.views()
        for view in others:
            assert view.tasks() == first.tasks()


__all__ = ["NOBODY", "TICK", "Group", "Instant", "Seat"]
