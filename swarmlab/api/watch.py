"""Which commits a watcher wants, and what it gets."""

from swarmlab.api.annotations import Version
from swarmlab.api.changes import StoreObject
from swarmlab.api.enums import Membership, NodeRole, TaskState, WatchActionKind
from swarmlab.api.value import Value


class SelectBySlot(Value, frozen=True):
    """Tasks of one slot."""

    service_id: str = ""
    slot: int = 0


class SelectByCustom(Value, frozen=True, kw_only=True):
    """Objects with a custom index."""

    #: Kind of object.
    kind: str = ""
    #: Key of the index.
    index: str = ""
    #: Its value, or how that begins.
    value: str = ""


class SelectBy(Value, frozen=True, kw_only=True):
    """One condition; exactly one field is set."""

    id: str | None = None
    id_prefix: str | None = None
    name: str | None = None
    name_prefix: str | None = None
    custom: SelectByCustom | None = None
    custom_prefix: SelectByCustom | None = None
    #: Tasks only.
    service_id: str | None = None
    #: Tasks only.
    node_id: str | None = None
    #: Tasks only.
    slot: SelectBySlot | None = None
    #: Tasks only.
    desired_state: TaskState | None = None
    #: Nodes only.
    role: NodeRole | None = None
    #: Nodes only.
    membership: Membership | None = None
    #: Services and tasks.
    referenced_network_id: str | None = None
    #: Services and tasks.
    referenced_secret_id: str | None = None
    #: Services and tasks.
    referenced_config_id: str | None = None
    #: Resources only.
    kind: str | None = None


class WatchEntry(Value, frozen=True, kw_only=True):
    """What one entry matches."""

    #: node, service, network, task, cluster, secret, config, volume, extension, or the kind of a resource.
    kind: str = ""
    #: Bits of WatchActionKind.
    action: WatchActionKind = WatchActionKind.WATCH_ACTION_UNKNOWN
    #: All must hold.
    filters: tuple[SelectBy, ...] = ()


class WatchRequest(Value, frozen=True, kw_only=True):
    """Asks for commits; those that match any entry are sent."""

    entries: tuple[WatchEntry, ...] = ()
    #: Begin after this version, not now.
    resume_from: Version | None = None
    #: Send what an update replaced, too.
    include_old_object: bool = False


class WatchEvent(Value, frozen=True, kw_only=True):
    """What happened to one object."""

    action: WatchActionKind
    #: As it is now; a removed one as it was.
    object: StoreObject
    #: As it was before an update, where that was asked for.
    old_object: StoreObject | None = None


class WatchMessage(Value, frozen=True):
    """The matching events of one commit."""

    version: int
    events: tuple[WatchEvent, ...] = ()
