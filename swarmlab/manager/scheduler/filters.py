"""What rules a node out, whatever the strategy: SwarmKit's filters, over columns.

Each gives all its reasons for all nodes; none stops at the first. Source: SwarmKit `manager/scheduler/filter.go`.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from swarmlab.api import InvalidSpec
from swarmlab.manager.constraint import Constraints
from swarmlab.manager.scheduler.attributes import DRIVERS, PLATFORM, architecture
from swarmlab.manager.scheduler.demand import cluster_mounts
from swarmlab.manager.scheduler.table import Sheet, Table
from swarmlab.manager.scheduler.volumes import chosen
from swarmlab.plugin import Flags, Group, Ints, Refusals, sealed

READY = "ready"
RESOURCES = "resources"
DRIVER = "drivers"
CONSTRAINTS = "constraints"
PLATFORMS = "platform"
HOST_PORTS = "host-ports"
MAX_REPLICAS = "max-replicas"
VOLUMES = "volumes"

#: {filter: (text for one node, text for n nodes)}
TEXTS = {
    READY: ("1 node not available for new tasks", "{n} nodes not available for new tasks"),
    RESOURCES: ("insufficient resources on 1 node", "insufficient resources on {n} nodes"),
    DRIVER: ("missing plugin on 1 node", "missing plugin on {n} nodes"),
    CONSTRAINTS: (
        "scheduling constraints not satisfied on 1 node",
        "scheduling constraints not satisfied on {n} nodes",
    ),
    PLATFORMS: ("unsupported platform on 1 node", "unsupported platform on {n} nodes"),
    HOST_PORTS: ("host-mode port already in use on 1 node", "host-mode port already in use on {n} nodes"),
    MAX_REPLICAS: ("max replicas per node limit exceed", "max replicas per node limit exceed"),
    VOLUMES: (
        "cannot fulfill requested CSI volume mounts on 1 node",
        "cannot fulfill requested CSI volume mounts on {n} nodes",
    ),
}


def refusals(group: Group, table: Table) -> list[Refusals]:
    """All refusals of the built-in filters, in their order; those that refuse nobody are left out."""
    return [found for found in _all(group, table) if found is not None and found.mask.any()]


def capacity(group: Group, table: Table, refused: Sequence[Refusals]) -> Ints:
    """How many more tasks each node can take, at most `group.count`; 0 where any of `refused` says no."""
    room = np.full(len(table), max(group.count, 0), np.int64)
    wanted = group.reservation
    needs = [(table.cpu_free, wanted.nano_cpus), (table.memory_free, wanted.memory_bytes)]
    needs += [(table.generic_free(kind), need) for kind, need in wanted.generic.items()]
    for free, need in needs:
        if need > 0:
            np.minimum(room, free // need, out=room)
    if group.max_replicas:
        np.minimum(room, group.max_replicas - table.tasks_of(group.service), out=room)
    if group.host_ports or cluster_mounts(group.spec):
        np.minimum(room, 1, out=room)
    for refusal in refused:
        room[refusal.mask] = 0
    return np.maximum(room, 0, out=room)


def _all(group: Group, table: Table) -> Iterator[Refusals | None]:
    yield _ready(table)
    yield from _resources(group, table)
    if group.drivers:
        yield _drivers(group, table)
    if group.constraints:
        yield _constraints(group, table)
    if group.platforms:
        yield _platform(group, table)
    if group.host_ports:
        yield _host_ports(group, table)
    if group.max_replicas:
        yield _max_replicas(group, table)
    if cluster_mounts(group.spec):
        yield _volumes(group, table)


def _ready(table: Table) -> Refusals:
    memo = table.sheet.memo
    if READY not in memo:
        memo[READY] = Refusals(sealed(~table.ready), "not available for new tasks", plugin=READY)
    found: Refusals = memo[READY]
    return found


def _resources(group: Group, table: Table) -> Iterator[Refusals | None]:
    wanted = group.reservation
    if wanted.nano_cpus:
        yield _short(wanted.nano_cpus, table.cpu_free, "nano-CPUs")
    if wanted.memory_bytes:
        yield _short(wanted.memory_bytes, table.memory_free, "bytes")
    for kind, need in wanted.generic.items():
        yield _short(need, table.generic_free(kind), kind)


def _short(need: int, have: Ints, unit: str) -> Refusals | None:
    short = have < need
    if not short.any():
        return None
    needs: npt.NDArray[np.int64] = np.broadcast_to(np.int64(need), have.shape)
    return Refusals(sealed(short), "insufficient resources", needs, have, unit, RESOURCES)


def _drivers(group: Group, table: Table) -> Refusals:
    def lacks(told: str) -> bool:
        if not told:
            return False
        lines = set(told.split("\n"))
        logs = any(line.startswith("Log ") for line in lines)
        return any(
            f"{kind} {name}" not in lines and f"{kind} {name}:latest" not in lines
            for kind, name in group.drivers
            # Old engines list no log drivers at all.
            if kind != "Log" or logs
        )

    return Refusals(_by_text(table.sheet, DRIVERS, group.drivers, lacks), "missing plugin", plugin=DRIVER)


def _constraints(group: Group, table: Table) -> Refusals:
    sheet = table.sheet
    key = (CONSTRAINTS, group.constraints)
    if key not in sheet.memo:
        try:
            mask = ~Constraints.parse(group.constraints).mask(sheet.n, sheet.attribute)
        except InvalidSpec:
            # Requests with such constraints are refused; what came in all the same is not held against nodes.
            mask = np.zeros(sheet.n, np.bool_)
        sheet.memo[key] = sealed(mask)
    return Refusals(sheet.memo[key], "scheduling constraints not satisfied", plugin=CONSTRAINTS)


def _platform(group: Group, table: Table) -> Refusals:
    wanted = [(os, architecture(machine)) for os, machine in group.platforms]

    def unsupported(told: str) -> bool:
        if not told:
            return True
        os, _, machine = told.partition("\n")
        return not any(want_os in ("", os) and want_machine in ("", machine) for want_os, want_machine in wanted)

    mask = _by_text(table.sheet, PLATFORM, group.platforms, unsupported)
    return Refusals(mask, "unsupported platform", plugin=PLATFORMS)


def _host_ports(group: Group, table: Table) -> Refusals:
    taken = np.zeros(len(table), np.bool_)
    for port in group.host_ports:
        taken |= table.port_users(port) > 0
    return Refusals(sealed(taken), "host-mode port already in use", plugin=HOST_PORTS)


def _max_replicas(group: Group, table: Table) -> Refusals:
    return Refusals(
        sealed(table.tasks_of(group.service) >= group.max_replicas),
        "max replicas per node limit exceed",
        plugin=MAX_REPLICAS,
    )


def _volumes(group: Group, table: Table) -> Refusals:
    mounts = cluster_mounts(group.spec)
    view = table.sheet.view
    mask = np.fromiter(
        (chosen(mounts, node, view.volumes(), table.uses) is None for node in view.nodes()), np.bool_, len(table)
    )
    return Refusals(sealed(mask), "cannot fulfill requested CSI volume mounts", plugin=VOLUMES)


def _by_text(sheet: Sheet, key: str, wanted: object, refuses: Callable[[str], bool]) -> Flags:
    """A verdict for each different text under `key`, as a mask over the nodes; worked out once per sheet."""
    memo = (key, wanted)
    if memo not in sheet.memo:
        codes, texts = sheet.attribute(key)
        verdicts = np.fromiter((refuses(text) for text in texts), np.bool_, len(texts))
        sheet.memo[memo] = sealed(verdicts[codes])
    found: Flags = sheet.memo[memo]
    return found
