"""A simulated cluster: the manager and the workers of a live one, on a heap, a modelled wire and modelled tasks."""

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, cast

import msgspec

from swarmlab.agent.exec import Described, Kept, Persist
from swarmlab.api import (
    ClusterId,
    Duration,
    NodeDescription,
    NodeId,
    NotFound,
    NotLeader,
    OutOfSequence,
    Precondition,
    ProposalDropped,
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
from swarmlab.sim.executor import ExecutorModel, SimExecutor
from swarmlab.sim.heap import Heap, HeapTimers
from swarmlab.sim.network import Network, NetworkModel
from swarmlab.sim.proposer import CommitModel, HeapProposer
from swarmlab.sim.writers import check_proposal
from swarmlab.store import EMPTY, CommitAtOnce, Committed, Proposer, Snapshot

T = TypeVar("T")

#: How often a request is repeated that was overtaken by another change.
PATIENCE = 20


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
        self.models = Models(config.network, config.tasks, config.commits)
        self._by_name: dict[str, SimWorker] = {}
        self._by_id: dict[str, SimWorker] = {}
        at_once = config.commits == CommitModel()
        self._followers: list[Callable[[Committed], None]] = [partial(check_commit, at_once=at_once)]
        self.network = Network(
            self.heap,
            self._rng("network"),
            lambda: self.models.network,
            to_manager=self._manager_receives,
            to_worker=self._worker_receives,
            broken=self._connection_broke,
        )
        self.manager = self._new_manager(EMPTY)
        self._manager_is_up = True
        self.cluster_id: ClusterId = self.ask(
            lambda view, ids, _: found_cluster(view, ids, heartbeat=config.heartbeat, history=config.history)
        )
        self.manager.lead()

    def follow(self, hear: Callable[[Committed], None]) -> None:
        """Have `hear` called with every commit from now on, under whichever manager. One that raises ends the run."""
        self._followers.append(hear)

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
        if not self._manager_is_up:
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
        """The same as a patient client has it: one that was overtaken or dropped reads again, and asks again."""
        for _ in range(PATIENCE):
            with suppress(OutOfSequence, ProposalDropped):
                return self.request(request)
        return self.request(request)

    def stop_manager(self) -> None:
        """The manager's process ends: what is committed stays, all else is lost, connections too."""
        assert self._manager_is_up, "the manager is down already"
        self._manager_is_up = False
        self.manager.resign()
        self._manager_timers.close()
        self.manager.store.close()
        for worker in self.workers:
            self.network.break_connection(worker.node_id)

    def start_manager(self) -> None:
        """A new manager takes over what the last one committed."""
        assert not self._manager_is_up, "the manager runs already"
        self.manager = self._new_manager(self.manager.view)
        self._manager_is_up = True
        self.manager.lead()

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

    def _new_manager(self, snapshot: Snapshot) -> Manager:
        config = self.config

        def timers(fire: Callable[[str, str], None]) -> HeapTimers:
            self._manager_timers = HeapTimers(self.heap, fire)
            return self._manager_timers

        proposer: Proposer = CommitAtOnce()
        if config.commits != CommitModel():
            rng = self._rng(f"proposer@{snapshot.version}")
            proposer = HeapProposer(self.heap, rng, lambda: self.models.commits)
        manager = Manager(
            ManagerConfig(seed=config.seed, debounce=config.debounce, settle=config.settle),
            self.host,
            Ports(
                clock=self.heap.clock,
                timers=timers,
                send=lambda to, message, call: self.network.send(to, "worker", message, call),
                record=self.note,
                proposing=check_proposal,
                entropy=self._rng(f"entropy@{snapshot.version}"),
            ),
            proposer,
            snapshot,
        )
        manager.store.watch(None, self._committed)
        return manager

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
        if not self._manager_is_up:
            self.network.break_connection(node)
            return
        self.manager.receive(node, message, call)

    def _worker_receives(self, node: str, message: Any, call: int) -> None:
        agent = self._by_id[node].agent
        if agent is not None:
            agent.receive(message, call)

    def _connection_broke(self, node: str, end: str) -> None:
        if end == "manager":
            self.manager.disconnected(node)
            return
        agent = self._by_id[node].agent
        if agent is not None:
            agent.disconnected()


def _persist(worker: SimWorker, effect: Persist) -> None:
    if effect.kept is None:
        worker.disk.pop(effect.task_id, None)
    else:
        worker.disk[effect.task_id] = effect.kept
