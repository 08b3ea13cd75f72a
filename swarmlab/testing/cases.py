"""Small clusters as values: told in words, and set up on a desk."""

from collections.abc import Iterator

from swarmlab.api import NodeState, Service, ServiceId, Task, TaskState, Value, parse_generic_resources
from swarmlab.plugin import ClusterView, Group, Host
from swarmlab.testing.builders import MIB, a_node, a_service, a_task
from swarmlab.testing.desk import Desk


class Machine(Value, frozen=True, kw_only=True):
    """One node of a case."""

    cpus: int = 4
    memory_mib: int = 4096
    gpus: int = 0
    zone: str = "a"
    ready: bool = True

    def __str__(self) -> str:
        words = [f"{self.cpus} CPUs, {self.memory_mib} MiB, zone {self.zone}"]
        words += [f"{self.gpus} gpus"] if self.gpus else []
        words += [] if self.ready else ["down"]
        return ", ".join(words)


class Wanted(Value, frozen=True, kw_only=True):
    """One service of a case: what runs of it, what is still to be placed, and what a task of it asks for."""

    count: int = 1
    #: Tasks that run already, by the number of their node; nodes beyond the end run none.
    running: tuple[int, ...] = ()
    cpus: int = 0
    memory_mib: int = 0
    gpus: int = 0
    #: The zone that its tasks must be in, "" for any.
    zone: str = ""
    #: Spread over zones.
    spread: bool = False
    max_replicas: int = 0
    #: A port on the host, 0 for none.
    port: int = 0

    def __str__(self) -> str:
        asks = {
            "CPUs": self.cpus,
            "MiB": self.memory_mib,
            "gpus": self.gpus,
            "replicas per node at most": self.max_replicas,
        }
        words = [f"{self.count} to place"]
        words += [f"{', '.join(map(str, self.running))} running on the nodes"] if any(self.running) else []
        words += [f"{amount} {what}" for what, amount in asks.items() if amount]
        words += [f"host port {self.port}"] if self.port else []
        words += [f"only in zone {self.zone}"] if self.zone else []
        words += ["spread over zones"] if self.spread else []
        return ", ".join(words)


class Case(Value, frozen=True):
    """A cluster with nodes n00, n01 ... and services s0, s1 ..."""

    machines: tuple[Machine, ...] = ()
    services: tuple[Wanted, ...] = ()

    def __str__(self) -> str:
        machines = (f"{node_name(at)}: {machine}" for at, machine in enumerate(self.machines))
        services = (f"{service_name(at)}: {wanted}" for at, wanted in enumerate(self.services))
        return "; ".join((f"{len(self.machines)} nodes", *machines, f"{len(self.services)} services", *services))

    def desk(self, host: Host, *, lead: bool = True, seed: int = 1) -> Desk:
        """The cluster on a desk; with `lead`, what waits is placed at once."""
        nodes = [
            a_node(
                node_name(number),
                cpus=machine.cpus,
                memory=machine.memory_mib * MIB,
                generic=f"gpu={machine.gpus}" if machine.gpus else "",
                labels={"zone": machine.zone},
                state=NodeState.READY if machine.ready else NodeState.DOWN,
            )
            for number, machine in enumerate(self.machines)
        ]
        services = [self._service(number, wanted) for number, wanted in enumerate(self.services)]
        running: list[Task] = []
        waiting: list[Task] = []
        for service, wanted in zip(services, self.services, strict=True):
            for task in _tasks(service, wanted, len(self.machines)):
                (running if task.node_id else waiting).append(task)
        made = [made for made in (nodes, services, running, waiting) if made]
        desk = Desk(*made, host=host, lead=lead, seed=seed)
        if not lead:
            desk.columns.led(desk.view)
        return desk

    def groups(self, desk: Desk, host: Host, seed: int = 1) -> tuple[list[Group], ClusterView]:
        """What waits, as the scheduler would group it, and the view to place it on."""
        view = desk.seen(host, seed)
        return [
            view.group_of(service_name(number), wanted.count)
            for number, wanted in enumerate(self.services)
            if wanted.count
        ], view

    def _service(self, number: int, wanted: Wanted) -> Service:
        return a_service(
            service_name(number),
            wanted.count + sum(wanted.running[: len(self.machines)]),
            cpus=wanted.cpus,
            memory=wanted.memory_mib * MIB,
            generic=f"gpu={wanted.gpus}" if wanted.gpus else "",
            constraints=(f"node.labels.zone == {wanted.zone}",) if wanted.zone else (),
            preferences=("node.labels.zone",) if wanted.spread else (),
            max_replicas=wanted.max_replicas,
            port=wanted.port,
        )


def node_name(number: int) -> str:
    """The id of that node of a case."""
    return f"n{number:02}"


def service_name(number: int) -> ServiceId:
    """The id of that service of a case."""
    return ServiceId(f"s{number}")


def _tasks(service: Service, wanted: Wanted, nodes: int) -> Iterator[Task]:
    slot = 0
    units = parse_generic_resources(f"gpu={wanted.gpus}") if wanted.gpus else ()
    for node, held in enumerate(wanted.running[:nodes]):
        for _ in range(held):
            slot += 1
            name = f"{service.id}.{slot:03}"
            yield a_task(name, service, node=node_name(node), state=TaskState.RUNNING, slot=slot, given=units)
    for _ in range(wanted.count):
        slot += 1
        yield a_task(f"{service.id}.{slot:03}", service, slot=slot)
