"""Plain engine containers on networks of the cluster: how an engine asks for a place, and gives it back."""

from swarmlab.api.ids import TaskId
from swarmlab.api.networks import NetworkAttachmentConfig
from swarmlab.api.value import Value


class AttachNetworkRequest(Value, frozen=True):
    """A container of the calling node wants to be on a network."""

    #: Network, by id or name, and wanted addresses; always set.
    config: NetworkAttachmentConfig | None = None
    #: The engine's id of the container.
    container_id: str = ""


class AttachNetworkResponse(Value, frozen=True):
    """The place is on its way to the node, as a task without a service."""

    #: The task.
    attachment_id: TaskId = TaskId("")


class DetachNetworkRequest(Value, frozen=True):
    """The container is gone, and its place with it."""

    attachment_id: TaskId = TaskId("")


class DetachNetworkResponse(Value, frozen=True):
    """The place was given back."""
