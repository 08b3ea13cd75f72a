"""The node table: the columns as one version has them, and branches of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from immutables import Map

from swarmlab.api import Duration, Instant, NodeId, ServiceId
from swarmlab.manager.constraint import canonical
from swarmlab.manager.scheduler.attributes import Attribute, text_of
from swarmlab.manager.scheduler.columns import LOSSES, Column, Columns, is_ready
from swarmlab.manager.scheduler.volumes import Uses
from swarmlab.plugin import Counts, Flags, Floats, Group, Ints, NodeTable, NodeView, Texts, sealed
from swarmlab.store import Snapshot

#: (nodes, counts) pairs, the latest first: tasks that a branch has put on top of what the store has.
Added = tuple[tuple[Ints, Ints], ...]


class Sheet:
    """What does not change between branches: the columns of one version, in the order of the ids."""

    def __init__(self, columns: Columns, view: Snapshot, now: Instant) -> None:
        assert columns.version == view.version, f"columns of {columns.version}, view of {view.version}"
        columns.expire(now)
        self.view = view
        self.now = now
        self.roster = roster = columns.roster()
        self.n = len(roster.ids)
        self._columns = columns
        self._attributes: dict[str, tuple[Counts, Sequence[str]]] = {}
        self._domains: dict[str, tuple[Counts, tuple[str, ...]]] = {}
        self.cpu_total: Ints = self.ordered(columns.cpu_total)
        self.memory_total: Ints = self.ordered(columns.memory_total)
        self.cpu_free: Ints = sealed(self.cpu_total - self.ordered(columns.cpu_used))
        self.memory_free: Ints = sealed(self.memory_total - self.ordered(columns.memory_used))
        self.tasks: Counts = self.ordered(columns.tasks)
        self.ready: Flags = self.ordered(columns.ready)
        self.suspect: Flags = sealed(self.ordered(columns.losses) >= LOSSES)
        self.generic_total: Mapping[str, Ints] = {
            kind: self.ordered(columns.generic_total[kind]) for kind in sorted(columns.generic_total)
        }
        self.generic_free: Mapping[str, Ints] = {
            kind: self.ordered(columns.generic_free[kind]) for kind in sorted(columns.generic_free)
        }
        self.services = columns.services.lend()
        self.ports = columns.ports.lend()
        self.failures = columns.failures.lend()
        self.uses: Uses = columns.uses
        self.zeros: Counts = sealed(np.zeros(self.n, np.int32))
        #: Masks and the like that filters work out once for all groups.
        self.memo: dict[Any, Any] = {}

    def ordered(self, column: Column) -> npt.NDArray[Any]:
        """A column by row, as one in the order of the ids."""
        return self._placed(column.lend())

    def _placed(self, by_row: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return sealed(by_row[: self.n] if self.roster.straight else by_row[self.roster.rows])

    def dense(self, counts: Mapping[int, int] | None) -> Counts:
        """Counts by row, as a column."""
        if not counts:
            return self.zeros
        full = np.zeros(self.n, np.int32)
        rows = np.fromiter(counts.keys(), np.int64, len(counts))
        full[rows if self.roster.straight else self.roster.places[rows]] = np.fromiter(
            counts.values(), np.int32, len(counts)
        )
        return sealed(full)

    def attribute(self, key: str) -> tuple[Counts, Sequence[str]]:
        """The code of each node, and the text of each code; some codes may be of no node.

        The keys are those of `attributes.text_of`.
        """
        found = self._attributes.get(key)
        if found is None:
            if self._columns.version == self.view.version:
                codes, texts = self._columns.attribute(key, self.view).lend()
                found = (self._placed(codes), texts)
            else:
                # The columns have moved on; this view has not.
                apart = Attribute(self.n)
                for place, node in enumerate(self.view.nodes()):
                    apart.set(place, text_of(node, key))
                found = apart.lend()
            self._attributes[key] = found
        return found

    def domain(self, key: str) -> tuple[Counts, tuple[str, ...]]:
        """As `NodeTable.domain`."""
        found = self._domains.get(key)
        if found is None:
            name = canonical(key)
            codes, texts = self.attribute(name) if name is not None else (self.zeros, ("",))
            used = np.unique(codes)
            order = sorted(used.tolist(), key=lambda code: texts[code])
            rank = np.zeros(len(texts), np.int32)
            rank[order] = np.arange(len(order))
            found = self._domains[key] = (sealed(rank[codes]), tuple(texts[code] for code in order))
        return found


class Table(NodeTable):
    """One branch: the sheet, and what was placed on it since."""

    __slots__ = ("_generic", "_memo", "_ports", "_services", "cpu_free_", "memory_free_", "sheet", "tasks_", "uses")

    def __init__(
        self,
        sheet: Sheet,
        cpu_free: Ints,
        memory_free: Ints,
        tasks: Counts,
        generic: Map[str, Ints],
        services: Map[ServiceId, Added],
        ports: Map[tuple[str, int], Added],
        uses: Uses,
    ) -> None:
        self.sheet = sheet
        self.cpu_free_ = cpu_free
        self.memory_free_ = memory_free
        self.tasks_ = tasks
        self._generic = generic
        self._services = services
        self._ports = ports
        self.uses = uses
        #: {service: its tasks}; a branch is asked for the same one several times.
        self._memo: dict[ServiceId, Counts] = {}

    @classmethod
    def of(cls, sheet: Sheet) -> "Table":
        """The root of all branches."""
        return cls(sheet, sheet.cpu_free, sheet.memory_free, sheet.tasks, Map(), Map(), Map(), sheet.uses)

    def __len__(self) -> int:
        return self.sheet.n

    def __getitem__(self, index: int) -> NodeView:
        node = self.sheet.view.node(self.ids[index])
        assert node is not None, f"the roster names node {self.ids[index]}, the view does not"
        description = node.description
        engine = description.engine if description is not None else None
        return NodeView(
            id=node.id,
            hostname=description.hostname if description is not None else "",
            labels=node.spec.annotations.labels,
            engine_labels=engine.labels if engine is not None else {},
            role=node.role,
            state=node.status.state,
            availability=node.spec.availability,
            ready=is_ready(node),
            address=node.status.addr,
            age=Duration(self.sheet.now - (node.meta.created_at or self.sheet.now)),
            suspect=bool(self.suspect[index]),
        )

    @property
    def ids(self) -> Sequence[NodeId]:
        return self.sheet.roster.ids

    @property
    def hostnames(self) -> Sequence[str]:
        codes, texts = self.domain("node.hostname")
        return [texts[code] for code in codes.tolist()]

    def index(self, node: NodeId) -> int | None:
        return self.sheet.roster.index.get(node)

    @property
    def cpu_total(self) -> Ints:
        return self.sheet.cpu_total

    @property
    def cpu_free(self) -> Ints:
        return self.cpu_free_

    @property
    def memory_total(self) -> Ints:
        return self.sheet.memory_total

    @property
    def memory_free(self) -> Ints:
        return self.memory_free_

    @property
    def tasks(self) -> Counts:
        return self.tasks_

    @property
    def ready(self) -> Flags:
        return self.sheet.ready

    @property
    def suspect(self) -> Flags:
        return self.sheet.suspect

    def tasks_of(self, service: ServiceId) -> Counts:
        found = self._memo.get(service)
        if found is None:
            found = self._topped(self.sheet.dense(self.sheet.services.get(service)), self._services.get(service, ()))
            self._memo[service] = found
        return found

    def failures_of(self, group: Group) -> Counts:
        return self.sheet.dense(self.sheet.failures.get((group.service, group.spec_version)))

    def port_users(self, port: tuple[str, int]) -> Counts:
        """Tasks that take the (protocol, port) pair on each node."""
        return self._topped(self.sheet.dense(self.sheet.ports.get(port)), self._ports.get(port, ()))

    def label(self, key: str) -> Texts:
        codes, texts = self.domain(key)
        return sealed(np.array(texts, np.object_)[codes] if texts else np.zeros(0, np.object_))

    def domain(self, key: str) -> tuple[Counts, tuple[str, ...]]:
        return self.sheet.domain(key)

    @property
    def generic_kinds(self) -> tuple[str, ...]:
        return tuple(kind for kind, total in self.sheet.generic_total.items() if total.any())

    def generic_total(self, kind: str) -> Ints:
        found = self.sheet.generic_total.get(kind)
        return self.sheet.zeros.astype(np.int64) if found is None else found

    def generic_free(self, kind: str) -> Ints:
        found = self._generic.get(kind)
        if found is None:
            found = self.sheet.generic_free.get(kind)
        return self.sheet.zeros.astype(np.int64) if found is None else found

    def usage(self, kind: str) -> Floats:
        match kind:
            case "cpu":
                total, free = self.cpu_total, self.cpu_free
            case "memory":
                total, free = self.memory_total, self.memory_free
            case _:
                total, free = self.generic_total(kind), self.generic_free(kind)
        share = np.ones(len(self))
        np.divide(total - free, total, out=share, where=total > 0)
        return sealed(np.clip(share, 0.0, 1.0))

    def plus(self, group: Group, nodes: Ints, counts: Ints, uses: Uses | None = None) -> "Table":
        """The branch with `counts` more tasks of the group on each of `nodes`; negative ones leave.

        `uses`: of cluster volumes, as they are then.
        """
        wanted = group.reservation
        generic = self._generic
        for kind, need in wanted.generic.items():
            generic = generic.set(kind, _less(self.generic_free(kind), nodes, counts * need))
        services, ports = self._services, self._ports
        if group.service:
            services = services.set(group.service, ((nodes, counts), *services.get(group.service, ())))
        for port in group.host_ports:
            ports = ports.set(port, ((nodes, counts), *ports.get(port, ())))
        tasks = self.tasks_.copy()
        tasks[nodes] += counts.astype(np.int32)
        return Table(
            self.sheet,
            _less(self.cpu_free_, nodes, counts * wanted.nano_cpus) if wanted.nano_cpus else self.cpu_free_,
            _less(self.memory_free_, nodes, counts * wanted.memory_bytes) if wanted.memory_bytes else self.memory_free_,
            sealed(tasks),
            generic,
            services,
            ports,
            self.uses if uses is None else uses,
        )

    @staticmethod
    def _topped(counts: Counts, added: Added) -> Counts:
        if not added:
            return counts
        full = counts.copy()
        for nodes, more in added:
            full[nodes] += more.astype(np.int32)
        return sealed(full)


def _less(free: Ints, nodes: Ints, taken: Ints) -> Ints:
    left = free.copy()
    left[nodes] -= taken
    return sealed(left)
