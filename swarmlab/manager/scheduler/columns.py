"""The cluster as columns, kept up to date at the cost of each change."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from swarmlab.api import (
    MINUTE,
    Availability,
    Change,
    ChangeKind,
    Duration,
    Instant,
    Mode,
    Node,
    NodeId,
    NodeState,
    Resources,
    ServiceId,
    Task,
    TaskState,
    Value,
    mode_of,
)
from swarmlab.manager.scheduler.attributes import Attribute, text_of
from swarmlab.manager.scheduler.demand import active, host_ports, on_node, reserved
from swarmlab.manager.scheduler.generic import Held, Stock, holdings, joined, stocks
from swarmlab.manager.scheduler.ledger import Ledger
from swarmlab.manager.scheduler.volumes import NO_USES, Uses, uses_of, with_use, without_use
from swarmlab.store import Snapshot

#: Failures and losses older than that are forgotten. Source of the first: SwarmKit `nodeinfo.go`, monitorFailures.
FAILURE_MEMORY = Duration(5 * MINUTE)
LOSS_MEMORY = Duration(10 * MINUTE)
#: So many failures within the memory make a node a last choice, and are worth a word. Source: SwarmKit, maxFailures.
FAILURES = 5
#: So many losses within the memory make a node suspect.
LOSSES = 3

#: (service, spec version)
Kind = tuple[ServiceId, int]


class Column:
    """Numbers by row. What was lent stays as it was; the first write afterwards copies."""

    __slots__ = ("_array", "_lent")

    def __init__(self, dtype: type[np.generic]) -> None:
        self._array: npt.NDArray[Any] = np.zeros(0, dtype)
        self._lent = False

    def lend(self) -> npt.NDArray[Any]:
        """The numbers as they are now."""
        self._lent = True
        return self._array

    def own(self) -> npt.NDArray[Any]:
        """The numbers, to be written."""
        if self._lent:
            self._array = self._array.copy()
            self._lent = False
        return self._array

    def grow(self, capacity: int) -> None:
        """Make room for more rows."""
        grown = np.zeros(capacity, self._array.dtype)
        grown[: len(self._array)] = self._array
        self._array = grown
        self._lent = False


class Roster(Value, frozen=True, eq=False):
    """Which row is which node."""

    #: Ascending.
    ids: tuple[NodeId, ...]
    #: The row of each of `ids`.
    rows: npt.NDArray[np.int64]
    #: {id: its place in `ids`}
    index: Mapping[NodeId, int]
    #: The place in `ids` of each row; -1 for a row without a node.
    places: npt.NDArray[np.int64]
    #: Rows are places: no column needs to be put in order.
    straight: bool


class Faulty(NamedTuple):
    """Tasks of one kind have failed on a node for the fifth time in five minutes."""

    service: ServiceId
    spec_version: int
    node: NodeId


class Columns:
    """What the nodes have and what lies on them, one row per node; rows keep their place for a node's whole life.

    Derived from the store alone: `led` builds it from a view, `committed` follows each change. Reservations count for
    tasks from ASSIGNED to RUNNING, whatever is wanted of them; the numbers of tasks only for those not told to stop.
    Failures and losses are known since `led`.
    """

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.version = 0
        self.rows: dict[NodeId, int] = {}
        self._free_rows: list[int] = []
        self._capacity = 0
        self._roster: Roster | None = None
        self.cpu_total, self.memory_total = Column(np.int64), Column(np.int64)
        self.cpu_used, self.memory_used = Column(np.int64), Column(np.int64)
        self.tasks, self.ready, self.losses = Column(np.int32), Column(np.bool_), Column(np.int32)
        #: {kind: units reported and units free, by row}
        self.generic_total: dict[str, Column] = {}
        self.generic_free: dict[str, Column] = {}
        #: {row: {kind: what the node reports}}, {(row, kind): what its tasks hold}
        self.stocks: dict[int, dict[str, Stock]] = {}
        self.held: dict[tuple[int, str], dict[str, int]] = {}
        self.attributes: dict[str, Attribute] = {}
        #: Active tasks of each service; tasks that take each (protocol, port); recent failures of each kind of task.
        self.services: Ledger[ServiceId] = Ledger()
        self.ports: Ledger[tuple[str, int]] = Ledger()
        self.failures: Ledger[Kind] = Ledger()
        self._failed: deque[tuple[Instant, Kind, int]] = deque()
        self._lost: deque[tuple[Instant, int]] = deque()
        self.uses: Uses = NO_USES

    # Following the store

    def led(self, view: Snapshot) -> None:
        """Begin anew from `view`."""
        self._clear()
        self._grow(view.count(Node))
        for node in view.nodes():
            self._enter(node)
        self._book([task for task in view.tasks() if on_node(task)], 1)
        self.version = view.version

    def committed(self, view: Snapshot, changes: Iterable[Change]) -> tuple[Faulty, ...]:
        """Follow one commit; gives who has become faulty by it."""
        gone: list[Task] = []
        come: list[Task] = []
        nodes: list[Change] = []
        faulty: list[Faulty] = []
        for change in changes:
            new = change.object
            if type(new) is Node:
                nodes.append(change)
            elif type(new) is Task:
                removed = change.kind is ChangeKind.REMOVED
                old = new if removed else change.old
                stays = not removed and on_node(new)
                if isinstance(old, Task) and on_node(old):
                    if stays and _same_load(old, new):
                        continue
                    gone.append(old)
                    if new.status.state in (TaskState.FAILED, TaskState.REJECTED):
                        faulty += self._fail(new, view)
                if stays:
                    come.append(new)
        self._book(gone, -1)
        if nodes:
            come = self._follow_nodes(nodes, view, come)
        self._book(come, 1)
        self.version = view.version
        return tuple(faulty)

    def _follow_nodes(self, changes: list[Change], view: Snapshot, come: list[Task]) -> list[Task]:
        coming = {task.id for task in come}
        come = list(come)
        for change in changes:
            node = change.object
            assert isinstance(node, Node)
            if change.kind is ChangeKind.REMOVED:
                # What the tasks left on it hold goes with the row; those of this commit are not booked yet.
                self._book([task for task in self._booked_on(view, node.id) if task.id not in coming], -1)
                self._leave(node.id)
            elif node.id not in self.rows:
                self._enter(node)
                come += [task for task in self._booked_on(view, node.id) if task.id not in coming]
            else:
                self._renew(node, change.old if isinstance(change.old, Node) else None)
        return come

    @staticmethod
    def _booked_on(view: Snapshot, node: NodeId) -> list[Task]:
        return [task for task in view.tasks_on(node) if on_node(task)]

    def expire(self, now: Instant) -> None:
        """Forget failures and losses that are too old at `now`."""
        while self._failed and self._failed[0][0] < now - FAILURE_MEMORY:
            _, kind, row = self._failed.popleft()
            self.failures.add(kind, row, -1)
        while self._lost and self._lost[0][0] < now - LOSS_MEMORY:
            _, row = self._lost.popleft()
            self.losses.own()[row] -= 1

    # Nodes

    def roster(self) -> Roster:
        """Which row is which node, as of now."""
        if self._roster is None:
            ids = tuple(sorted(self.rows))
            rows = np.fromiter((self.rows[node] for node in ids), np.int64, len(ids))
            places = np.full(self._capacity, -1, np.int64)
            places[rows] = np.arange(len(ids))
            straight = bool((rows == np.arange(len(ids))).all())
            self._roster = Roster(ids, rows, {node: place for place, node in enumerate(ids)}, places, straight)
        return self._roster

    def attribute(self, key: str, view: Snapshot) -> Attribute:
        """The column of texts under `key`; made when first asked for, then kept up."""
        found = self.attributes.get(key)
        if found is None:
            found = self.attributes[key] = Attribute(self._capacity)
            for node in view.nodes():
                found.set(self.rows[node.id], text_of(node, key))
        return found

    def _enter(self, node: Node) -> None:
        if self._free_rows:
            row = self._free_rows.pop()
        else:
            row = len(self.rows)
            if row >= self._capacity:
                self._grow(max(16, 2 * self._capacity))
        self.rows[node.id] = row
        self._roster = None
        self._renew(node, None)

    def _leave(self, node: NodeId) -> None:
        row = self.rows.pop(node)
        self._roster = None
        self._free_rows.append(row)
        for column in self._columns():
            column.own()[row] = 0
        for attribute in self.attributes.values():
            attribute.set(row, "")
        self.stocks.pop(row, None)
        for key in [key for key in self.held if key[0] == row]:
            del self.held[key]
        for _, kind, at in self._failed:
            if at == row:
                self.failures.add(kind, row, -1)
        self._failed = deque(entry for entry in self._failed if entry[2] != row)
        self._lost = deque(entry for entry in self._lost if entry[1] != row)

    def _renew(self, node: Node, old: Node | None) -> None:
        """Write down what `node` reports, where it differs from `old`."""
        row = self.rows[node.id]
        self.ready.own()[row] = is_ready(node)
        if old is not None and old.status.state == NodeState.READY and node.status.state != NodeState.READY:
            self._lost.append((node.meta.updated_at or Instant(0), row))
            self.losses.own()[row] += 1
        if old is None or old.description != node.description:
            resources = node.description.resources if node.description is not None else None
            self.cpu_total.own()[row] = resources.nano_cpus if resources is not None else 0
            self.memory_total.own()[row] = resources.memory_bytes if resources is not None else 0
            reported = stocks(node)
            kinds = sorted(self.stocks.get(row, {}).keys() | reported.keys())
            self.stocks[row] = reported
            for kind in kinds:
                self._restock(row, kind)
        for key, attribute in self.attributes.items():
            attribute.set(row, text_of(node, key))

    def _restock(self, row: int, kind: str) -> None:
        """Write down how many units of that kind the row has, and has free."""
        if kind not in self.generic_total:
            for table in (self.generic_total, self.generic_free):
                table[kind] = Column(np.int64)
                table[kind].grow(self._capacity)
        stock = self.stocks.get(row, {}).get(kind, Stock())
        self.generic_total[kind].own()[row] = stock.total
        self.generic_free[kind].own()[row] = stock.free(self.held.get((row, kind), {}))

    def _grow(self, capacity: int) -> None:
        self._capacity = capacity
        self._roster = None
        for column in self._columns():
            column.grow(capacity)
        for attribute in self.attributes.values():
            attribute.grow(capacity)

    def _columns(self) -> tuple[Column, ...]:
        return (
            self.cpu_total,
            self.memory_total,
            self.cpu_used,
            self.memory_used,
            self.tasks,
            self.ready,
            self.losses,
            *self.generic_total.values(),
            *self.generic_free.values(),
        )

    # Tasks

    def _book(self, tasks: list[Task], sign: int) -> None:
        """Add (1) or take away (-1) what `tasks` hold on their nodes."""
        rows, cpus, memory, counted = [], [], [], []
        spec, wanted = None, Resources()
        for task in tasks:
            row = self.rows.get(task.node_id)
            if row is None:
                continue
            if task.spec is not spec:  # Tasks of one group come one after the other and share theirs.
                spec, wanted = task.spec, reserved(task.spec)
            rows.append(row)
            cpus.append(wanted.nano_cpus * sign)
            memory.append(wanted.memory_bytes * sign)
            if active(task):
                counted.append(row)
                if task.service_id:
                    self.services.add(task.service_id, row, sign)
            if task.endpoint is not None:
                for port in host_ports(task.endpoint):
                    self.ports.add(port, row, sign)
            if task.assigned_generic_resources:
                self._hold(row, task, sign)
            if task.volumes:
                self._use(task, sign)
        if rows:
            np.add.at(self.cpu_used.own(), rows, cpus)
            np.add.at(self.memory_used.own(), rows, memory)
        if counted:
            np.add.at(self.tasks.own(), counted, sign)

    def _hold(self, row: int, task: Task, sign: int) -> None:
        for kind, units in holdings(task.assigned_generic_resources).items():
            before: Held = self.held.get((row, kind), {})
            after = joined(before, {name: count * sign for name, count in units.items()})
            self.held[row, kind] = {name: count for name, count in after.items() if count}
            self._restock(row, kind)

    def _use(self, task: Task, sign: int) -> None:
        for volume, use in uses_of(task):
            if sign > 0:
                self.uses = with_use(self.uses, volume, task.id, use)
            else:
                self.uses = without_use(self.uses, volume, task.id)

    def _fail(self, task: Task, view: Snapshot) -> list[Faulty]:
        """Remember a failure; not of global services, whose tasks have no other place to go."""
        row, service = self.rows.get(task.node_id), view.service(task.service_id)
        if row is None or service is None or mode_of(service.spec) in (Mode.GLOBAL, Mode.GLOBAL_JOB):
            return []
        kind = (task.service_id, task.spec_version.index if task.spec_version is not None else 0)
        at = task.meta.updated_at or Instant(0)
        self.expire(at)
        self._failed.append((at, kind, row))
        reached = self.failures.add(kind, row, 1) == FAILURES
        return [Faulty(*kind, task.node_id)] if reached else []


def is_ready(node: Node) -> bool:
    """New tasks may come to it."""
    return node.status.state == NodeState.READY and node.spec.availability == Availability.ACTIVE


def _same_load(old: Task, new: Task) -> bool:
    """Both lie equally on their node."""
    return (
        old.node_id == new.node_id
        and active(old) == active(new)
        and (old.spec is new.spec or old.spec == new.spec)
        and old.endpoint == new.endpoint
        and old.assigned_generic_resources == new.assigned_generic_resources
        and old.volumes == new.volumes
    )
