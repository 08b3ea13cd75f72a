"""Places on networks: those of tasks, and one of each node on every network that its tasks are on."""

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from swarmlab.api import (
    Network,
    NetworkAttachment,
    NetworkAttachmentConfig,
    NetworkId,
    Node,
    NodeId,
    Service,
    Task,
    TaskId,
    TaskState,
)
from swarmlab.manager.allocator.addresses import NODE, TASK, Addresses, NoAddress, Place
from swarmlab.manager.allocator.networks import (
    NotReady,
    ingress_network,
    is_node_local,
    publishes_through_ingress,
    usable_network,
    wished_networks,
)
from swarmlab.store import Snapshot

#: {network: itself, and how a task is to be on it}, in the order in which the task is attached.
Wishes = Mapping[NetworkId, tuple[Network, NetworkAttachmentConfig]]


def places_of(attachments: tuple[NetworkAttachment, ...]) -> Iterator[Place]:
    """The addresses that lie in attachments."""
    return (
        (attachment.network.id, text)
        for attachment in attachments
        if attachment.network is not None
        for text in attachment.addresses
    )


def task_wishes(task: Task, service: Service | None, view: Snapshot, ingress: Network | None) -> Wishes:
    """The networks that a task is to be on: the ingress network first, then those it asks for, in its order.

    Raises:
        NotReady: A network cannot be used now.
    """
    return _wishes(task, service, view, ingress)


def task_attachments(task: Task, wishes: Wishes, addresses: Addresses) -> tuple[NetworkAttachment, ...]:
    """The places that a task gets.

    Raises:
        NoAddress: A network has no address for it. Nothing was given.
    """
    owner = (TASK, task.id)
    with addresses.together(owner):
        return tuple(
            NetworkAttachment(
                network=network,
                addresses=() if is_node_local(network) else addresses.give(owner, network.id, wish.addresses),
                aliases=wish.aliases,
                driver_attachment_opts=wish.driver_attachment_opts,
            )
            for network, wish in wishes.values()
        )


def future_networks(service: Service, view: Snapshot) -> tuple[NetworkAttachment, ...]:
    """The networks of the service's next task, without addresses; none while one of them cannot be used."""
    try:
        wishes = _wishes(None, service, view, ingress_network(view.networks()))
    except NotReady:
        return ()
    return tuple(NetworkAttachment(network=network, aliases=wish.aliases) for network, wish in wishes.values())


def _wishes(task: Task | None, service: Service | None, view: Snapshot, ingress: Network | None) -> Wishes:
    wishes: dict[NetworkId, tuple[Network, NetworkAttachmentConfig]] = {}
    if ingress is not None and service is not None and publishes_through_ingress(service):
        wishes[ingress.id] = usable_network(view, ingress.id), NetworkAttachmentConfig(target=ingress.id)
    for wish in wished_networks(task, service):
        network = usable_network(view, wish.target)
        wishes.setdefault(network.id, (network, wish))
    return wishes


class NodePlaces:
    """On which networks the tasks of each node are, and what each node needs for it.

    A derived index over the tasks that are on nodes and have not ended.
    """

    def __init__(self) -> None:
        #: {task: its node and its networks}, without tasks that need none of a node.
        self._of: dict[TaskId, tuple[NodeId, tuple[NetworkId, ...]]] = {}
        #: {node: {network: how many of its tasks are on it}}
        self._uses: dict[NodeId, dict[NetworkId, int]] = {}

    def see(self, task: Task, *, removed: bool = False) -> set[NodeId]:
        """Follow the task; gives the nodes that need another set of networks now."""
        on_node = bool(task.node_id) and TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING and not removed
        now = None
        if on_node and task.networks:
            networks = tuple(dict.fromkeys(network_id for network_id, _ in places_of(task.networks)))
            now = (task.node_id, networks) if networks else None
        before = self._of.get(task.id)
        if now == before:
            return set()
        changed = set()
        if before is not None:
            del self._of[task.id]
            node_id, networks = before
            uses = self._uses[node_id]
            for network_id in networks:
                uses[network_id] -= 1
                if not uses[network_id]:
                    del uses[network_id]
                    changed.add(node_id)
            if not uses:
                del self._uses[node_id]
        if now is not None:
            self._of[task.id] = now
            node_id, networks = now
            uses = self._uses.setdefault(node_id, {})
            for network_id in networks:
                if network_id not in uses:
                    changed.add(node_id)
                uses[network_id] = uses.get(network_id, 0) + 1
        return changed

    def nodes(self) -> Iterator[NodeId]:
        """The nodes that need a place on any network, sorted."""
        return iter(sorted(self._uses))

    def attached(
        self, node: Node, view: Snapshot, ingress: Network | None, addresses: Addresses
    ) -> tuple[Node, tuple[NoAddress, ...]]:
        """The node with a place on each network that it needs and on no other, and what could not be had.

        The ingress network is needed on every node. A place that is needed still is kept as it is.
        """
        needed = sorted(self._uses.get(node.id, ()))
        if ingress is not None and ingress.driver_state is not None:
            needed = [ingress.id, *(network_id for network_id in needed if network_id != ingress.id)]
        present = {each.network.id: each for each in node.attachments if each.network is not None}
        attachments, missing = [], []
        for network_id in needed:
            if network_id in present:
                attachments.append(present[network_id])
                continue
            network = view.network(network_id)
            if network is None:
                continue
            try:
                given = addresses.give((NODE, node.id), network_id)
            except NoAddress as error:
                missing.append(error)
                continue
            # One address for the node, whatever the families: it is that of the network's load balancer.
            attachments.append(NetworkAttachment(network=network, addresses=given[:1]))
        if set(present) == {each.network.id for each in attachments if each.network is not None}:
            return node, tuple(missing)
        return replace(node, attachments=tuple(attachments)), tuple(missing)
