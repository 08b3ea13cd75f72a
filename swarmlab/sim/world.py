"""A simulated cluster: the manager and the workers of a live one, on a heap, a modelled wire and modelled tasks."""

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, cast

import msgspec

from swarmlab.agent.exec import Described, Kept, Persist
from swarmlab.api import (
    Changes,
    ClusterId,
    Create,
    Duration,
    Instant,
    NodeDescription,
    NodeId,
    NotFound,
    NotLeader,
    OutOfSequence,
    Precondition,
    ProposalDropped,
    ProposalUnknown,
    TaskId,
    Value,
    after,
    between,
    seconds,
)
from swarmlab.component import derived_rng
from swarmlab.node import (
    Manager,
    ManagerConfig,
    MembershipPorts,
    Ports,
    Worker,
    WorkerConfig,
    WorkerPorts,
    admit_worker,
    found_cluster,
)
from swarmlab.node.manager import Request
from swarmlab.plugin import Host
from swarmlab.sim.checkers import check_commit
from swarmlab.sim.connections import Connections
from swarmlab.sim.executor import ExecutorModel, SimExecutor
from swarmlab.sim.heap import Heap, HeapTimers
from swarmlab.sim.machine import GroupModel, SimManager, manager_node
from swarmlab.sim.managers import SimManagers
from swarmlab.sim.network import Network, NetworkModel
from swarmlab.sim.partitions import Partition
from swarmlab.sim.proposer import CommitModel, HeapProposer
from swarmlab.sim.writers import check_proposal
from swarmlab.store import EMPTY, CommitAtOnce, Committed, Proposer, Snapshot

T = TypeVar("T")

#: How often a request is repeated that was overtaken by another change.
PATIENCE = 20
#: How long a client of several managers waits before that.
AGAIN_AFTER = seconds(0.2)


class WorldConfig(Value, frozen=True, kw_only=True):
    """What a simulated cluster is made of; with the same values it does the same things."""

    seed: int = 0
    heartbeat: Duration = seconds(5)
    history: int = 5
    debounce: Duration = Duration(50_000_000)
    settle: Duration = seconds(1)
    #: These three are how it begins; `World.models` may be changed at any time.
    network: NetworkModel = NetworkModel()
    tasks: ExecutorModel = ExecutorModel()
    commits: CommitModel = CommitModel()
    #: With more than one, they replicate; `commits` is then of no account.
    managers: int = 1
    group: GroupModel = GroupModel()


class LogLine(Value, frozen=True, kw_only=True):
    """One record: what a part decided or saw, with the virtual time since the start."""

    at: Duration
    component: str
    event: str
    fields: Mapping[str, Any]

    def encode(self) -> bytes:
        """The line as JSON, keys in a fixed order, without a line end."""
        return msgspec.json.encode(
            {"at": self.at, "component": self.component, "event": self.event, **self.fields}, order="deterministic"
        )


class Models:
    """How wire, tasks and commits behave now."""

    def __init__(self, network: NetworkModel, tasks: ExecutorModel, commits: CommitModel) -> None:
        self.network = network
        self.tasks = tasks
        self.commits = commits


class SimWorker:
    """A node: its modelled machine, the records on its disk, and the life of its agent, if it has one now."""

    def __init__(self, name: str, node_id: NodeId, description: NodeDescription, executor: SimExecutor) -> None:
        self.name = name
        self.node_id = node_id
        self.description = description
        self.executor = executor
        self.disk: dict[TaskId, Kept] = {}
        self.agent: Worker | None = None
        self.timers: list[HeapTimers] = []


class World:
    """A cluster in virtual time. `run_for` lets time pass; everything else happens at the present instant."""

    def __init__(self, config: WorldConfig, host: Host) -> None:
        self.config = config
        self.host = host
        self.heap = Heap()
        self.log: list[LogLine] = []
        self.last_commit = self.heap.now
        #: Chance of what happens to managers.
        self._chance = self._rng("managers")
        self.models = Models(config.network, config.tasks, config.commits)
        self._by_name: dict[str, SimWorker] = {}
        self._by_id: dict[str, SimWorker] = {}
        at_once = config.commits == CommitModel() and config.managers == 1
        self._followers: list[Callable[[Committed], None]] = [partial(check_commit, at_once=at_once)]
        self.network = Network(
            self.heap,
            self._rng("network"),
            lambda: self.models.network,
            to_manager=self._manager_receives,
            to_worker=self._worker_receives,
            broken=self._connection_broke,
        )
        #: None: one manager decides alone.
        self.managers: SimManagers | None = None
        self._connections = Connections(self.network, lambda: self.managers.leader if self.managers else None)
        if config.managers == 1:
            self._sole = self._new_manager(self._sole_timers, self._proposer(EMPTY), EMPTY, config.seed)
            self._sole.store.watch(None, self._committed)
        else:
            self.managers = SimManagers(
                config.managers,
                self.heap,
                self._rng,
                config.group,
                self._replicated,
                lambda name, event, fields: self.note(f"raft/{name}", event, dict(fields)),
                self._connections.turned,
                self._committed,
            )
        self._manager_is_up = True
        self.cluster_id: ClusterId = self.ask(self._found)
        if self.managers is None:
            self._sole.lead()

    def follow(self, hear: Callable[[Committed], None]) -> None:
        """Have `hear` called with every commit from now on, under whichever manager. One that raises ends the run."""
        self._followers.append(hear)

    @property
    def manager(self) -> Manager:
        """The one that leads, or did last; of several without a leader the one that is furthest."""
        if self.managers is None:
            return self._sole
        leader = self.managers.leader
        if leader is not None:
            return leader.running[0]
        return max((each.running[0] for each in self.managers.all), key=lambda manager: manager.view.version)

    @property
    def view(self) -> Snapshot:
        """The committed state."""
        return self.manager.view

    @property
    def elapsed(self) -> Duration:
        """Virtual time since the start."""
        return between(self.heap.start, self.heap.now)

    @property
    def workers(self) -> tuple[SimWorker, ...]:
        """All of them, by name."""
        return tuple(self._by_name[name] for name in sorted(self._by_name))

    def worker(self, name: str) -> SimWorker:
        """The worker of that name.

        Raises:
            NotFound: There is none.
        """
        if name not in self._by_name:
            raise NotFound(f"worker {name!r} not found; there are {', '.join(sorted(self._by_name)) or 'none'}")
        return self._by_name[name]

    def request(self, request: Request[T]) -> T:
        """Have the manager commit what a client asks for; its answer, after as long as that takes.

        Raises what the client would get, `NotLeader` while the manager is down.
        """
        if not self._manager_is_up or (self.managers is not None and self.managers.leader is None):
            raise NotLeader
        answers: list[tuple[T | None, Exception | None]] = []
        self.manager.mutate(request, lambda answer, error: answers.append((answer, error)))
        while not answers:
            assert self.heap.step(), "a request is not answered, and nothing more will happen"
        [(answer, error)] = answers
        if error is not None:
            raise error
        return cast(T, answer)

    def ask(self, request: Request[T]) -> T:
        """The same as a patient client has it: one that was overtaken or dropped reads again, and asks again.

        Of several managers it looks for the one that leads. Where the leader went away in the middle of it, what was
        asked for may have happened: it is asked for again, and is refused then, if it cannot happen twice.
        """
        passing: tuple[type[Exception], ...] = (OutOfSequence, ProposalDropped)
        if self.managers is not None:
            passing = (*passing, NotLeader, ProposalUnknown)
        for _ in range(PATIENCE):
            if self.managers is not None:
                self.managers.wait_for_leader()
            with suppress(*passing):
                return self.request(request)
            if self.managers is not None:
                # A leader that hands over drops what comes.
                self.run_for(AGAIN_AFTER)
        return self.request(request)

    def stop_manager(self) -> None:
        """The manager's process ends: what is committed stays, all else is lost, connections too.

        Of several managers it is the one that leads, and its machine loses power; where none leads, nothing happens.
        """
        if self.managers is not None:
            leader = self.managers.leader
            if leader is not None:
                self.managers.crash(leader, self.kept())
            return
        assert self._manager_is_up, "the manager is down already"
        self._manager_is_up = False
        self._sole.resign()
        self._manager_timers.close()
        self._sole.store.close()
        for worker in self.workers:
            self.network.break_connection(worker.node_id)

    def start_manager(self) -> None:
        """A new manager takes over what the last one committed; of several, all that are down start again."""
        if self.managers is not None:
            for owner in self.managers.all:
                if not owner.up and not owner.left:
                    self.managers.start(owner)
            return
        assert not self._manager_is_up, "the manager runs already"
        view = self._sole.view
        self._sole = self._new_manager(self._sole_timers, self._proposer(view), view, self.config.seed)
        self._sole.store.watch(None, self._committed)
        self._manager_is_up = True
        self._sole.lead()

    def kept(self) -> int:
        """How many of the writes under way are on a disk whose power fails now: by chance."""
        return self._chance.randrange(3)

    def run_for(self, span: Duration) -> None:
        """Let that much time pass."""
        self.heap.run_until(after(self.heap.now, span))

    def add_worker(self, name: str, description: NodeDescription) -> SimWorker:
        """A new node joins and starts."""
        assert name not in self._by_name, f"two workers named {name}"
        node_id = self.ask(lambda view, ids, _: admit_worker(view, name, ids))
        rng = self._rng(f"executor/{name}")
        executor = SimExecutor(self.heap.clock, self.heap.at, rng, lambda task: self.models.tasks.of(task))
        worker = SimWorker(name, node_id, description, executor)
        self._by_name[name] = self._by_id[node_id] = worker
        self.start_worker(name)
        return worker

    def start_worker(self, name: str) -> None:
        """Start the agent of a node that is off: with its disk, and with its tasks where they outlived the agent.

        Raises:
            NotFound: No worker has that name.
            Precondition: It runs.
        """
        worker = self.worker(name)
        if worker.agent is not None:
            raise Precondition(f"worker {name} runs already")

        def timers(fire: Callable[[str, str], None]) -> HeapTimers:
            worker.timers.append(HeapTimers(self.heap, fire))
            return worker.timers[-1]

        agent = Worker(
            WorkerConfig(node_id=worker.node_id, hostname=name, seed=self.config.seed),
            Ports(
                clock=self.heap.clock,
                timers=timers,
                send=lambda _, message, call: self.network.send(worker.node_id, "manager", message, call),
                record=lambda component, event, fields: self.note(f"{component}/{name}", event, fields),
            ),
            WorkerPorts(
                execute=worker.executor.execute,
                interrupt=worker.executor.interrupt,
                describe=lambda: agent.post(Described(worker.description)),
                configure=lambda _: None,
                persist=lambda effect: _persist(worker, effect),
                retire=lambda: self.kill_worker(name),
            ),
        )
        worker.agent = agent
        self.network.open(worker.node_id)
        worker.executor.connect(agent.post)
        worker.executor.adopt(tuple(sorted(worker.disk)))
        agent.start([worker.disk[task] for task in sorted(worker.disk)])

    def kill_worker(self, name: str, *, tasks_too: bool = True) -> None:
        """The node loses power, which the manager learns by silence; or, without `tasks_too`, its agent is killed."""
        worker = self.worker(name)
        worker.agent = None
        for timers in worker.timers:
            timers.close()
        worker.timers.clear()
        if tasks_too:
            worker.executor.power_off()
            self.network.silence(worker.node_id)
        else:
            worker.executor.connect(lambda _: None)
            self.network.close(worker.node_id)

    def change_description(self, name: str, description: NodeDescription) -> None:
        """The machine changes (memory, labels of its engine); its agent finds out when it next looks."""
        self.worker(name).description = description

    def _new_manager(
        self,
        keep: Callable[[HeapTimers], None],
        proposer: Proposer,
        view: Snapshot,
        seed: int,
        owner: SimManager | None = None,
        membership: MembershipPorts | None = None,
    ) -> Manager:
        config = self.config

        def timers(fire: Callable[[str, str], None]) -> HeapTimers:
            made = HeapTimers(self.heap, fire)
            keep(made)
            return made

        def send(to: str, message: Any, call: int) -> None:
            # Of several managers each reaches the workers that are connected with it.
            if owner is None or self._connections.has(to, owner):
                self.network.send(to, "worker", message, call)

        return Manager(
            ManagerConfig(seed=seed, debounce=config.debounce, settle=config.settle),
            self.host,
            Ports(
                clock=self.heap.clock,
                timers=timers,
                send=send,
                record=self.note,
                proposing=check_proposal,
                entropy=self._rng(f"entropy@{view.version}"),
            ),
            proposer,
            view,
            membership=membership,
        )

    def _sole_timers(self, timers: HeapTimers) -> None:
        self._manager_timers = timers

    def _proposer(self, view: Snapshot) -> Proposer:
        if self.config.commits == CommitModel():
            return CommitAtOnce()
        return HeapProposer(self.heap, self._rng(f"proposer@{view.version}"), lambda: self.models.commits)

    # Several managers

    def part(self, partition: Partition) -> None:
        """Let nothing through between the sides. Workers are parted both ways, and not from each other.

        Raises:
            NotFound: A name is neither a manager's nor a worker's.
        """
        assert self.managers is not None, "one manager alone cannot be parted"
        for sender, receiver in partition.pairs():
            for_worker = self._worker_and_manager(sender, receiver)
            if for_worker is None:
                self.managers.mute(sender, receiver)
            elif for_worker:
                self._connections.part(*for_worker)

    def mend(self, partition: Partition) -> None:
        """End a partition.

        Raises:
            NotFound: As for `part`.
        """
        assert self.managers is not None, "one manager alone cannot be parted"
        for sender, receiver in partition.pairs():
            for_worker = self._worker_and_manager(sender, receiver)
            if for_worker is None:
                self.managers.unmute(sender, receiver)
            elif for_worker:
                self._connections.mend(*for_worker)

    def _worker_and_manager(self, one: str, other: str) -> tuple[str, str] | tuple[()] | None:
        """The node id of the worker of the two and the name of the manager; empty: both are workers, None: neither."""
        workers = [name for name in (one, other) if name in self._by_name]
        if not workers:
            return None
        if len(workers) == 2:
            return ()
        assert self.managers is not None
        manager = self.managers.named(other if one in workers else one)
        return self._by_name[workers[0]].node_id, manager.name

    def _found(self, view: Snapshot, ids: random.Random, _: Instant) -> tuple[Changes, ClusterId]:
        """The cluster, and the nodes of its managers, where there are several: they run no tasks."""
        changes, cluster_id = found_cluster(view, ids, heartbeat=self.config.heartbeat, history=self.config.history)
        if self.managers is None or not changes:
            return changes, cluster_id
        nodes = [Create(manager_node(each.name)) for each in self.managers.all]
        return Changes.atomic(*changes.groups[0], *nodes), cluster_id

    def _replicated(
        self, owner: SimManager, proposer: Proposer, view: Snapshot, membership: MembershipPorts
    ) -> Manager:
        """The manager of one life of that machine. It reaches the workers that are connected with it."""
        seed = self._rng(f"manager/{owner.name}/{owner.lives}").getrandbits(63)
        return self._new_manager(owner.timers.append, proposer, view, seed, owner, membership)

    def _end_of(self, node: str) -> Manager | None:
        """The manager that a worker is connected with; a new connection finds the one that leads."""
        if self.managers is None:
            return self._sole if self._manager_is_up else None
        owner = self._connections.end_of(node)
        return owner.running[0] if owner is not None else None

    def _committed(self, event: Committed) -> None:
        self.last_commit = self.heap.now
        for follower in self._followers:
            follower(event)

    def _rng(self, name: str) -> random.Random:
        return derived_rng(self.config.seed, name)

    def note(self, component: str, event: str, fields: Mapping[str, Any]) -> None:
        """Add a line to the log."""
        self.log.append(LogLine(at=self.elapsed, component=component, event=event, fields=fields))

    def _manager_receives(self, node: str, message: Any, call: int) -> None:
        manager = self._end_of(node)
        if manager is None:
            self.network.break_connection(node)
        else:
            manager.receive(node, message, call)

    def _worker_receives(self, node: str, message: Any, call: int) -> None:
        agent = self._by_id[node].agent
        if agent is not None:
            agent.receive(message, call)

    def _connection_broke(self, node: str, end: str) -> None:
        if end == "manager":
            owner = self._connections.broke(node)
            (self._sole if self.managers is None else owner.running[0] if owner else self.manager).disconnected(node)
            return
        agent = self._by_id[node].agent
        if agent is not None:
            agent.disconnected()


def _persist(worker: SimWorker, effect: Persist) -> None:
    if effect.kept is None:
        worker.disk.pop(effect.task_id, None)
    else:
        worker.disk[effect.task_id] = effect.kept
