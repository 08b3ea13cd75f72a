"""An executor that runs tasks as models: how long they take to start and to run, and how they fail."""

import random
from collections.abc import Callable, Mapping

from msgspec import field

from swarmlab.agent.exec import Execute, Executed, Interrupt, Operation
from swarmlab.api import (
    ContainerStatus,
    Duration,
    ExecutorError,
    Instant,
    Task,
    TaskId,
    Value,
    after,
    seconds,
)
from swarmlab.sim.chance import Spread, happens
from swarmlab.sim.heap import Occurrence

#: Exit codes of what ends by SIGTERM and by SIGKILL.
TERMINATED, KILLED = 143, 137


class TaskModel(Value, frozen=True, kw_only=True):
    """How the tasks of a service behave."""

    prepare: Spread = Spread(median=seconds(0.2), sigma=0.3)
    start: Spread = Spread(median=seconds(0.1), sigma=0.3)
    stop: Spread = Spread(median=seconds(0.1), sigma=0.3)
    #: How long it runs; None: until it is stopped.
    run: Spread | None = None
    #: Exit code at the end of `run`.
    exit_code: int = 0
    #: Probabilities that a step fails for good.
    prepare_fails: float = 0.0
    start_fails: float = 0.0
    #: Probability that a run ends at once with exit code 1.
    run_fails: float = 0.0


class ExecutorModel(Value, frozen=True, kw_only=True):
    """How tasks behave, by the name and the image of their service."""

    default: TaskModel = TaskModel()
    #: {(service name, image): model}
    versions: Mapping[tuple[str, str], TaskModel] = field(default_factory=dict)

    def of(self, task: Task) -> TaskModel:
        """The model of that task."""
        image = task.spec.container.image if task.spec.container is not None else ""
        return self.versions.get((task.service_annotations.name, image), self.default)


class _Run:
    """A task on this node, as far as it came."""

    def __init__(self) -> None:
        self.prepared = False
        self.started = False
        #: When it ends by itself, or was stopped; None: not yet known, or never.
        self.ends_at: Instant | None = None
        #: What its end is, when that comes.
        self.error: ExecutorError | None = None

    def over(self, now: Instant) -> bool:
        """It has ended, whether or not anybody waited for it."""
        return self.started and self.ends_at is not None and self.ends_at <= now

    def runs(self, now: Instant) -> bool:
        """It has started and not ended."""
        return self.started and not self.over(now)

    def exit(self, at: Instant, exit_code: int) -> None:
        """Let it end then."""
        self.ends_at = at
        if exit_code:
            self.error = ExecutorError(f"task: non-zero exit ({exit_code})", exit_code=exit_code)


class SimExecutor:
    """Executes the agent's steps in the time of `plan`, which may be virtual or real.

    `model` says of each task how it behaves; it is asked at each step.

    Tasks outlive the agent, as containers do, until `power_off`: a new agent on the same executor finds them again.
    """

    def __init__(
        self,
        clock: Callable[[], Instant],
        plan: Callable[[Instant, Callable[[], None]], Occurrence],
        rng: random.Random,
        model: Callable[[Task], TaskModel],
    ) -> None:
        self._clock = clock
        self._plan = plan
        self._rng = rng
        self._model = model
        self._runs: dict[TaskId, _Run] = {}
        self._in_hand: dict[TaskId, tuple[Execute, Occurrence | None]] = {}
        self._answer: Callable[[Executed], None] = lambda _: None

    def connect(self, answer: Callable[[Executed], None]) -> None:
        """Give answers to this agent from now on; what an earlier one waited for is forgotten."""
        for _, occurrence in self._in_hand.values():
            if occurrence is not None:
                occurrence.cancel()
        self._in_hand.clear()
        self._answer = answer

    @property
    def running(self) -> tuple[TaskId, ...]:
        """What runs on this node now, sorted by id."""
        return tuple(sorted(task for task, run in self._runs.items() if run.runs(self._clock())))

    @property
    def kept(self) -> tuple[TaskId, ...]:
        """What left anything on this node, sorted by id."""
        return tuple(sorted(self._runs))

    def power_off(self) -> None:
        """The node dies, and with it everything on it."""
        self.connect(lambda _: None)
        self._runs.clear()

    def adopt(self, tasks: tuple[TaskId, ...]) -> None:
        """Drop what no record speaks of."""
        for task in sorted(self._runs.keys() - set(tasks)):
            del self._runs[task]

    def execute(self, effect: Execute) -> None:
        """Take a step; `Executed` follows in its time."""
        assert effect.task_id not in self._in_hand, f"two operations in hand for task {effect.task_id}"
        model = self._model(effect.task)
        match effect.operation:
            case Operation.PREPARE:
                self._prepare(effect, model)
            case Operation.START:
                self._start(effect, model)
            case Operation.WAIT:
                self._wait(effect)
            case Operation.SHUTDOWN | Operation.TERMINATE:
                self._stop(effect, model, forget=False)
            case Operation.REMOVE:
                self._stop(effect, model, forget=True)

    def interrupt(self, effect: Interrupt) -> None:
        """Break off the step in hand, if there is one."""
        in_hand = self._in_hand.get(effect.task_id)
        if in_hand is None:
            return
        execute, occurrence = in_hand
        if occurrence is not None:
            occurrence.cancel()
        error = ExecutorError(f"{execute.operation.value} was interrupted", temporary=True)
        self._finish_at(self._clock(), execute, lambda: error)

    def _prepare(self, effect: Execute, model: TaskModel) -> None:
        run = self._runs.setdefault(effect.task_id, _Run())
        if run.prepared:
            self._finish_at(self._clock(), effect, lambda: None)
            return
        span, fails = model.prepare.draw(self._rng), happens(self._rng, model.prepare_fails)

        def end() -> ExecutorError | None:
            if fails:
                return ExecutorError("the model failed to prepare")
            run.prepared = True
            return None

        self._finish_at(after(self._clock(), span), effect, end)

    def _start(self, effect: Execute, model: TaskModel) -> None:
        run = self._runs.get(effect.task_id)
        if run is None or not run.prepared:
            self._finish_at(self._clock(), effect, lambda: ExecutorError("not prepared on this node"))
            return
        if run.started:
            self._finish_at(self._clock(), effect, lambda: None)
            return
        span, fails = model.start.draw(self._rng), happens(self._rng, model.start_fails)
        ends_early = happens(self._rng, model.run_fails)
        length = model.run.draw(self._rng) if model.run is not None else None

        def end() -> ExecutorError | None:
            if fails:
                return ExecutorError("the model failed to start", exit_code=1)
            run.started = True
            if ends_early:
                run.exit(self._clock(), 1)
            elif length is not None:
                run.exit(after(self._clock(), length), model.exit_code)
            return None

        self._finish_at(after(self._clock(), span), effect, end)

    def _wait(self, effect: Execute) -> None:
        run = self._runs.get(effect.task_id)
        if run is None or not run.started:
            self._finish_at(self._clock(), effect, lambda: ExecutorError("nothing runs, and no exit code is known"))
        elif run.ends_at is None:
            self._in_hand[effect.task_id] = (effect, None)
        else:
            self._finish_at(max(run.ends_at, self._clock()), effect, lambda: run.error)

    def _stop(self, effect: Execute, model: TaskModel, *, forget: bool) -> None:
        run = self._runs.get(effect.task_id)
        runs = run is not None and run.runs(self._clock())
        span = model.stop.draw(self._rng) if runs and effect.operation is not Operation.TERMINATE else Duration(0)
        exit_code = KILLED if effect.operation is Operation.TERMINATE else TERMINATED

        def end() -> ExecutorError | None:
            if run is not None and run.runs(self._clock()):
                run.exit(self._clock(), exit_code)
            if forget:
                self._runs.pop(effect.task_id, None)
            return None

        self._finish_at(after(self._clock(), span), effect, end)

    def _finish_at(self, at: Instant, effect: Execute, end: Callable[[], ExecutorError | None]) -> None:
        def finish() -> None:
            del self._in_hand[effect.task_id]
            error = end()
            self._answer(
                Executed(
                    effect.task_id,
                    effect.operation,
                    error,
                    self._container(effect.task_id),
                )
            )

        self._in_hand[effect.task_id] = (effect, self._plan(at, finish))

    def _container(self, task_id: TaskId) -> ContainerStatus | None:
        """What is told of the task, once it was prepared and until it is removed."""
        run = self._runs.get(task_id)
        if run is None or not run.prepared:
            return None
        exit_code = run.error.exit_code if run.error is not None and run.over(self._clock()) else None
        return ContainerStatus(container_id=f"sim-{task_id}", exit_code=exit_code or 0)
