"""The cluster as strategies and plugins see it, made of columns."""

import random
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from swarmlab.api import (
    Change,
    Duration,
    Instant,
    Mode,
    MountType,
    NodeId,
    NotFound,
    Service,
    ServiceId,
    Task,
    TaskId,
    VolumeAttachment,
    mode_of,
)
from swarmlab.manager.allocator import future_networks
from swarmlab.manager.scheduler import affinity, filters
from swarmlab.manager.scheduler.columns import Columns, Faulty
from swarmlab.manager.scheduler.demand import cluster_mounts, group_of_service, group_of_tasks, on_node
from swarmlab.manager.scheduler.fits import Fits
from swarmlab.manager.scheduler.table import Sheet, Table
from swarmlab.manager.scheduler.volumes import Use, Uses, chosen, with_use
from swarmlab.manager.scheduler.wishes import Wish, Wishes
from swarmlab.plugin import (
    ClusterView,
    Floats,
    Group,
    Host,
    Ints,
    Moves,
    NodeTable,
    Placement,
    Plan,
    Refusals,
    Scores,
    ServiceView,
    TaskView,
    merged,
    sealed,
)
from swarmlab.store import Snapshot


class ClusterColumns(Columns):
    """Columns that give views. One for each part that decides; it is fed with all that part hears of the store."""

    def __init__(self) -> None:
        super().__init__()
        #: The terms of the services; views are good until the next one is made.
        self.wishes = Wishes()

    def led(self, view: Snapshot) -> None:
        super().led(view)
        self.wishes.begin()

    def committed(self, view: Snapshot, changes: Iterable[Change]) -> tuple[Faulty, ...]:
        changes = tuple(changes)
        self.wishes.committed(changes)
        return super().committed(view, changes)

    def cluster_view(self, view: Snapshot, now: Instant, rng: random.Random, host: Host) -> "View":
        """The cluster as of `view`, which is the one last heard of, judged by the filters and the plugins of `host`."""
        seen = View(_Root(Sheet(self, view, now), rng, host, self.wishes))
        self.wishes.refresh(view, host, seen)
        return seen


class _Root:
    """What all branches of one view share."""

    def __init__(self, sheet: Sheet, rng: random.Random, host: Host, wishes: Wishes) -> None:
        self.sheet = sheet
        self.rng = rng
        self.host = host
        self.wishes = wishes
        #: {group id: the group}, of all that were asked about.
        self.groups: dict[str, Group] = {}
        #: {group id: (the group, what binds it)}
        self.bound: dict[str, tuple[Group, tuple[Wish, ...]]] = {}
        self.fits = Fits()
        self._services: dict[ServiceId, ServiceView] | None = None

    @property
    def services(self) -> Mapping[ServiceId, ServiceView]:
        if self._services is None:
            self._services = {service.id: service_view(service) for service in self.sheet.view.services()}
        return self._services


class View(ClusterView):
    """One branch. The memory of what was asked of it lives as long as itself."""

    __slots__ = ("_capacity", "_parts", "_refusals", "_root", "_table", "branch")

    def __init__(self, root: _Root, table: Table | None = None, branch: int = 0) -> None:
        self._root = root
        self._table = Table.of(root.sheet) if table is None else table
        #: Its number among the branches of the root.
        self.branch = branch
        self._refusals: dict[str, tuple[Group, tuple[Refusals, ...]]] = {}
        self._capacity: dict[str, tuple[Group, Ints]] = {}
        self._parts: dict[str, tuple[Group, tuple[Scores, ...]]] = {}

    @property
    def snapshot(self) -> Snapshot:
        """The store that it was made of."""
        return self._root.sheet.view

    @property
    def uses(self) -> Uses:
        """Of cluster volumes, on this branch."""
        return self._table.uses

    @property
    def table(self) -> Table:
        """The node table, with what only the filters ask of it."""
        return self._table

    @property
    def nodes(self) -> NodeTable:
        return self._table

    @property
    def version(self) -> int:
        return self._root.sheet.view.version

    @property
    def now(self) -> Instant:
        return self._root.sheet.now

    @property
    def rng(self) -> random.Random:
        return self._root.rng

    @property
    def options(self) -> Mapping[str, Any]:
        return self._root.host.options

    @property
    def services(self) -> Mapping[ServiceId, ServiceView]:
        return self._root.services

    def tasks_of(self, service: ServiceId) -> tuple[TaskView, ...]:
        return tuple(task_view(task, self.now) for task in self.snapshot.tasks_of(service) if on_node(task))

    def task(self, task: TaskId) -> TaskView | None:
        found = self.snapshot.task(task)
        return task_view(found, self.now) if found is not None and on_node(found) else None

    def group_of(self, service: ServiceId, count: int = 1) -> Group:
        found = self.snapshot.service(service)
        if found is None:
            raise NotFound(f"service {service} not found")
        return self.know(group_of_service(found, count, future_networks(found, self.snapshot)))

    def know(self, group: Group) -> Group:
        """Remember what the id of the group stands for."""
        self._root.groups[group.id] = group
        return group

    def refusals(self, group: Group) -> tuple[Refusals, ...]:
        known = self._refusals.get(group.id)
        if known is not None and known[0] is group:
            return known[1]
        root = self._root
        root.groups[group.id] = group
        found = filters.refusals(group, self._table)
        found += root.host.filter(group, self)
        if root.host.has_affinity and self.wishes(group):
            found += affinity.hard(group, self.wishes(group), self._table)
        self._refusals[group.id] = (group, tuple(found))
        return tuple(found)

    def capacity(self, group: Group) -> Ints:
        known = self._capacity.get(group.id)
        if known is not None and known[0] is group:
            return known[1]
        room = filters.capacity(group, self._table, self.refusals(group))
        if self._root.host.has_affinity and self.wishes(group):
            service = self.snapshot.service(group.service) if group.service else None
            bound = service is not None and mode_of(service.spec).is_global
            room = affinity.limit(room, group, self.wishes(group), self._table, bound=bound)
        self._capacity[group.id] = (group, sealed(room))
        return room

    def score_parts(self, group: Group) -> tuple[Scores, ...]:
        known = self._parts.get(group.id)
        if known is not None and known[0] is group:
            return known[1]
        parts = self._root.host.score(group, self)
        if self._root.host.has_affinity and self.wishes(group):
            parts += tuple(affinity.soft(group, self.wishes(group), self._table))
        self._parts[group.id] = (group, parts)
        return parts

    def scores(self, group: Group) -> Floats:
        return merged(self.score_parts(group), len(self._table))

    def after(self, change: Plan | Placement | Moves) -> "View":
        if isinstance(change, Placement):
            return self._after(change)
        if isinstance(change, Plan):
            view = self
            for placement in change.placements:
                view = view._after(placement)
            return view
        table = self._table
        for move in change.moves:
            table = self._moved(table, move.task, move.to)
        return View(self._root, table, self._root.fits.branch())

    def misfit(self, plan: Plan) -> str | None:
        branch: int | None = self.branch
        for number, placement in enumerate(plan.placements):
            if branch is not None:
                branch = self._root.fits.after(branch, placement)
            if branch is None:
                return self._misfit(plan, number)
        return None

    def _misfit(self, plan: Plan, start: int) -> str | None:
        """What of `plan` does not fit, from its placement number `start` on; those before it are known to."""
        view = self.after(Plan(plan.placements[:start]))
        for placement in plan.placements[start:]:
            room = view.capacity(self._root.groups[placement.group])[placement.nodes]
            over = np.flatnonzero(placement.counts > room)
            if len(over):
                at = int(over[0])
                node = self._table.ids[int(placement.nodes[at])]
                return (
                    f"{int(placement.counts[at])} tasks of the group {placement.group} on node {node}, "
                    f"which can take {int(room[at])}"
                )
            view = view._after(placement)
        return None

    def _after(self, placement: Placement) -> "View":
        group = self._root.groups[placement.group]
        known = self._capacity.get(group.id)
        if known is None or known[0] is not group:
            branch = self._root.fits.branch()
        else:
            fits = bool((placement.counts <= known[1][placement.nodes]).all())
            branch = self._root.fits.tried(self.branch, placement, fits=fits)
        uses = self._used(group, placement) if cluster_mounts(group.spec) else None
        return View(self._root, self._table.plus(group, placement.nodes, placement.counts, uses), branch)

    def _used(self, group: Group, placement: Placement) -> Uses:
        """The uses of cluster volumes after the placement."""
        uses = self._table.uses
        mounts = cluster_mounts(group.spec)
        readonly = {(mount.source, mount.target): mount.readonly for mount in mounts}
        for place, count in zip(placement.nodes.tolist(), placement.counts.tolist(), strict=True):
            node = self._table.ids[place]
            for number in range(count):
                for volume in self.volumes_for(group, node, uses) or ():
                    use = Use(node, readonly[volume.source, volume.target])
                    uses = with_use(uses, volume.id, TaskId(f"{group.id} {node} {number}"), use)
        return uses

    def volumes_for(self, group: Group, node: NodeId, uses: Uses) -> tuple[VolumeAttachment, ...] | None:
        """The cluster volumes that a task of the group gets on the node; None where one is missing."""
        found = self.snapshot.node(node)
        return None if found is None else chosen(cluster_mounts(group.spec), found, self.snapshot.volumes(), uses)

    def _moved(self, table: Table, task_id: TaskId, to: NodeId) -> Table:
        task = self.snapshot.task(task_id)
        if task is None or not on_node(task):
            raise NotFound(f"task {task_id} is on no node")
        group = group_of_tasks(f"move of {task_id}", task, self.snapshot.service(task.service_id), 1)
        for node, count in ((task.node_id, -1), (to, 1)):
            place = table.index(node)
            if place is None:
                raise NotFound(f"node {node} not found")
            table = table.plus(group, np.array([place], np.int64), np.array([count], np.int64))
        return table

    @property
    def bound_services(self) -> Iterable[ServiceId]:
        """Services that have terms, by id."""
        return self._root.wishes.services

    def own_wishes(self, service: ServiceId) -> tuple[Wish, ...]:
        """The terms of one service, in the order of their plugins."""
        wishes = self._root.wishes
        return tuple(wishes.wish(plugin, term, service) for plugin, term in wishes.of(service))

    def wishes(self, group: Group) -> tuple[Wish, ...]:
        """The group's own terms, and those of others that bind it."""
        root = self._root
        known = root.bound.get(group.id)
        if known is None or known[0] is not group:
            known = (group, root.wishes.binding(group, root.host.affinity(group, self)))
            root.bound[group.id] = known
        return known[1]


def service_view(service: Service) -> ServiceView:
    """A service, as strategies see it."""
    spec, mode = service.spec, mode_of(service.spec)
    wanted = 0
    if mode is Mode.REPLICATED and spec.replicated is not None:
        wanted = spec.replicated.replicas
    elif mode is Mode.REPLICATED_JOB and spec.replicated_job is not None:
        wanted = spec.replicated_job.total_completions
    return ServiceView(
        id=service.id,
        name=spec.annotations.name,
        labels=spec.annotations.labels,
        mode=mode.value,
        replicas=wanted,
        spec_version=service.spec_version.index if service.spec_version is not None else 0,
    )


def task_view(task: Task, now: Instant) -> TaskView:
    """A task, as strategies see it."""
    return TaskView(
        id=task.id,
        service=task.service_id,
        slot=task.slot,
        node_id=task.node_id,
        state=task.status.state,
        desired_state=task.desired_state,
        spec_version=task.spec_version.index if task.spec_version is not None else 0,
        age=Duration(now - (task.meta.created_at or now)),
        labels=task.annotations.labels,
        local_volumes=tuple(
            (mount.type.name.lower(), mount.source, mount.target)
            for mount in (task.spec.container.mounts if task.spec.container is not None else ())
            if mount.type in (MountType.BIND, MountType.VOLUME)
        ),
    )
