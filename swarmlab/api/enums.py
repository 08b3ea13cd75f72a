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
    UNKNOWN = 0
    UNREACHABLE = 1
    REACHABLE = 2


class NodeState(Word):
    UNKNOWN = 0
    DOWN = 1
    READY = 2
    DISCONNECTED = 3


class MountType(Word):
    BIND = 0
    VOLUME = 1
    TMPFS = 2
    NPIPE = 3
    CLUSTER = 4


class MountConsistency(Word):
    DEFAULT = 0
    CONSISTENT = 1
    CACHED = 2
    DELEGATED = 3


class Propagation(Word):
    RPRIVATE = 0
    PRIVATE = 1
    RSHARED = 2
    SHARED = 3
    RSLAVE = 4
    SLAVE = 5


class RestartCondition(Word):
    NONE = 0
    ON_FAILURE = 1
    ANY = 2


class FailureAction(Word):
    PAUSE = 0
    CONTINUE = 1
    ROLLBACK = 2


class UpdateOrder(Word):
    STOP_FIRST = 0
    START_FIRST = 1


class UpdateState(Word):
    UNKNOWN = 0
    UPDATING = 1
    PAUSED = 2
    COMPLETED = 3
    ROLLBACK_STARTED = 4
    ROLLBACK_PAUSED = 5
    ROLLBACK_COMPLETED = 6


class AddressFamily(Word):
    UNKNOWN = 0
    IPV4 = 4
    IPV6 = 6


class PortProtocol(Word):
    TCP = 0
    UDP = 1
    SCTP = 2


class PublishMode(Word):
    INGRESS = 0
    HOST = 1


class IssuanceState(Word):
    UNKNOWN = 0
    RENEW = 1
    PENDING = 2
    ISSUED = 3
    FAILED = 4
    ROTATE = 5


class CAProtocol(Word):
    CFSSL = 0


class EncryptionAlgorithm(Word):
    AES_128_GCM = 0


class SeccompMode(Word):
    DEFAULT = 0
    UNCONFINED = 1
    CUSTOM = 2


class AppArmorMode(Word):
    DEFAULT = 0
    DISABLED = 1


class VolumeScope(Word):
    SINGLE_NODE = 0
    MULTI_NODE = 1


class VolumeSharing(Word):
    NONE = 0
    READ_ONLY = 1
    ONE_WRITER = 2
    ALL = 3


class VolumePublishState(Word):
    PENDING_PUBLISH = 0
    PUBLISHED = 1
    PENDING_NODE_UNPUBLISH = 2
    PENDING_UNPUBLISH = 3


class ResourceType(Word):
    TASK = 0
    SECRET = 1
    CONFIG = 2
    VOLUME = 3


class TaskState(Word):
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
    WORKER = 0
    MANAGER = 1


class Membership(Word):
    PENDING = 0
    ACCEPTED = 1


class Availability(Word):
    ACTIVE = 0
    PAUSE = 1
    DRAIN = 2


class Isolation(Word):
    ISOLATION_DEFAULT = 0
    ISOLATION_PROCESS = 1
    ISOLATION_HYPERV = 2


class ResolutionMode(Word):
    VIP = 0
    DNSRR = 1


class VolumeAvailability(Word):
    ACTIVE = 0
    PAUSE = 1
    DRAIN = 2


class Rollback(Word):
    NONE = 0
    PREVIOUS = 1


class AssignmentAction(Word):
    UPDATE = 0
    REMOVE = 1


class AssignmentsType(Word):
    COMPLETE = 0
    INCREMENTAL = 1


class LogStream(Word):
    LOG_STREAM_UNKNOWN = 0
    LOG_STREAM_STDOUT = 1
    LOG_STREAM_STDERR = 2


class WatchActionKind(Word):
    WATCH_ACTION_UNKNOWN = 0
    WATCH_ACTION_CREATE = 1
    WATCH_ACTION_UPDATE = 2
    WATCH_ACTION_REMOVE = 4
