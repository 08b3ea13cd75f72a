"""Lines that tasks write, on their way to whoever asked for them."""

from swarmlab.api.enums import LogStream
from swarmlab.api.ids import NodeId, ServiceId, TaskId
from swarmlab.api.moments import Instant
from swarmlab.api.value import Value


class LogSelector(Value, frozen=True, kw_only=True):
    """Whose lines are wanted; a task that any of the lists names is in, and one name at least is given."""

    service_ids: tuple[ServiceId, ...] = ()
    node_ids: tuple[NodeId, ...] = ()
    task_ids: tuple[TaskId, ...] = ()


class LogSubscriptionOptions(Value, frozen=True, kw_only=True):
    """Which of their lines are wanted."""

    #: Empty: both.
    streams: tuple[LogStream, ...] = ()
    #: New lines too, until the caller leaves.
    follow: bool = False
    #: 0: all; -1: none of those that are there; -(n+1): the last n of each task; n > 0: all but the first n.
    tail: int = 0
    #: Only lines that are newer.
    since: Instant | None = None


class LogContext(Value, frozen=True, kw_only=True):
    """Where a line comes from."""

    service_id: ServiceId = ServiceId("")
    node_id: NodeId = NodeId("")
    task_id: TaskId = TaskId("")


class LogAttr(Value, frozen=True):
    """A detail that the log driver added."""

    key: str = ""
    value: str = ""


class LogMessage(Value, frozen=True, kw_only=True):
    """One line of a task."""

    context: LogContext = LogContext()
    timestamp: Instant | None = None
    stream: LogStream = LogStream.LOG_STREAM_UNKNOWN
    #: The raw bytes, newline included where there was one.
    data: bytes = b""
    attrs: tuple[LogAttr, ...] = ()


class SubscribeLogsRequest(Value, frozen=True):
    """A client's wish for lines."""

    #: Always set, and names something.
    selector: LogSelector | None = None
    #: None: all that is there.
    options: LogSubscriptionOptions | None = None


class SubscribeLogsMessage(Value, frozen=True):
    """Some lines for a client."""

    messages: tuple[LogMessage, ...] = ()


class ListenSubscriptionsRequest(Value, frozen=True):
    """A node asks to be told whose lines are wanted of it, as long as it lives."""


class SubscriptionMessage(Value, frozen=True, kw_only=True):
    """A node is to publish lines, or to stop doing so."""

    #: Names the subscription in what is published.
    id: str = ""
    #: Always set: stock workers read it unchecked.
    selector: LogSelector | None = None
    #: Always set: stock workers read it unchecked.
    options: LogSubscriptionOptions | None = None
    #: Nothing more is wanted.
    close: bool = False


class PublishLogsMessage(Value, frozen=True, kw_only=True):
    """Some lines of a node for one subscription."""

    #: The same in every message of a stream.
    subscription_id: str = ""
    messages: tuple[LogMessage, ...] = ()
    #: The node has nothing more to say.
    close: bool = False


class PublishLogsResponse(Value, frozen=True):
    """The lines of a stream were taken."""


def last_lines(count: int) -> int:
    """The `tail` of `LogSubscriptionOptions` for the last `count` lines."""
    return -count - 1
