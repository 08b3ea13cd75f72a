"""The component that allocates: networks first, then services, then the tasks that waited for both, then nodes."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from swarmlab.api import (
    SECOND,
    Change,
    ChangeKind,
    Changes,
    Cluster,
    Delete,
    Instant,
    Network,
    NetworkAttachment,
    NetworkId,
    Node,
    NodeId,
    PortProtocol,
    Service,
    ServiceId,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
    Update,
    after,
)
from swarmlab.component import Effect, Event, Propose, Proposed, Record, SetTimer, TimerFired
from swarmlab.manager.allocator import endpoints, places
from swarmlab.manager.allocator.addresses import NODE, SERVICE, TASK, Addresses, NoAddress, Owner
from swarmlab.manager.allocator.networks import NotReady, ingress_network, is_ingress
from swarmlab.manager.allocator.ports import PortSpace, PortTaken
from swarmlab.manager.allocator.spaces import NoSubnet, Spaces
from swarmlab.store import EMPTY, Committed, Led, ReferencesNetwork, Snapshot

#: Pause after a proposal that failed as a whole.
RETRY = SECOND
_RETRY = "retry"
_NETWORK = "network"


class _Proposed(NamedTuple):
    """The proposal under way, and whom each of its groups is about."""

    tag: str
    about: tuple[Owner, ...]


class _Like(NamedTuple):
    """What tasks of one spec and one service have in common."""

    spec: TaskSpec | None = None
    service: Service | None = None
    #: The networks that each is to be on; None where it waits for something else.
    wishes: places.Wishes | None = None
    #: What it waits for; empty while it is only a matter of the next commits.
    reason: str = ""


class Allocator:
    """Gives networks their subnets, services their ports and addresses, tasks and nodes their places on networks.

    A network whose subnet cannot be had, and a service that lacks a port or an address, keep what they have; their
    tasks stay NEW with the reason. They are tried again when something is given up that could help. A task goes from
    NEW to PENDING with all its places in one commit, and keeps them until it has ended.

    One proposal is under way at a time and holds all that one commit made necessary, so what is given out is always
    decided against everything given out before. Every step costs what changed, and those that wait for it.
    """

    name = "allocator"

    def __init__(self) -> None:
        #: Proposals made so far, over all terms, so that a late answer is not taken for another.
        self._turn = 0
        self._reset(EMPTY)

    def _reset(self, view: Snapshot) -> None:
        self._view = view
        self._ports = PortSpace()
        self._spaces = Spaces()
        self._addresses = Addresses()
        self._node_places = places.NodePlaces()
        self._ingress: Network | None = None
        #: What to look at when no proposal is under way. Dictionaries as sets that keep their order.
        self._networks: dict[NetworkId, None] = {}
        self._services: dict[ServiceId, None] = {}
        self._tasks: dict[TaskId, None] = {}
        self._nodes: dict[NodeId, None] = {}
        #: {network without a subnet: why}
        self._barren: dict[NetworkId, str] = {}
        #: {service without all that it wants: why}; an empty reason: it is a matter of the next commits.
        self._failed: dict[ServiceId, str] = {}
        #: {network without a free address: who waits for one}
        self._starved: dict[NetworkId, dict[Owner, None]] = {}
        #: Networks that go away as soon as nobody uses them any more.
        self._leaving: dict[NetworkId, None] = {}
        #: {service: its tasks that are NEW}; the empty id stands for tasks of no service.
        self._waiting: dict[ServiceId, dict[TaskId, None]] = {}
        #: None when no proposal is under way.
        self._proposed: _Proposed | None = None

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        match event:
            case Led(view):
                self._restore(view)
            case Committed(view, changes):
                self._view = view
                for change in changes:
                    self._note(change)
            case Proposed(tag=tag, refused=refused, error=error) if self._proposed and tag == self._proposed.tag:
                proposed, self._proposed = self._proposed, None
                if error is not None:
                    self._look_again(proposed.about)
                    return [SetTimer(_RETRY, after(now, RETRY))]
                self._look_again(proposed.about[each.group] for each in refused)
            case TimerFired(name) if name == _RETRY:
                pass
            case _:
                return []
        return self._allocate(now)

    def _restore(self, view: Snapshot) -> None:
        """Take over what is allocated, all of it, before anything new is given out."""
        self._reset(view)
        self._ingress = ingress_network(view.networks())
        for network in view.networks():
            self._spaces.hold(network)
            self._addresses.define(network)
        for node in view.nodes():
            self._addresses.hold((NODE, node.id), places.places_of(node.attachments))
            if node.attachments or self._ingress is not None:
                self._nodes[node.id] = None
        for service in view.services():
            self._ports.hold(service.id, endpoints.ports_of(service))
            self._addresses.hold((SERVICE, service.id), endpoints.places_of(service))
        for task in view.tasks():
            if task.networks and task.status.state <= TaskState.RUNNING:
                self._addresses.hold((TASK, task.id), places.places_of(task.networks))
                self._node_places.see(task)
            if task.status.state == TaskState.NEW:
                self._expect(task)
        self._nodes.update(dict.fromkeys(self._node_places.nodes()))
        # The ingress network comes first, so that it gets the subnet that it has everywhere.
        for network in sorted(view.networks(), key=lambda network: not is_ingress(network)):
            self._expect_network(network)
        for service in view.services():
            if not self._is_allocated(service):
                self._services[service.id] = None

    # --- what commits say

    def _note(self, change: Change) -> None:
        removed = change.kind == ChangeKind.REMOVED
        match change.object:
            case Service() as service:
                self._note_service(service, removed=removed)
            case Task() as task:
                self._note_task(task, created=change.kind == ChangeKind.CREATED, removed=removed)
            case Node() as node:
                self._note_node(node, created=change.kind == ChangeKind.CREATED, removed=removed)
            case Network() as network:
                self._note_network(network, removed=removed)
            case Cluster() as cluster:
                old = change.old
                pools = isinstance(old, Cluster) and (old.defaultAddressPool, old.subnetSize)
                if pools != (cluster.defaultAddressPool, cluster.subnetSize):
                    self._networks.update(dict.fromkeys(self._barren))

    def _note_network(self, network: Network, *, removed: bool) -> None:
        if removed:
            if self._spaces.release(network.id):
                self._networks.update(dict.fromkeys(self._barren))
            self._addresses.drop(network.id)
            self._barren.pop(network.id, None)
            self._leaving.pop(network.id, None)
            self._feed(network.id)
        else:
            self._spaces.hold(network)
            self._addresses.define(network)
            self._expect_network(network)
        if is_ingress(network):
            self._ingress = ingress_network(self._view.networks())
            self._nodes.update((node.id, None) for node in self._view.nodes())
        self._services.update(dict.fromkeys(self._failed))
        for tasks in self._waiting.values():
            self._tasks.update(tasks)

    def _expect_network(self, network: Network) -> None:
        if network.pending_delete:
            self._leaving[network.id] = None
        elif network.driver_state is None:
            self._networks[network.id] = None
        else:
            self._barren.pop(network.id, None)

    def _note_service(self, service: Service, *, removed: bool) -> None:
        gave_up = self._ports.hold(service.id, () if removed else endpoints.ports_of(service))
        if gave_up:
            self._services.update(dict.fromkeys(self._failed))
        self._hold((SERVICE, service.id), () if removed else endpoints.places_of(service))
        if removed:
            self._failed.pop(service.id, None)
        elif self._is_allocated(service):
            self._failed.pop(service.id, None)
            self._tasks.update(self._waiting.get(service.id, {}))
        else:
            self._services[service.id] = None

    def _note_task(self, task: Task, *, created: bool, removed: bool) -> None:
        owner = (TASK, task.id)
        ended = removed or task.status.state > TaskState.RUNNING
        if task.networks or self._addresses.holds(owner):
            self._hold(owner, () if ended else places.places_of(task.networks))
            self._nodes.update(dict.fromkeys(sorted(self._node_places.see(task, removed=removed))))
        if not removed and task.status.state == TaskState.NEW:
            if created or task.desired_state > TaskState.COMPLETE:
                self._expect(task)
        else:
            self._forget(task)

    def _note_node(self, node: Node, *, created: bool, removed: bool) -> None:
        if node.attachments or self._addresses.holds((NODE, node.id)):
            self._hold((NODE, node.id), () if removed else places.places_of(node.attachments))
        if created and self._ingress is not None:
            self._nodes[node.id] = None

    def _hold(self, owner: Owner, held: Iterable[tuple[NetworkId, str]]) -> None:
        for network_id in sorted(self._addresses.hold(owner, held)):
            self._feed(network_id)

    def _feed(self, network_id: NetworkId) -> None:
        """Look again at those who wait for an address on the network."""
        self._look_again(self._starved.pop(network_id, ()))

    def _expect(self, task: Task) -> None:
        self._waiting.setdefault(task.service_id, {})[task.id] = None
        self._tasks[task.id] = None

    def _forget(self, task: Task) -> None:
        waiting = self._waiting.get(task.service_id)
        if waiting is not None:
            waiting.pop(task.id, None)
            if not waiting:
                del self._waiting[task.service_id]
        self._tasks.pop(task.id, None)

    def _look_again(self, about: Iterable[Owner]) -> None:
        for kind, key in about:
            if kind == SERVICE:
                self._services[ServiceId(key)] = None
            elif kind == TASK:
                self._tasks[TaskId(key)] = None
            elif kind == NODE:
                self._nodes[NodeId(key)] = None
            else:
                self._networks[NetworkId(key)] = None

    # --- what is done about it

    def _allocate(self, now: Instant) -> Sequence[Effect]:
        """Propose all that can be done now, unless a proposal is under way."""
        if self._proposed is not None:
            return []
        records: list[Effect] = []
        changed: list[tuple[str, Network | Service | Task | Node]] = []
        changed += [(_NETWORK, network) for network in self._allocated_networks(records)]
        changed += [(SERVICE, service) for service in self._allocated_services(records)]
        changed += [(TASK, task) for task in self._advanced_tasks(now)]
        changed += [(NODE, node) for node in self._attached_nodes(records)]
        gone = self._unused_networks()
        if not changed and not gone:
            return records
        self._turn += 1
        about = (*((kind, str(obj.id)) for kind, obj in changed), *((_NETWORK, str(key)) for key in gone))
        self._proposed = _Proposed(f"allocate-{self._turn}", about)
        changes = Changes.each((*(Update(obj) for _, obj in changed), *(Delete(Network, key) for key in gone)))
        return [*records, Propose(changes, self._proposed.tag)]

    def _allocated_networks(self, records: list[Effect]) -> list[Network]:
        """Networks with all that their drivers need; those that fail are noted, and their tasks looked at."""
        allocated = []
        queue, self._networks = self._networks, {}
        for network_id in queue:
            network = self._view.network(network_id)
            if network is None or network.driver_state is not None or network.pending_delete:
                continue
            try:
                made = self._spaces.allocated(network, self._view.cluster())
            except NoSubnet as error:
                if self._barren.get(network_id) != str(error):
                    self._barren[network_id] = str(error)
                    self._services.update(dict.fromkeys(self._failed))
                    for tasks in self._waiting.values():
                        self._tasks.update(tasks)
                    records.append(Record("allocation-failed", {"network": network_id, "reason": str(error)}))
                continue
            allocated.append(made)
            subnets = [config.subnet for config in made.ipam.configs] if made.ipam is not None else []
            records.append(Record("network-allocated", {"network": network_id, "subnets": subnets}))
        return allocated

    def _allocated_services(self, records: list[Effect]) -> list[Service]:
        """Services with their new endpoints; those that fail are noted, and their tasks looked at."""
        allocated = []
        taken: dict[tuple[PortProtocol, int], ServiceId] = {}
        queue, self._services = self._services, {}
        for service_id in queue:
            service = self._view.service(service_id)
            if service is None or self._is_allocated(service):
                continue
            wish = service.spec.endpoint
            try:
                with self._addresses.together((SERVICE, service_id)):
                    vips = endpoints.virtual_ips(service, self._view, self._ingress, self._addresses)
                    ports = () if wish is None else self._ports.ports_for(service, wish, taken)
            except (PortTaken, NotReady, NoAddress) as error:
                reason = self._explained(error, (SERVICE, service_id))
                if self._failed.get(service_id) != reason:
                    self._failed[service_id] = reason
                    self._tasks.update(self._waiting.get(service_id, {}))
                    if reason:
                        records.append(Record("allocation-failed", {"service": service_id, "reason": reason}))
                continue
            self._failed.pop(service_id, None)
            allocated.append(replace(service, endpoint=endpoints.endpoint(service, ports, vips)))
            if ports:
                numbers = [f"{port.published_port}/{port.protocol.name.lower()}" for port in ports]
                records.append(Record("ports-allocated", {"service": service_id, "ports": numbers}))
        return allocated

    def _advanced_tasks(self, now: Instant) -> list[Task]:
        """Tasks that have all they need, now PENDING; those that lack something for a reason not noted yet.

        Those that were told to stop end here: nobody else would end them.
        """
        advanced = []
        queue, self._tasks = self._tasks, {}
        like = _Like()
        for task_id in queue:
            task = self._view.task(task_id)
            if task is None or task.status.state != TaskState.NEW:
                continue
            if task.desired_state > TaskState.COMPLETE:
                advanced.append(_ended(task, now))
                continue
            service = self._view.service(task.service_id) if task.service_id else None
            if task.service_id and service is None:
                continue
            # Tasks that come together are mostly of one service and one spec.
            if like.spec is not task.spec or like.service is not service:
                like = self._like(task, service)
            reason = like.reason
            if like.wishes is not None:
                try:
                    networks = places.task_attachments(task, like.wishes, self._addresses) if like.wishes else ()
                except NoAddress as error:
                    reason = self._explained(error, (TASK, task_id))
                else:
                    advanced.append(_pending(task, service, networks, now))
                    continue
            if reason and reason != task.status.err:
                advanced.append(replace(task, status=replace(task.status, err=reason, timestamp=now)))
        return advanced

    def _like(self, task: Task, service: Service | None) -> "_Like":
        """What holds for the task, and for each other one of its spec and service."""
        if service is not None and not self._is_allocated(service):
            return _Like(task.spec, service, None, self._failed.get(service.id, ""))
        try:
            return _Like(task.spec, service, places.task_wishes(task, service, self._view, self._ingress))
        except NotReady as error:
            return _Like(task.spec, service, None, self._explained(error, (TASK, task.id)))

    def _attached_nodes(self, records: list[Effect]) -> list[Node]:
        """Nodes with the places on networks that they need now."""
        attached = []
        queue, self._nodes = self._nodes, {}
        for node_id in queue:
            node = self._view.node(node_id)
            if node is None:
                continue
            made, missing = self._node_places.attached(node, self._view, self._ingress, self._addresses)
            for error in missing:
                self._starved.setdefault(error.network_id, {})[NODE, node_id] = None
                records.append(Record("allocation-failed", {"node": node_id, "reason": str(error)}))
            if made is not node:
                attached.append(made)
        return attached

    def _unused_networks(self) -> list[NetworkId]:
        """Networks that were to go, and that nobody uses any more."""
        return [
            network_id
            for network_id in self._leaving
            if self._view.network(network_id) is not None
            and not self._addresses.users(network_id, TASK)
            and not self._view.find(Service, ReferencesNetwork(network_id))
        ]

    def _is_allocated(self, service: Service) -> bool:
        return endpoints.is_allocated(service, self._view, self._ingress)

    def _explained(self, error: PortTaken | NotReady | NoAddress, owner: Owner) -> str:
        """The reason for users; empty while it is only a matter of the next commits."""
        if isinstance(error, NotReady) and error.network_id in self._barren:
            network = self._view.network(error.network_id)
            assert network is not None, "what is not there has no reason"
            return f"network {network.spec.annotations.name} is not allocated: {self._barren[error.network_id]}"
        if isinstance(error, PortTaken):
            holder = self._view.service(error.owner) if error.owner is not None else None
            return str(error) if holder is None else f"{error} by service {holder.spec.annotations.name} ({holder.id})"
        if isinstance(error, NoAddress):
            self._starved.setdefault(error.network_id, {})[owner] = None
        return str(error)


def _pending(task: Task, service: Service | None, networks: tuple[NetworkAttachment, ...], now: Instant) -> Task:
    status = TaskStatus(timestamp=now, state=TaskState.PENDING, message="pending task scheduling")
    return replace(
        task, status=status, networks=networks, endpoint=task.endpoint if service is None else service.endpoint
    )


def _ended(task: Task, now: Instant) -> Task:
    status = TaskStatus(timestamp=now, state=TaskState.SHUTDOWN, message="task was told to stop before it had a node")
    return replace(task, status=status)
