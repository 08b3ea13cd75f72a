"""A cluster as strategies see it, in plain Python: slow, small, and independent of the columns of the scheduler."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from msgspec import structs

from swarmlab.api import Availability, Duration, Instant, NodeId, NodeState, ServiceId, TaskId, TaskState
from swarmlab.plugin import (
    ClusterView,
    Group,
    Moves,
    NodeTable,
    NodeView,
    Placement,
    Plan,
    Refusals,
    Reservation,
    ServiceView,
    TaskView,
)


@dataclass(frozen=True)
class PlainNode:
    name: str
    cpus: int = 10**6
    labels: Mapping[str, str] = field(default_factory=dict)
    ready: bool = True
    suspect: bool = False


@dataclass(frozen=True)
class PlainService:
    name: str
    replicas: int
    cpus: int = 0
    max_replicas: int = 0
    port: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    #: label -> value that a node must have
    needs: Mapping[str, str] = field(default_factory=dict)
    preferences: tuple[str, ...] = ()
    mode: str = "replicated"


class PlainTable(NodeTable):
    #: Set for each table; named here so that the abstract properties are there.
    ids = hostnames = ready = suspect = tasks = ()
    cpu_total = cpu_free = memory_total = memory_free = generic_kinds = ()

    def __init__(self, view: "PlainView") -> None:
        self.view = view
        self.own = view.own_nodes
        self.ids = [NodeId(node.name) for node in self.own]
        self.hostnames = [node.name.upper() for node in self.own]
        self.ready = np.array([node.ready for node in self.own], np.bool_)
        self.suspect = np.array([node.suspect for node in self.own], np.bool_)
        self.cpu_total = np.array([node.cpus for node in self.own], np.int64)
        self.cpu_free = self.cpu_total - np.array(
            [sum(view.cost(service) * n for service, n in view.booked[node.name].items()) for node in self.own],
            np.int64,
        )
        self.memory_total = self.memory_free = np.zeros(len(self.own), np.int64)
        self.tasks = np.array([sum(view.active[node.name].values()) for node in self.own], np.int32)
        self.generic_kinds = ()

    def __len__(self) -> int:
        return len(self.own)

    def __getitem__(self, index: int) -> NodeView:
        node = self.own[index]
        return NodeView(
            id=NodeId(node.name), labels=node.labels, state=NodeState.READY, availability=Availability.ACTIVE
        )

    def index(self, node: NodeId) -> int | None:
        return self.ids.index(node) if node in self.ids else None

    def tasks_of(self, service: ServiceId) -> np.ndarray:
        return np.array([self.view.active[node.name].get(service, 0) for node in self.own], np.int32)

    def failures_of(self, group: Group) -> np.ndarray:
        return np.zeros(len(self.own), np.int32)

    def label(self, key: str) -> np.ndarray:
        return np.array([node.labels.get(key.removeprefix("node.labels."), "") for node in self.own], object)

    def domain(self, key: str) -> tuple[np.ndarray, tuple[str, ...]]:
        values, codes = np.unique(self.label(key).astype(str), return_inverse=True)
        return codes.astype(np.int32), tuple(values.tolist())

    def generic_total(self, kind: str) -> np.ndarray:
        return np.zeros(len(self.own), np.int64)

    generic_free = generic_total

    def usage(self, kind: str) -> np.ndarray:
        return np.zeros(len(self.own))


class PlainView(ClusterView):
    """Counts per node and service; a branch adds and takes away."""

    rng = random.Random(0)
    options: Mapping[str, object] = {}
    version = 1
    now = Instant(0)

    def __init__(self, nodes: list[PlainNode], services: list[PlainService], tasks: list[TaskView]) -> None:
        self.own_nodes = sorted(nodes, key=lambda node: node.name)
        self.own_services = {ServiceId(service.name): service for service in services}
        self.own_tasks = {task.id: task for task in sorted(tasks, key=lambda task: task.id)}
        self.active: dict[str, dict[ServiceId, int]] = {node.name: {} for node in nodes}
        self.booked: dict[str, dict[ServiceId, int]] = {node.name: {} for node in nodes}
        for task in tasks:
            if task.active:
                self.add(self.active, task.node_id, task.service, 1)
            self.add(self.booked, task.node_id, task.service, 1)

    @staticmethod
    def add(counts: dict[str, dict[ServiceId, int]], node: str, service: ServiceId, number: int) -> None:
        counts[node][service] = counts[node].get(service, 0) + number

    def cost(self, service: ServiceId) -> int:
        return self.own_services[service].cpus

    @property
    def nodes(self) -> NodeTable:
        return PlainTable(self)

    @property
    def services(self) -> Mapping[ServiceId, ServiceView]:
        return {
            ServiceId(service.name): ServiceView(
                id=ServiceId(service.name),
                name=service.name,
                labels=service.labels,
                mode=service.mode,
                replicas=service.replicas,
            )
            for service in sorted(self.own_services.values(), key=lambda service: service.name)
        }

    def tasks_of(self, service: ServiceId) -> tuple[TaskView, ...]:
        return tuple(task for task in self.own_tasks.values() if task.service == service)

    def task(self, task: TaskId) -> TaskView | None:
        return self.own_tasks.get(task)

    def group_of(self, service: ServiceId, count: int = 1) -> Group:
        own = self.own_services[service]
        return Group(
            id=f"{service}@0",
            service=service,
            service_name=own.name,
            count=count,
            reservation=Reservation(own.cpus),
            preferences=own.preferences,
            max_replicas=own.max_replicas,
            host_ports=(("tcp", own.port),) if own.port else (),
        )

    def refusals(self, group: Group) -> tuple[Refusals, ...]:
        own, table = self.own_services[group.service], PlainTable(self)
        found = []
        if not table.ready.all():
            found.append(Refusals(~table.ready, "node not available for new tasks", plugin="ready"))
        short = table.cpu_free < own.cpus
        if own.cpus and short.any():
            need = np.full(len(short), own.cpus, np.int64)
            found.append(
                Refusals(
                    short, "insufficient CPU", need=need, have=table.cpu_free, unit="nano-CPUs", plugin="resources"
                )
            )
        unfit = np.array([any(node.labels.get(k) != v for k, v in own.needs.items()) for node in self.own_nodes])
        if unfit.any():
            found.append(Refusals(unfit, "scheduling constraints not satisfied", plugin="constraints"))
        if own.max_replicas:
            full = table.tasks_of(group.service) >= own.max_replicas
            found.append(Refusals(full, "max replicas per node limit exceed", plugin="max-replicas"))
        if own.port:
            used = np.array(
                [
                    any(n and self.own_services[s].port == own.port for s, n in self.booked[node.name].items())
                    for node in self.own_nodes
                ]
            )
            found.append(Refusals(used, "host-mode port already in use", plugin="host-ports"))
        return tuple(found)

    def capacity(self, group: Group) -> np.ndarray:
        own, table = self.own_services[group.service], PlainTable(self)
        room = np.full(len(table), group.count, np.int64)
        if own.cpus:
            room = np.minimum(room, np.maximum(table.cpu_free // own.cpus, 0))
        if own.max_replicas:
            room = np.minimum(room, np.maximum(own.max_replicas - table.tasks_of(group.service), 0))
        if own.port:
            room = np.minimum(room, 1)
        for refusal in self.refusals(group):
            room[refusal.mask] = 0
        return room

    def score_parts(self, group: Group) -> tuple[()]:
        return ()

    def scores(self, group: Group) -> np.ndarray:
        return np.zeros(len(self.own_nodes))

    def misfit(self, plan: Plan) -> str | None:
        return None

    def after(self, change: Plan | Placement | Moves) -> "PlainView":
        branch = PlainView(self.own_nodes, list(self.own_services.values()), [])
        branch.own_tasks = self.own_tasks
        branch.active = {node: dict(counts) for node, counts in self.active.items()}
        branch.booked = {node: dict(counts) for node, counts in self.booked.items()}
        if isinstance(change, Moves):
            for move in change.moves:
                task = self.own_tasks[move.task]
                for counts in (branch.active, branch.booked):
                    branch.add(counts, task.node_id, task.service, -1)
                    branch.add(counts, move.to, task.service, 1)
        else:
            for placement in change.placements if isinstance(change, Plan) else (change,):
                service = ServiceId(placement.group.partition("@")[0])
                for at, count in zip(placement.nodes.tolist(), placement.counts.tolist(), strict=True):
                    for counts in (branch.active, branch.booked):
                        branch.add(counts, self.own_nodes[at].name, service, count)
        return branch

    def moved(self, moves: Moves) -> "PlainView":
        """The cluster when every move was made: the same slots, new tasks."""
        target = {move.task: move.to for move in moves.moves}
        tasks = [
            replace_task(task, id=TaskId(f"{task.id}+"), node_id=target[task.id], age=Duration(0))
            if task.id in target
            else task
            for task in self.own_tasks.values()
        ]
        return PlainView(self.own_nodes, list(self.own_services.values()), tasks)

    def counts(self, service: str) -> list[int]:
        """Tasks of the service on each node, by name."""
        return [self.active[node.name].get(ServiceId(service), 0) for node in self.own_nodes]


def replace_task(task: TaskView, **parts: object) -> TaskView:
    return structs.replace(task, **parts)


def cluster(
    nodes: int | list[PlainNode],
    *placed: tuple[PlainService, list[int]],
    changed: Mapping[str, Mapping[str, object]] = {},
) -> PlainView:
    """Nodes n1, n2, ...; of each service so many tasks on each; slot by slot, later slots younger."""
    own = [PlainNode(f"n{n}") for n in range(1, nodes + 1)] if isinstance(nodes, int) else nodes
    names = sorted(node.name for node in own)
    tasks = []
    for service, counts in placed:
        slot = 0
        for name, count in zip(names, counts, strict=False):
            for _ in range(count):
                slot += 1
                task = TaskView(
                    id=TaskId(f"{service.name}.{slot:03}"),
                    service=ServiceId(service.name),
                    slot=slot,
                    node_id=NodeId(name),
                    state=TaskState.RUNNING,
                    desired_state=TaskState.RUNNING,
                    age=Duration((1000 - slot) * 10**9),
                )
                tasks.append(replace_task(task, **(changed or {}).get(task.id, {})))
    return PlainView(own, [service for service, _ in placed], tasks)
