"""One client's wish for lines, and how far the nodes are with it."""

from collections.abc import Iterator

from msgspec.structs import replace

from swarmlab.api import (
    KINDS,
    Instant,
    InvalidSpec,
    LogMessage,
    LogSelector,
    LogStream,
    LogSubscriptionOptions,
    Node,
    NodeId,
    NotFound,
    Precondition,
    Service,
    SubscriptionMessage,
    Task,
    TaskState,
)
from swarmlab.store import Snapshot


class Subscription:
    """Which nodes have lines for a client, which of them were told, and which have nothing more to say.

    Without `follow` it is over when every node has said so, or cannot any more; then `missing` tells what is not there.
    With `follow` it lasts as long as the client, and nodes join it as tasks come to them.
    """

    def __init__(
        self, key: str, client: str, call: int, selector: LogSelector, options: LogSubscriptionOptions
    ) -> None:
        self.id = key
        self.client = client
        self.call = call
        self.selector = selector
        self.options = options
        #: Nodes from which lines may come yet.
        self.open: set[NodeId] = set()
        #: Nodes that were told, and may publish.
        self.told: set[NodeId] = set()
        self._missing: list[str] = []
        #: {node: the newest time of a line that came from it}
        self._newest: dict[NodeId, Instant] = {}

    def begin(self, view: Snapshot) -> None:
        """Find the nodes that have lines now."""
        for node_id in self.selector.node_ids:
            self.open.add(node_id)
        for task_id in self.selector.task_ids:
            task = view.task(task_id)
            if task is not None and task.node_id:
                self.open.add(task.node_id)
            elif task is not None and not self.options.follow:
                self._missing.append(f"task {task_id} has not been scheduled")
        for service_id in self.selector.service_ids:
            self.open.update(task.node_id for task in view.tasks_of(service_id) if self._has_lines(task))

    def joins(self, task: Task) -> bool:
        """Whether the node of a task that changed has to be told now; it counts from then on."""
        if not self.options.follow or not self._has_lines(task) or task.node_id in self.open:
            return False
        if task.id not in self.selector.task_ids and task.service_id not in self.selector.service_ids:
            return False
        self.open.add(task.node_id)
        return True

    def message(self, node_id: NodeId, *, close: bool = False) -> SubscriptionMessage:
        """What the node is told. One that was told before and was lost goes on where it was."""
        options = self.options
        newest = self._newest.get(node_id)
        if newest is not None and not close:
            options = replace(options, since=newest, tail=0)
        return SubscriptionMessage(id=self.id, selector=self.selector, options=options, close=close)

    def note(self, node_id: NodeId, lines: tuple[LogMessage, ...]) -> None:
        """Lines of the node came by."""
        for line in lines:
            if line.timestamp is not None:
                self._newest[node_id] = max(self._newest.get(node_id, line.timestamp), line.timestamp)

    def done(self, node_id: NodeId, reason: str = "") -> None:
        """The node has nothing more to say, or will not say it: then `reason` tells why."""
        self.told.discard(node_id)
        if self.options.follow:
            return
        if node_id in self.open:
            self.open.discard(node_id)
            if reason:
                self._missing.append(f"node {node_id} {reason}")

    @property
    def over(self) -> bool:
        """Nothing will come any more."""
        return not self.options.follow and not self.open

    @property
    def end(self) -> Precondition | None:
        """With what the client's call ends: None where all lines came."""
        if not self._missing:
            return None
        reasons = ", ".join(sorted(self._missing))
        return Precondition(f"incomplete log stream: some logs could not be retrieved for these reasons: {reasons}")

    def _has_lines(self, task: Task) -> bool:
        return bool(task.node_id) and (self.options.follow or task.status.state >= TaskState.RUNNING)


def check_wish(view: Snapshot, selector: LogSelector | None, options: LogSubscriptionOptions) -> LogSelector:
    """The selector, where it names something and all of it is there, and the options are known.

    Raises:
        InvalidSpec: Nothing is named, or a stream that there is not.
        NotFound: Something named is not there.
    """
    if selector is None or not (selector.service_ids or selector.node_ids or selector.task_ids):
        raise InvalidSpec("selector: nothing, wanted: the id of a service, a node or a task")
    for stream in options.streams:
        if stream not in (LogStream.LOG_STREAM_STDOUT, LogStream.LOG_STREAM_STDERR):
            raise InvalidSpec(f"options.streams: {int(stream)}, wanted: 1 (stdout) or 2 (stderr)")
    for text in _absent(view, selector):
        raise NotFound(f"{text} not found")
    return selector


def _absent(view: Snapshot, selector: LogSelector) -> Iterator[str]:
    for kind, ids in ((Service, selector.service_ids), (Node, selector.node_ids), (Task, selector.task_ids)):
        yield from (f"{KINDS[kind]} {object_id}" for object_id in ids if view.get(kind, object_id) is None)
