"""The closed lists of words: every enum of the object model, with SwarmKit's numbers."""

from enum import IntEnum


class Word(IntEnum):
    """An open enum: a number that we do not know yet is kept, named by its value."""

    @classmethod
    def _missing_(cls, value: object) -> "Word | None":
        if not isinstance(value, int):
            return None
        unknown = int.__new__(cls, value)
        unknown._name_ = f"UNKNOWN_{value}"
        unknown._value_ = value
        return unknown


class Reachability(Word):
    """Whether a member of the Raft group answers."""

    UNKNOWN = 0
    UNREACHABLE = 1
    REACHABLE = 2


class NodeState(Word):
    """Whether a node is alive."""

    UNKNOWN = 0
    DOWN = 1
    READY = 2
    DISCONNECTED = 3


class MountType(Word):
    """What is mounted."""

    BIND = 0
    VOLUME = 1
    TMPFS = 2
    NPIPE = 3
    CLUSTER = 4


class MountConsistency(Word):
    """How soon a mount shows changes of the other side; a hint."""

    DEFAULT = 0
    CONSISTENT = 1
    CACHED = 2
    DELEGATED = 3


class Propagation(Word):
    """Whether mounts below a bind are seen on the other side."""

    RPRIVATE = 0
    PRIVATE = 1
    RSHARED = 2
    SHARED = 3
    RSLAVE = 4
    SLAVE = 5


class RestartCondition(Word):
    """After which ends a task is replaced."""

    NONE = 0
    ON_FAILURE = 1
    ANY = 2


class FailureAction(Word):
    """What an update does when too many tasks failed."""

    PAUSE = 0
    CONTINUE = 1
    ROLLBACK = 2


class UpdateOrder(Word):
    """Whether the old task stops before the new one starts."""

    STOP_FIRST = 0
    START_FIRST = 1


class UpdateState(Word):
    """How far an update or a rollback came."""

    UNKNOWN = 0
    UPDATING = 1
    PAUSED = 2
    COMPLETED = 3
    ROLLBACK_STARTED = 4
    ROLLBACK_PAUSED = 5
    ROLLBACK_COMPLETED = 6


class AddressFamily(Word):
    """The IP family of an address pool."""

    UNKNOWN = 0
    IPV4 = 4
    IPV6 = 6


class PortProtocol(Word):
    """The transport protocol of a port."""

    TCP = 0
    UDP = 1
    SCTP = 2


class PublishMode(Word):
    """Whether a port is published by the ingress mesh or on the node."""

    INGRESS = 0
    HOST = 1


class IssuanceState(Word):
    """How far the issue of a certificate came."""

    UNKNOWN = 0
    RENEW = 1
    PENDING = 2
    ISSUED = 3
    FAILED = 4
    ROTATE = 5


class CAProtocol(Word):
    """How an external certificate authority is spoken to."""

    CFSSL = 0


class EncryptionAlgorithm(Word):
    """The cipher of a network key."""

    AES_128_GCM = 0


class SeccompMode(Word):
    """Which seccomp profile applies."""

    DEFAULT = 0
    UNCONFINED = 1
    CUSTOM = 2


class AppArmorMode(Word):
    """Whether an AppArmor profile applies."""

    DEFAULT = 0
    DISABLED = 1


class VolumeScope(Word):
    """On how many nodes a volume may be used at once."""

    SINGLE_NODE = 0
    MULTI_NODE = 1


class VolumeSharing(Word):
    """Who of several tasks may write to a volume."""

    NONE = 0
    READ_ONLY = 1
    ONE_WRITER = 2
    ALL = 3


class VolumePublishState(Word):
    """How far a volume's publication on a node came."""

    PENDING_PUBLISH = 0
    PUBLISHED = 1
    PENDING_NODE_UNPUBLISH = 2
    PENDING_UNPUBLISH = 3


class ResourceType(Word):
    """The kind of object that a resource reference names."""

    TASK = 0
    SECRET = 1
    CONFIG = 2
    VOLUME = 3


class TaskState(Word):
    """The states of a task, a clock that only rises; more than RUNNING is dead. The gaps are for later states."""

    NEW = 0
    PENDING = 64
    ASSIGNED = 192
    ACCEPTED = 256
    PREPARING = 320
    READY = 384
    STARTING = 448
    RUNNING = 512
    COMPLETE = 576
    SHUTDOWN = 640
    FAILED = 704
    REJECTED = 768
    REMOVE = 800
    ORPHANED = 832


class NodeRole(Word):
    """The part of a node in the cluster."""

    WORKER = 0
    MANAGER = 1


class Membership(Word):
    """Whether a node is let in."""

    PENDING = 0
    ACCEPTED = 1


class Availability(Word):
    """Whether a node takes new tasks (ACTIVE), keeps those it has (PAUSE), or runs none (DRAIN)."""

    ACTIVE = 0
    PAUSE = 1
    DRAIN = 2


class Isolation(Word):
    """How Windows isolates a container."""

    ISOLATION_DEFAULT = 0
    ISOLATION_PROCESS = 1
    ISOLATION_HYPERV = 2


class ResolutionMode(Word):
    """Whether the name of a service gives one virtual address or those of its tasks."""

    VIP = 0
    DNSRR = 1


class VolumeAvailability(Word):
    """Whether a volume may be used by new tasks."""

    ACTIVE = 0
    PAUSE = 1
    DRAIN = 2


class Rollback(Word):
    """Whether an update goes back to the previous spec."""

    NONE = 0
    PREVIOUS = 1


class AssignmentAction(Word):
    """Whether a worker takes an object or drops it."""

    UPDATE = 0
    REMOVE = 1


class AssignmentsType(Word):
    """Whether an assignments message holds everything or the differences."""

    COMPLETE = 0
    INCREMENTAL = 1


class LogStream(Word):
    """Where a line of log comes from."""

    LOG_STREAM_UNKNOWN = 0
    LOG_STREAM_STDOUT = 1
    LOG_STREAM_STDERR = 2


class WatchActionKind(Word):
    """What happened to a watched object; the numbers are bits."""

    WATCH_ACTION_UNKNOWN = 0
    WATCH_ACTION_CREATE = 1
    WATCH_ACTION_UPDATE = 2
    WATCH_ACTION_REMOVE = 4


def is_dead(state: TaskState) -> bool:
    """A task in `state` has ended, in whatever way."""
    return state > TaskState.RUNNING
