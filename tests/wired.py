"""A dispatcher and some agents, joined by a fake wire in virtual time, with checks that live outside of both.

The wire keeps the order of what it carries, as a stream does; it is late, and it breaks. What was under way on a broken
connection is lost, and an end may go on sending into it until it notices.
"""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec.structs import replace

from swarmlab.agent import Agent
from swarmlab.agent.exec import (
    Configure,
    Describe,
    Described,
    Execute,
    Executed,
    Interrupt,
    Kept,
    Leaving,
    Operation,
    Persist,
    Restored,
    Retire,
)
from swarmlab.api import (
    MILLISECOND,
    SECOND,
    Annotations,
    AssignmentAction,
    AssignmentsMessage,
    AssignmentsType,
    Changes,
    Cluster,
    ClusterSpec,
    ConfigId,
    ContainerStatus,
    Create,
    DispatcherConfig,
    Duration,
    ExecutorError,
    Node,
    NodeDescription,
    NodeId,
    ProposalDropped,
    SecretId,
    SessionRequest,
    Task,
    TaskId,
    TaskState,
    TaskStatus,
    configs_of,
    is_dead,
    seconds,
    secrets_of,
)
from swarmlab.component import (
    Assembly,
    CancelTimer,
    Disconnected,
    Propose,
    Proposed,
    Received,
    Record,
    Send,
    SetTimer,
    TimerFired,
)
from swarmlab.manager.dispatcher import Dispatcher
from swarmlab.store import Committed, Entry, Led, Outcome, Store
from swarmlab.testing import Time, Timers


class Weather(NamedTuple):
    """How often things go wrong; all of it is chance of the world's generator."""

    temporary: float = 0.0
    final: float = 0.0
    exits: float = 0.0
    drops: float = 0.0
    stalls: float = 0.0


class SlowProposer:
    """Commits after a while, in order; now and then drops a proposal and all behind it."""

    max_entry_bytes: int | None = None

    def __init__(self, world: "World") -> None:
        self._world = world
        self._waiting: list[Callable[[Exception | None], None]] = []
        self._last = world.time.now

    def propose(self, _: Entry, done: Callable[[Exception | None], None]) -> None:
        self._waiting.append(done)
        self._last = max(self._last, self._world.time.now + self._world.chance.randrange(5 * MILLISECOND))
        self._world.time.at(self._last, lambda: self._decide(done))

    def _decide(self, done: Callable[[Exception | None], None]) -> None:
        if done not in self._waiting:
            return
        if self._world.chance.random() < self._world.weather.drops:
            dropped, self._waiting = self._waiting, []
            for each in dropped:
                each(ProposalDropped("no quorum"))
        else:
            self._waiting.remove(done)
            done(None)


class Executor:
    """Runs tasks in virtual time, and sees to it that the agent keeps the contract."""

    def __init__(self, world: "World") -> None:
        self._world = world
        #: {task: prepared, running, or its exit code}
        self.there: dict[TaskId, str | int] = {}
        self.starts: dict[TaskId, int] = {}
        self.seen: dict[TaskId, tuple[str, ...]] = {}
        self._in_hand: dict[TaskId, Execute] = {}
        self._answer: Callable[[Executed], None] | None = None

    def connect(self, answer: Callable[[Executed], None] | None) -> None:
        """Answer that agent from now on; what an earlier one asked for is broken off."""
        self._in_hand = {}
        self._answer = answer

    @property
    def running(self) -> set[TaskId]:
        return {task_id for task_id, state in self.there.items() if state == "running"}

    def die(self) -> None:
        """The tasks die with the worker, as processes do."""
        for task_id in self.running:
            self.there[task_id] = "lost"

    def execute(self, effect: Execute) -> None:
        assert effect.task_id not in self._in_hand, f"{effect.task_id}: two operations in hand"
        self._in_hand[effect.task_id] = effect
        self.seen[effect.task_id] = tuple(str(item.id) for item in (*effect.secrets, *effect.configs))
        if effect.operation is not Operation.WAIT or self.there.get(effect.task_id) != "running":
            self._later(effect)
        elif self._world.chance.random() < self._world.weather.exits:
            self._world.time.later(self._world.chance.randrange(3 * SECOND), lambda: self._exit(effect))

    def interrupt(self, effect: Interrupt) -> None:
        execute = self._in_hand.get(effect.task_id)
        if execute is not None:
            error = ExecutorError("broken off", temporary=True)
            self._world.time.later(MILLISECOND, lambda: self._end(execute, error))

    def _later(self, effect: Execute) -> None:
        self._world.time.later(self._world.chance.randrange(200 * MILLISECOND), lambda: self._do(effect))

    def _exit(self, effect: Execute) -> None:
        if self._in_hand.get(effect.task_id) is effect:
            self.there[effect.task_id] = self._world.chance.choice((0, 1))
            self._do(effect)

    def _do(self, effect: Execute) -> None:
        if self._in_hand.get(effect.task_id) is effect:
            self._end(effect, self._done(effect))

    def _done(self, effect: Execute) -> ExecutorError | None:
        """Do it, unless the weather is bad; half of the bad luck comes after it was done."""
        chance, weather, late = self._world.chance, self._world.weather, self._world.chance.random() < 0.5
        error = None
        if chance.random() < weather.temporary:
            error = ExecutorError("try again", temporary=True)
        elif chance.random() < weather.final and effect.operation in (Operation.PREPARE, Operation.START):
            error = ExecutorError("never")
        if error is not None and not late:
            return error
        return self._work(effect) or error

    def _work(self, effect: Execute) -> ExecutorError | None:
        task_id, state = effect.task_id, self.there.get(effect.task_id)
        match effect.operation:
            case Operation.PREPARE:
                self.there.setdefault(task_id, "prepared")
            case Operation.START:
                if state is None:
                    return ExecutorError("not prepared")
                if state == "prepared":
                    self.there[task_id] = "running"
                    self.starts[task_id] = self.starts.get(task_id, 0) + 1
            case Operation.WAIT:
                if not isinstance(state, int):
                    return ExecutorError("nothing runs, and nobody knows how it ended")
                return ExecutorError(f"task: non-zero exit ({state})", exit_code=state) if state else None
            case Operation.SHUTDOWN | Operation.TERMINATE:
                if state == "running":
                    self.there[task_id] = 143
            case Operation.REMOVE:
                self.there.pop(task_id, None)
        return None

    def _end(self, effect: Execute, error: ExecutorError | None) -> None:
        if self._in_hand.get(effect.task_id) is effect:
            del self._in_hand[effect.task_id]
            assert self._answer is not None
            self._answer(Executed(effect.task_id, effect.operation, error, ContainerStatus(f"c-{effect.task_id}")))


class Worker:
    """A worker: its disk and its executor outlive the agent."""

    def __init__(self, world: "World", node_id: NodeId) -> None:
        self._world = world
        self.node_id = node_id
        self.disk: dict[TaskId, Kept] = {}
        self.executor = Executor(world)
        self.alive = False
        self.retired = False
        #: The connection that the agent believes to have.
        self.epoch = 0
        #: What the assignments it heard add up to, worked out apart from the agent.
        self.assigned: dict[TaskId, Task] = {}
        self.secrets: set[str] = set()
        self.configs: set[str] = set()
        self._chain: tuple[int, str] = (0, "")

    def start(self) -> None:
        world, rng = self._world, random.Random(self._world.chance.random())
        timers = self._timers = Timers(world.time, lambda name, timer: assembly.post(name, TimerFired(timer)))
        assembly = self._assembly = Assembly(
            [Agent(self.node_id, rng, node_id=self.node_id)],
            {
                SetTimer: lambda source, effect: timers.set(source, effect.name, effect.at),
                CancelTimer: lambda source, effect: timers.cancel(source, effect.name),
                Send: lambda _, effect: world.from_worker(self, effect),
                Record: lambda _, effect: world.records.append(effect),
                Execute: lambda _, effect: self.executor.execute(effect),
                Interrupt: lambda _, effect: self.executor.interrupt(effect),
                Describe: lambda _, effect: self._describe(),
                Persist: lambda _, effect: self._persist(effect),
                Configure: lambda _, effect: None,
                Retire: lambda _, effect: self._retire(),
            },
            world.time.clock,
        )
        self.alive = True
        self._chain = 0, ""
        self.executor.connect(lambda event: assembly.post("agent", event))
        self.post(Restored(tuple(self.disk[task_id] for task_id in sorted(self.disk))))

    def post(self, event: Any) -> None:
        if self.alive:
            self._assembly.post("agent", event)

    def kill(self, *, processes: bool) -> None:
        """Kill -9; with `processes` its tasks die too."""
        if not self.alive:
            return
        self.alive = False
        self._timers.close()
        self.executor.connect(None)
        if processes:
            self.executor.die()
        self._world.cut(self.node_id, heal=True)

    def leave(self) -> None:
        self.post(Leaving())

    def hear(self, message: Any, call: int) -> None:
        if isinstance(message, AssignmentsMessage):
            self._follow(message, call)
        self.post(Received("manager", message, call))

    def _follow(self, message: AssignmentsMessage, call: int) -> None:
        """Every message that arrives continues the chain of its stream."""
        before = self._chain
        if message.type is AssignmentsType.COMPLETE:
            assert before[0] != call, "a second complete message in one stream"
            assert message.applies_to == ""
            self.assigned, self.secrets, self.configs = {}, set(), set()
        else:
            assert before == (call, message.applies_to), f"a gap: {before} then {message.applies_to} of call {call}"
        self._chain = call, message.results_in
        for change in message.changes:
            keep, item = change.action is AssignmentAction.UPDATE, change.assignment
            assert item is not None
            if item.task is not None:
                if keep:
                    self.assigned[item.task.id] = item.task
                else:
                    del self.assigned[item.task.id]
            for mine, obj in ((self.secrets, item.secret), (self.configs, item.config)):
                if obj is not None:
                    assert (obj.id in mine) is not keep, f"{obj.id} twice"
                    (mine.add if keep else mine.remove)(str(obj.id))

    def _describe(self) -> None:
        description = NodeDescription(hostname=self.node_id)
        self._world.time.later(0, lambda: self.post(Described(description)))

    def _persist(self, effect: Persist) -> None:
        old = self.disk.get(effect.task_id)
        if effect.kept is None:
            self.disk.pop(effect.task_id, None)
            return
        if old is not None:
            assert old.status.state <= effect.kept.status.state, f"{effect.task_id} fell"
        self.disk[effect.task_id] = effect.kept

    def _retire(self) -> None:
        self.retired = True


class World:
    """One manager and its workers."""

    def __init__(self, seed: int, nodes: int = 2) -> None:
        self.chance = random.Random(seed)
        self.weather = Weather()
        self.time = Time()
        self.records: list[Record] = []
        self.states: dict[TaskId, list[TaskState]] = {}
        self.store = Store(SlowProposer(self), self.time.clock, on_commit=self._committed)
        self.down: set[NodeId] = set()
        self._epochs: dict[NodeId, int] = {}
        self._manager_epochs: dict[NodeId, int] = {}
        self._arrivals: dict[tuple[str, NodeId], int] = {}
        self._terms = 0
        self.lead()
        spec = ClusterSpec(annotations=Annotations(name="default"), dispatcher=DispatcherConfig(Duration(SECOND)))
        self.write(Create(Cluster(id="cluster", spec=spec)))
        self.workers = {}
        for number in range(1, nodes + 1):
            node_id = NodeId(f"n{number}")
            self.write(Create(Node(id=node_id)))
            self._epochs[node_id] = 1
            self.workers[node_id] = Worker(self, node_id)
        self.run(0.1)
        for worker in self.workers.values():
            worker.start()

    def lead(self) -> None:
        """A manager begins to lead; connections of an earlier one break."""
        self._terms += 1
        dispatcher = Dispatcher(random.Random(self._terms), manager_id=f"m{self._terms}", orphan_after=seconds(3600))
        if self._terms > 1:
            self._timers.close()
        timers = self._timers = Timers(self.time, lambda name, timer: assembly.post(name, TimerFired(timer)))
        assembly = self.assembly = Assembly(
            [dispatcher],
            {
                SetTimer: lambda source, effect: timers.set(source, effect.name, effect.at),
                CancelTimer: lambda source, effect: timers.cancel(source, effect.name),
                Send: lambda _, effect: self._from_manager(effect),
                Record: lambda _, effect: self.records.append(effect),
                Propose: lambda source, effect: self._propose(assembly, source, effect),
            },
            self.time.clock,
        )
        for node_id in self._epochs:
            self.cut(node_id, heal=True)
        self._manager_epochs = {}
        assembly.broadcast(Led(self.store.view))

    def run(self, span: float) -> None:
        self.time.advance(seconds(span))

    def write(self, *actions: Any) -> None:
        """Propose that; it may be dropped, as anything may."""
        self.store.propose(Changes.atomic(*actions), lambda outcome: None)

    # The wire

    def cut(self, node_id: NodeId, *, heal: bool, notice: float = 2.0) -> None:
        """Break the connection; both ends notice within that many seconds, each in its own time."""
        longest = seconds(notice)
        broken = self._epochs[node_id]
        self._epochs[node_id] = broken + 1
        if not heal:
            self.down.add(node_id)
        worker = self.workers[node_id]
        self.time.later(self.chance.randrange(longest), lambda: self._worker_notices(worker, broken))
        self.time.later(self.chance.randrange(longest), lambda: self._manager_notices(node_id, broken))

    def heal(self) -> None:
        self.down.clear()

    def from_worker(self, worker: Worker, effect: Send) -> None:
        node_id = worker.node_id
        if isinstance(effect.message, SessionRequest):
            worker.epoch = self._epochs[node_id]
        epoch = worker.epoch
        if node_id in self.down:
            self.time.later(MILLISECOND, lambda: self._worker_notices(worker, epoch))
            return

        def arrive() -> None:
            if epoch == self._epochs[node_id] and node_id not in self.down:
                self._manager_epochs[node_id] = epoch
                self.assembly.post("dispatcher", Received(node_id, effect.message, effect.call))

        self._carry(("up", node_id), arrive)

    def _from_manager(self, effect: Send) -> None:
        node_id = NodeId(effect.to)
        epoch = self._manager_epochs.get(node_id, 0)

        def arrive() -> None:
            if epoch == self._epochs[node_id] == self.workers[node_id].epoch and node_id not in self.down:
                self.workers[node_id].hear(effect.message, effect.call)

        self._carry(("down", node_id), arrive)

    def _carry(self, way: tuple[str, NodeId], arrive: Callable[[], None]) -> None:
        longest = 8 * SECOND if self.chance.random() < self.weather.stalls else 20 * MILLISECOND
        at = max(self._arrivals.get(way, 0), self.time.now + self.chance.randrange(1, longest))
        self._arrivals[way] = at
        self.time.at(at, arrive)

    def _worker_notices(self, worker: Worker, epoch: int) -> None:
        if worker.epoch == epoch:
            worker.post(Disconnected("manager"))

    def _manager_notices(self, node_id: NodeId, epoch: int) -> None:
        """Perhaps only when the worker is connected anew; it must come right all the same."""
        if self._manager_epochs.get(node_id, 0) >= epoch:
            self.assembly.post("dispatcher", Disconnected(node_id))

    # The store

    def _propose(self, assembly: Assembly, source: str, effect: Propose) -> None:
        def done(outcome: Outcome) -> None:
            event = Proposed(effect.tag, outcome.version, outcome.refused, outcome.error)
            assembly.post(source, event)

        self.store.propose(effect.changes, done)

    def _committed(self, event: Committed) -> None:
        for change in event.changes:
            if isinstance(change.object, Task):
                self._watch(change.object)
        self.assembly.broadcast(event)

    def _watch(self, task: Task) -> None:
        seen = self.states.setdefault(task.id, [])
        assert not seen or seen[-1] <= task.status.state, f"{task.id} fell from {seen[-1].name}"
        if not seen or seen[-1] is not task.status.state:
            seen.append(task.status.state)

    # What has to hold once all is well again

    def assert_at_peace(self) -> None:
        """Every worker runs what it is assigned, and the store knows what each is at."""
        for node_id, worker in self.workers.items():
            node = self.store.view.node(node_id)
            assert node is not None
            assert node.status.state.name == "READY"
            stored = {task.id: task for task in self.store.view.tasks_on(node_id)}
            assert worker.assigned.keys() == stored.keys()
            assert worker.disk.keys() == stored.keys()
            assert worker.executor.there.keys() <= stored.keys()
            living = [task for task in stored.values() if not is_dead(task.status.state)]
            assert all(task.desired_state is TaskState.RUNNING for task in living)
            assert all(task.status.state is TaskState.RUNNING for task in living)
            assert worker.executor.running == {task.id for task in living}
            assert worker.secrets == {key for task in living for key in map(str, secrets_of(task.spec))}
            assert worker.configs == {key for task in living for key in map(str, configs_of(task.spec))}
            for task_id, task in stored.items():
                assert plain(worker.disk[task_id].status) == plain(task.status), task_id
                assert worker.executor.starts.get(task_id, 0) <= 1, f"{task_id} was started again"


def plain(status: TaskStatus) -> TaskStatus:
    """`status` without what the manager adds."""
    return replace(status, applied_by="", applied_at=None)


def secret_id(number: int) -> SecretId:
    return SecretId(f"s{number}")


def config_id(number: int) -> ConfigId:
    return ConfigId(f"c{number}")
