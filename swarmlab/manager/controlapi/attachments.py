"""Plain engine containers on networks of the cluster, as tasks of no service."""

import random

from swarmlab.api import (
    AttachNetworkRequest,
    AttachNetworkResponse,
    Changes,
    Create,
    Delete,
    DetachNetworkRequest,
    DetachNetworkResponse,
    Forbidden,
    Instant,
    InvalidSpec,
    Network,
    NetworkAttachmentConfig,
    NetworkAttachmentSpec,
    NodeId,
    NotFound,
    Precondition,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
    new_id,
)
from swarmlab.manager.allocator import named_network
from swarmlab.manager.controlapi.stored import stored
from swarmlab.store import Snapshot


def attach_network(
    view: Snapshot, node_id: NodeId, request: AttachNetworkRequest, ids: random.Random, now: Instant
) -> tuple[Changes, AttachNetworkResponse]:
    """A place for a container of the calling node; the allocator and the dispatcher bring it there, as a task.

    Args:
        view: The cluster.
        node_id: The caller, by its certificate.
        request: Network and container.
        ids: Chance for the id of the task.
        now: When it is asked for.

    Raises:
        InvalidSpec: No network or no container is named.
        NotFound: There is no such network, or the caller is no node of the cluster.
        Forbidden: The network is not attachable.
        Precondition: It is being removed.
    """
    target = request.config.target if request.config is not None else ""
    if not target or request.config is None:
        raise InvalidSpec("config.target: '', wanted: the id or name of a network")
    if not request.container_id:
        raise InvalidSpec("container_id: '', wanted: the id of the container that is to be attached")
    if view.node(node_id) is None:
        raise NotFound(f"node {node_id} not found")
    network = _attachable(view, target)
    task = Task(
        id=TaskId(new_id(ids)),
        node_id=node_id,
        spec=TaskSpec(
            attachment=NetworkAttachmentSpec(request.container_id),
            networks=(NetworkAttachmentConfig(target=network.id, addresses=request.config.addresses),),
        ),
        status=TaskStatus(timestamp=now, state=TaskState.NEW, message="created"),
        desired_state=TaskState.RUNNING,
    )
    return Changes.atomic(Create(task)), AttachNetworkResponse(task.id)


def detach_network(
    view: Snapshot, node_id: NodeId, request: DetachNetworkRequest
) -> tuple[Changes, DetachNetworkResponse]:
    """Nothing of the place left: the container is gone.

    Raises:
        InvalidSpec: No attachment is named.
        NotFound: There is no such attachment.
        Forbidden: It is one of another node.
    """
    if not request.attachment_id:
        raise InvalidSpec("attachment_id: '', wanted: the id that attaching gave")
    task = stored(view, Task, request.attachment_id)
    if task.spec.attachment is None:
        raise NotFound(f"task {task.id} is no attachment")
    if task.node_id != node_id:
        raise Forbidden(f"attachment {task.id} is of node {task.node_id}, not of {node_id}, which asks to detach it")
    return Changes.atomic(Delete(Task, task.id)), DetachNetworkResponse()


def _attachable(view: Snapshot, target: str) -> Network:
    network = named_network(view, target)
    if network is None:
        raise NotFound(f"network {target} not found")
    name = network.spec.annotations.name
    if not network.spec.attachable:
        raise Forbidden(f"network {name} not manually attachable")
    if network.pending_delete:
        raise Precondition(f"network {name} ({network.id}) is being removed")
    return network
