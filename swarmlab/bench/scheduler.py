"""How long the scheduler takes for a cluster that starts all at once."""

import random
import resource
import time
from collections.abc import Sequence
from typing import Any

from swarmlab.api import (
    Annotations,
    Changes,
    ContainerSpec,
    Create,
    Duration,
    Instant,
    Node,
    NodeDescription,
    NodeId,
    NodeSpec,
    NodeState,
    NodeStatus,
    Placement,
    Platform,
    ReplicatedService,
    ResourceRequirements,
    Resources,
    Service,
    ServiceId,
    ServiceSpec,
    StoreObject,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
    Version,
)
from swarmlab.component import Assembly, CancelTimer, Effect, Port, Propose, Proposed, Record, SetTimer, derived_rng
from swarmlab.manager.scheduler import Scheduler
from swarmlab.plugin import Host, with_usual
from swarmlab.store import CommitAtOnce, Led, Outcome, Store

#: Any instant will do; it stands still while the clock of the machine is watched.
NOW = Instant(1_000_000_000_000_000_000)
MIB = 1 << 20


def scheduler_bench(
    nodes: int = 1_000,
    tasks: int = 10_000,
    services: int = 0,
    strategy: str = "spread",
    seed: int = 0,
    *,
    distinct: bool = False,
    constraints: Sequence[str] = ("node.labels.tier != none",),
) -> dict[str, Any]:
    """Time one leadership from its first event to the last commit: every task is PENDING then, and ASSIGNED after it.

    Nodes have 16 to 64 CPUs or more, room for the tasks twice over; every task reserves CPU and memory, and must meet
    `constraints` and a platform. The store is the real one, with a proposer that commits at once.

    Args:
        nodes: Nodes, all ready.
        tasks: Tasks to place.
        services: Services that the tasks belong to in turn; 0: one-off tasks, which belong to none.
        strategy: A strategy's name, or "./file.py:Class".
        seed: Of the nodes' sizes, the reservations and the strategy.
        distinct: One-off tasks all differ, so that each is a group of its own.
        constraints: Placement expressions of every task.

    Returns:
        The parameters; `seconds_total` and its parts `seconds_decide` (columns, queue, filters, strategy, records) and
        `seconds_commit` (the store); `seconds_cpu`, the processor's share of the total, which does not grow when the
        machine is busy elsewhere; `placed`; `groups`; and `peak_rss_bytes` of the process so far.

    Raises:
        RuntimeError: Not all tasks were placed, so there is nothing to report.
    """
    run = _Run(Host.load(strategy, with_usual(()), strict=True), seed)
    made = _Made(nodes, tasks, services, seed, distinct=distinct, constraints=tuple(constraints))
    for objects in (made.nodes, made.services, made.tasks):
        run.fill(objects)
    del made
    busy = time.process_time()
    total = run.lead()
    busy = time.process_time() - busy
    placed = sum(task.status.state == TaskState.ASSIGNED and bool(task.node_id) for task in run.store.view.tasks())
    if placed != tasks:
        raise RuntimeError(f"{placed} of {tasks} tasks were placed; a run that leaves tasks pending is not reported")
    return {
        "nodes": nodes,
        "tasks": tasks,
        "services": services,
        "one_off": services == 0,
        "distinct": distinct,
        "strategy": strategy,
        "seed": seed,
        "seconds_total": round(total, 4),
        "seconds_decide": round(total - run.committing, 4),
        "seconds_commit": round(run.committing, 4),
        "seconds_cpu": round(busy, 4),
        "placed": placed,
        "groups": run.groups,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


class _Made:
    """The objects of a made-up cluster."""

    def __init__(
        self, nodes: int, tasks: int, services: int, seed: int, *, distinct: bool, constraints: tuple[str, ...]
    ) -> None:
        chance = derived_rng(seed, "bench")
        self._constraints = constraints
        load = 2 * tasks / nodes
        self.nodes: list[StoreObject] = [_node(number, load, chance) for number in range(nodes)]
        specs = [self._spec(chance) for _ in range(max(services, 1))]
        self.services: list[StoreObject] = [
            Service(
                id=ServiceId(f"s{number:06}"),
                spec=ServiceSpec(
                    annotations=Annotations(f"service-{number}"),
                    task=spec,
                    replicated=ReplicatedService(len(range(number, tasks, services))),
                ),
                spec_version=Version(1),
            )
            for number, spec in enumerate(specs[:services])
        ]
        pending = TaskStatus(state=TaskState.PENDING)
        self.tasks: list[StoreObject] = []
        for number in range(tasks):
            owner = self.services[number % services] if services else None
            assert owner is None or isinstance(owner, Service)
            self.tasks.append(
                Task(
                    id=TaskId(f"t{number:08}"),
                    spec=specs[number % services] if services else self._spec(chance) if distinct else specs[0],
                    service_id=owner.id if owner is not None else ServiceId(""),
                    service_annotations=owner.spec.annotations if owner is not None else Annotations(),
                    spec_version=Version(1) if owner is not None else None,
                    slot=number // services + 1 if services else 0,
                    desired_state=TaskState.RUNNING,
                    status=pending,
                )
            )

    def _spec(self, chance: random.Random) -> TaskSpec:
        # In single nano-CPUs and bytes, so that no two specs are equal by chance.
        wanted = Resources(chance.randrange(50_000_000, 500_000_000), chance.randrange(16 * MIB, 256 * MIB))
        return TaskSpec(
            container=ContainerSpec(image="registry.example/app:1"),
            resources=ResourceRequirements(reservations=wanted),
            placement=Placement(constraints=self._constraints, platforms=(Platform("amd64", "linux"),)),
        )


def _node(number: int, load: float, chance: random.Random) -> Node:
    """A node with room for `load` of the largest tasks, or more."""
    cpus = max(chance.choice((16, 32, 64)), round(load / 2) + 1)
    memory = max(chance.choice((64, 128, 256)) * 1024 * MIB, round(load) * 256 * MIB)
    return Node(
        id=NodeId(f"n{number:07}"),
        spec=NodeSpec(annotations=Annotations(labels={"tier": "ab"[number % 2], "zone": f"z{number % 5}"})),
        status=NodeStatus(state=NodeState.READY, addr="10.0.0.1"),
        description=NodeDescription(
            hostname=f"host-{number}",
            platform=Platform("x86_64", "linux"),
            resources=Resources(cpus * 1_000_000_000, memory),
        ),
    )


class _Run:
    """A scheduler and its store, and the time that the store takes."""

    def __init__(self, host: Host, seed: int) -> None:
        #: Seconds inside the store.
        self.committing = 0.0
        self.groups = 0
        scheduler = Scheduler(host, derived_rng(seed, "scheduler"), debounce=Duration(0))
        ports: dict[type[Effect], Port] = {
            Propose: self._propose,
            Record: self._record,
            SetTimer: lambda _, __: None,
            CancelTimer: lambda _, __: None,
        }
        self._assembly = Assembly([scheduler], ports, lambda: NOW)
        self.store = Store(CommitAtOnce(), lambda: NOW, on_commit=self._assembly.broadcast, history=0)

    def fill(self, objects: Sequence[StoreObject]) -> None:
        """Put the objects into the store; nobody leads yet."""
        outcomes: list[Outcome] = []
        if objects:
            self.store.propose(Changes.each(map(Create, objects)), outcomes.append)
            assert not outcomes[0].refused, f"the store refused {outcomes[0].refused[0]}"

    def lead(self) -> float:
        """Seconds from the beginning of leadership until nothing is left to do."""
        start = time.perf_counter()
        self._assembly.broadcast(Led(self.store.view))
        return time.perf_counter() - start

    def _propose(self, source: str, effect: Effect) -> None:
        assert isinstance(effect, Propose)
        tag = effect.tag

        def done(outcome: Outcome) -> None:
            self._assembly.post(source, Proposed(tag, outcome.version, outcome.refused, outcome.error))

        # The assembly is busy with the effect, so what the scheduler makes of the commit queues up behind it.
        start = time.perf_counter()
        self.store.propose(effect.changes, done)
        self.committing += time.perf_counter() - start

    def _record(self, _: str, effect: Effect) -> None:
        assert isinstance(effect, Record)
        self.groups += effect.name == "placed"
