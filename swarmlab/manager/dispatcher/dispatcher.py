"""The dispatcher: the managers' side of every worker."""

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from swarmlab.api import (
    HOUR,
    MILLISECOND,
    AssignmentsRequest,
    Change,
    ChangeKind,
    Cluster,
    Duration,
    Forbidden,
    HeartbeatRequest,
    HeartbeatResponse,
    Instant,
    InvalidSpec,
    Node,
    NodeId,
    NodeState,
    NotFound,
    NotLeader,
    SessionRequest,
    SwarmlabError,
    Task,
    TasksRequest,
    TaskState,
    Unsupported,
    UpdateTaskStatusRequest,
    UpdateTaskStatusResponse,
    WeightedPeer,
    after,
    between,
    heartbeat_period,
)
from swarmlab.component import (
    CancelTimer,
    Disconnected,
    Effect,
    Event,
    Propose,
    Proposed,
    Received,
    Record,
    Send,
    SetTimer,
    TimerFired,
)
from swarmlab.manager.dispatcher.assignments import Assignments, Stream, TaskList, concerns_agent
from swarmlab.manager.dispatcher.batch import Batch, NodeWish
from swarmlab.manager.dispatcher.sessions import GRACE, GRACE_UNKNOWN, LOOK_AGAIN, Session, jittered
from swarmlab.manager.dispatcher.story import node_story, task_story
from swarmlab.store import Committed, Led, Snapshot

#: Reports are written at once after a time of quiet, else so long after the last ones ...
FLUSH_PERIOD = Duration(100 * MILLISECOND)
#: ... or when there are so many.
FLUSH_SIZE = 10_000
#: How long after a node went down its tasks are given up.
ORPHAN_AFTER = Duration(24 * HOUR)
#: Why a node is DISCONNECTED.
CONNECTION_LOST = "connection lost"

_FLUSH = "flush"
_PULSE, _ASSIGN, _ORPHAN = "pulse/", "assign/", "orphan/"

Managers = Sequence[WeightedPeer] | Callable[[], Sequence[WeightedPeer]]


class ManagersChanged(Event, frozen=True):
    """The list of managers is another one: every session is told."""


class Dispatcher:
    """Keeps a session with every worker, tells each what to run, and writes down what they report.

    A node is READY while it has a session, DISCONNECTED from the moment its connection breaks, DOWN when its pulse
    stayed away for three periods. A node that is merely disconnected keeps its tasks and gets no new ones. The tasks of
    a node that is down for `orphan_after` become ORPHANED; the time counts from the commit that made it so, under
    whichever leader.

    A new `SessionRequest` of a node takes the place of its earlier session and of every call on it.
    `Disconnected(peer)` speaks of the newest connection of that peer; one that comes late costs the peer a new one.

    Args:
        rng: Session ids and the jitter of heartbeats.
        managers: The complete list that every session message carries, or what gives it.
        manager_id: Who is named as having written a status.
        orphan_after: How long a node may be down before its tasks are given up.
        address_of: The address from which a node is connected, without a port; empty where it is not known.
    """

    name = "dispatcher"
    #: The messages that it takes.
    takes = (
        SessionRequest,
        HeartbeatRequest,
        UpdateTaskStatusRequest,
        AssignmentsRequest,
        TasksRequest,
    )

    def __init__(
        self,
        rng: random.Random,
        *,
        managers: Managers = (),
        manager_id: str = "",
        orphan_after: Duration = ORPHAN_AFTER,
        address_of: Callable[[NodeId], str] | None = None,
    ) -> None:
        self._rng = rng
        self._managers = managers
        self._orphan_after = orphan_after
        self._address_of = address_of
        self._view: Snapshot | None = None
        self._cluster: Cluster | None = None
        self._sessions: dict[NodeId, Session] = {}
        self._batch = Batch(manager_id)
        self._flushed = Instant(0)
        self._flush_set = False
        #: Proposals so far; the newest one's tag carries the number.
        self._proposals = 0
        #: Nodes whose tasks are given up at a set time.
        self._orphaning: set[NodeId] = set()

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """Take one event; give what is to be done, in order."""
        effects = self._take(event, now)
        effects += self._flush(now)
        return effects

    def _take(self, event: Event, now: Instant) -> list[Effect]:
        match event:
            case Led(view):
                return self._lead(view, now)
            case Committed(view, changes) if self._view is not None:
                return self._committed(view, changes, now)
            case Proposed(tag) if self._batch.under_way and tag == self._tag:
                return self._proposed(event)
            case Received(sender, message, call):
                return self._call(NodeId(sender), message, call, now)
            case Disconnected(peer):
                return self._disconnected(NodeId(peer))
            case TimerFired(timer) if self._view is not None:
                return self._fired(self._view, timer, now)
            case ManagersChanged() if self._view is not None:
                return self._tell(self._view, sorted(self._sessions))
        return []

    # Leadership

    def _lead(self, view: Snapshot, now: Instant) -> list[Effect]:
        """Begin a term: no node was heard of yet, and each gets double grace."""
        effects = self._resign(NotLeader())
        self._view = view
        self._cluster = view.cluster()
        self._flushed = Instant(0)
        grace = GRACE_UNKNOWN * heartbeat_period(self._cluster)
        for node in view.nodes():
            if node.status.state is NodeState.DOWN:
                effects += self._expect_end(node, now)
                continue
            session = self._sessions[node.id] = Session(node.id)
            effects += self._pulse(session, after(now, grace))
            message = "not heard of since a manager took over"
            self._batch.want_node(node.id, NodeWish(NodeState.UNKNOWN, message))
        return effects

    def _resign(self, error: SwarmlabError) -> list[Effect]:
        """End the term: every call ends with `error`, every timer is forgotten."""
        effects: list[Effect] = []
        for node_id, session in sorted(self._sessions.items()):
            effects += self._end(session, error)
            effects.append(CancelTimer(_PULSE + node_id))
        effects += [CancelTimer(_ORPHAN + node_id) for node_id in sorted(self._orphaning)]
        self._sessions, self._orphaning = {}, set()
        self._batch.clear()
        self._view = self._cluster = None
        return effects

    # Calls

    def _call(self, sender: NodeId, message: Any, call: int, now: Instant) -> list[Effect]:
        try:
            if self._view is None:
                raise NotLeader
            return self._answer(self._view, sender, message, call, now)
        except SwarmlabError as error:
            return [Send(sender, error, call)]

    def _answer(self, view: Snapshot, sender: NodeId, message: Any, call: int, now: Instant) -> list[Effect]:
        match message:
            case SessionRequest():
                return self._open(view, sender, message, call, now)
            case HeartbeatRequest(session_id):
                session = self._session(sender, session_id)
                period = jittered(heartbeat_period(self._cluster), self._rng)
                pulse = self._pulse(session, after(now, GRACE * period))
                return [Send(sender, HeartbeatResponse(period), call), *pulse]
            case UpdateTaskStatusRequest(session_id):
                self._session(sender, session_id)
                self._report(view, sender, message)
                return [Send(sender, UpdateTaskStatusResponse(), call)]
            case AssignmentsRequest(session_id):
                session = self._session(sender, session_id)
                return self._stream(view, session, Assignments(sender, call, now))
            case TasksRequest(session_id):
                session = self._session(sender, session_id)
                return self._stream(view, session, TaskList(sender, call, now))
        raise Unsupported(f"{type(message).__name__} is not a call that this manager takes")

    def _session(self, sender: NodeId, session_id: str) -> Session:
        """The live session of the caller.

        Raises:
            NotFound: The node has none.
            InvalidSpec: It has another one, or this one's connection is gone, as the node has yet to notice.
        """
        session = self._sessions.get(sender)
        if session is None or not session.id:
            raise NotFound(f"node {sender} is not registered")
        if session_id != session.id:
            raise InvalidSpec(f"session {session_id!r} of node {sender} is not valid any more")
        if not session.call:
            raise InvalidSpec(f"session {session_id!r} of node {sender} has lost its connection")
        return session

    def _open(self, view: Snapshot, sender: NodeId, request: SessionRequest, call: int, now: Instant) -> list[Effect]:
        """Register the node, or resume its session. It is greeted when the store knows that it is there."""
        if view.node(sender) is None:
            raise NotFound(f"node {sender} is not a member of this cluster")
        session = self._sessions.get(sender) or Session(sender)
        if not session.id or request.session_id != session.id:
            session.register(self._rng, now)
        self._sessions[sender] = session
        superseded = InvalidSpec(f"node {sender} opened another session")
        # An agent that was started anew counts its calls anew: of its own new call nothing is ended.
        effects: list[Effect] = [Send(sender, superseded, old) for old in session.connect(call) if old != call]
        addr = self._address_of(sender) if self._address_of is not None else ""
        self._batch.want_node(sender, NodeWish(NodeState.READY, "", request.description, addr))
        return effects + self._pulse(session, after(now, GRACE * heartbeat_period(self._cluster)))

    def _stream(self, view: Snapshot, session: Session, stream: Stream) -> list[Effect]:
        effects: list[Effect] = []
        if session.stream is not None:
            another = InvalidSpec(f"node {session.node_id} opened another stream of assignments")
            effects.append(Send(session.node_id, another, session.stream.call))
        session.stream = stream
        return [*effects, Send(session.node_id, stream.first(view), stream.call), *_missing(session.node_id, stream)]

    def _report(self, view: Snapshot, sender: NodeId, request: UpdateTaskStatusRequest) -> None:
        """Take the statuses of the sender's tasks. Tasks that are gone meanwhile are skipped.

        Raises:
            Forbidden: One is a task of another node; none is taken then.
        """
        for update in request.updates:
            task = view.task(update.task_id)
            if task is not None and task.node_id != sender:
                raise Forbidden(f"task {task.id} is on node {task.node_id!r}, not on {sender!r}, which reports on it")
        for update in request.updates:
            if update.status is not None and view.task(update.task_id) is not None:
                self._batch.want_status(update.task_id, update.status)

    def _disconnected(self, node_id: NodeId) -> list[Effect]:
        session = self._sessions.get(node_id)
        if session is None or not session.call:
            return []
        effects = self._unstream(session)
        session.disconnect()
        self._batch.want_node(node_id, NodeWish(NodeState.DISCONNECTED, CONNECTION_LOST))
        return effects

    def _end(self, session: Session, error: SwarmlabError) -> list[Effect]:
        """End every call of the session with `error`."""
        return [*self._unstream(session), *(Send(session.node_id, error, call) for call in session.disconnect())]

    def _unstream(self, session: Session) -> list[Effect]:
        return [CancelTimer(_ASSIGN + session.node_id)] if session.stream is not None else []

    # Pulse

    def _pulse(self, session: Session, due: Instant) -> list[Effect]:
        """The node may stay silent until `due`. The timer moves only when it is due, not with every beat."""
        session.due = due
        session.doubted = False
        if session.timer is not None and session.timer <= due:
            return []
        session.timer = due
        return [SetTimer(_PULSE + session.node_id, due)]

    def _fired(self, view: Snapshot, timer: str, now: Instant) -> list[Effect]:
        if timer == _FLUSH:
            self._flush_set = False
            return []
        kind, _, name = timer.partition("/")
        node_id = NodeId(name)
        if kind + "/" == _ORPHAN:
            return self._give_up(view, node_id, now)
        session = self._sessions.get(node_id)
        if session is None:
            return []
        if kind + "/" == _ASSIGN:
            return self._send(view, session, now)
        set_for, session.timer = session.timer, None
        if now < session.due:
            return self._pulse(session, session.due)
        if (effects := self._look_again(session, set_for, now)) is not None:
            return effects
        del self._sessions[node_id]
        self._batch.want_node(node_id, NodeWish(NodeState.DOWN, "heartbeat failure"))
        return self._end(session, NotFound(f"node {node_id} was silent too long and is not registered any more"))

    def _look_again(self, session: Session, set_for: Instant | None, now: Instant) -> list[Effect] | None:
        """Put off what is made of a silence where this manager was held up itself; None where it was not.

        A process that stood still, or a machine that had no time for it, finds its timers due and the beats of all
        nodes waiting behind them: it would take every node for dead, and have all of their tasks replaced.
        """
        pause = Duration(int(LOOK_AGAIN * heartbeat_period(self._cluster)))
        late = between(set_for, now) if set_for is not None else Duration(0)
        if late <= (pause if session.doubted else 0):
            return None
        effects = self._pulse(session, after(now, pause))
        session.doubted = True
        return effects

    def _expect_end(self, node: Node, now: Instant) -> list[Effect]:
        """Give the tasks of a node up in time, unless it comes back. What made it DOWN was its last write."""
        self._orphaning.add(node.id)
        since = node.meta.updated_at if node.meta.updated_at is not None else now
        return [SetTimer(_ORPHAN + node.id, after(since, self._orphan_after))]

    def _give_up(self, view: Snapshot, node_id: NodeId, now: Instant) -> list[Effect]:
        self._orphaning.discard(node_id)
        node = view.node(node_id)
        if node is None or node.status.state is not NodeState.DOWN:
            return []
        given_up = 0
        for task in view.tasks_on(node_id):
            if TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING:
                err = f"node {node_id} is down for too long"
                status = replace(task.status, timestamp=now, state=TaskState.ORPHANED, message="orphaned", err=err)
                self._batch.want_status(task.id, status)
                given_up += 1
        since = node.meta.updated_at if node.meta.updated_at is not None else now
        return [Record("node-given-up", {"node": node_id, "tasks": given_up, "down_ns": between(since, now)})]

    # Commits

    def _committed(self, view: Snapshot, changes: Iterable[Change], now: Instant) -> list[Effect]:
        self._view = view
        effects: list[Effect] = []
        streams: dict[NodeId, Session] = {}
        tell: set[NodeId] = set()
        for change in changes:
            obj = change.object
            if isinstance(obj, Task):
                effects += task_story(change)
                self._mark(change, obj, streams)
            elif isinstance(obj, Node):
                effects += node_story(change)
                effects += self._node_changed(change, obj, now)
                tell.add(obj.id)
            elif isinstance(obj, Cluster):
                old, self._cluster = self._cluster, view.cluster()
                if _told(old) != _told(self._cluster):
                    tell.update(self._sessions)
        effects += self._tell(view, sorted(tell))
        for _, session in sorted(streams.items()):
            effects += self._pace(view, session, now)
        return effects

    def _mark(self, change: Change, task: Task, streams: dict[NodeId, Session]) -> None:
        """Note a changed task on the streams that it concerns."""
        nodes = {task.node_id}
        if isinstance(change.old, Task):
            nodes.add(change.old.node_id)
        for node_id in nodes:
            session = self._sessions.get(node_id)
            if session is not None and session.stream is not None and concerns_agent(change):
                session.stream.pace.mark(task.id)
                streams[node_id] = session

    def _pace(self, view: Snapshot, session: Session, now: Instant) -> list[Effect]:
        due = session.stream.pace.due(now) if session.stream is not None else None
        if due is None:
            return []
        if due > now:
            return [SetTimer(_ASSIGN + session.node_id, due)]
        return [CancelTimer(_ASSIGN + session.node_id), *self._send(view, session, now)]

    def _send(self, view: Snapshot, session: Session, now: Instant) -> list[Effect]:
        stream = session.stream
        if stream is None:
            return []
        message = stream.following(view, stream.pace.take())
        if message is None:
            return []
        stream.pace.sent(now)
        return [Send(session.node_id, message, stream.call), *_missing(session.node_id, stream)]

    def _node_changed(self, change: Change, node: Node, now: Instant) -> list[Effect]:
        if change.kind is ChangeKind.REMOVED:
            return self._node_removed(node.id)
        self._correct(node)
        down = node.status.state is NodeState.DOWN
        if down and node.id not in self._orphaning:
            return self._expect_end(node, now)
        if not down and node.id in self._orphaning:
            self._orphaning.discard(node.id)
            return [CancelTimer(_ORPHAN + node.id)]
        return []

    def _correct(self, node: Node) -> None:
        """Have a state written again that is not as it is: an earlier term's last write may come after our first."""
        session = self._sessions.get(node.id)
        if session is None or not session.id or self._batch.has_node(node.id):
            return
        if session.call and node.status.state is not NodeState.READY:
            self._batch.want_node(node.id, NodeWish(NodeState.READY))
        elif not session.call and node.status.state is not NodeState.DISCONNECTED:
            self._batch.want_node(node.id, NodeWish(NodeState.DISCONNECTED, CONNECTION_LOST))

    def _node_removed(self, node_id: NodeId) -> list[Effect]:
        effects: list[Effect] = []
        self._batch.forget_node(node_id)
        if node_id in self._orphaning:
            self._orphaning.discard(node_id)
            effects.append(CancelTimer(_ORPHAN + node_id))
        session = self._sessions.pop(node_id, None)
        if session is not None:
            effects.append(CancelTimer(_PULSE + node_id))
            effects += self._end(session, NotFound(f"node {node_id} was removed from this cluster"))
        return effects

    def _tell(self, view: Snapshot, nodes: Iterable[NodeId]) -> list[Effect]:
        """Send those of `nodes` that were greeted what they do not know yet."""
        effects: list[Effect] = []
        managers = tuple(self._managers() if callable(self._managers) else self._managers)
        keys, root = _told(self._cluster)
        for node_id in nodes:
            session, node = self._sessions.get(node_id), view.node(node_id)
            if session is None or node is None or not session.greeted:
                continue
            message = session.message(node, managers, keys, root)
            if message is not None:
                effects.append(Send(node_id, message, session.call))
        return effects

    # Reports

    @property
    def _tag(self) -> str:
        """Of the newest proposal: the end of one from an earlier term is not taken for that of a later one."""
        return f"reports/{self._proposals}"

    def _flush(self, now: Instant) -> list[Effect]:
        """Propose what waits to be written, if it is time to."""
        if self._view is None or self._batch.under_way or not len(self._batch):
            return []
        due = after(self._flushed, FLUSH_PERIOD)
        if now < due and len(self._batch) < FLUSH_SIZE:
            if self._flush_set:
                return []
            self._flush_set = True
            return [SetTimer(_FLUSH, due)]
        effects: list[Effect] = []
        if self._flush_set:
            self._flush_set = False
            effects.append(CancelTimer(_FLUSH))
        changes, as_wished = self._batch.flush(self._view, now)
        if changes:
            self._flushed = now
            self._proposals += 1
            effects.append(Propose(changes, self._tag))
        return effects + self._greet(self._view, as_wished)

    def _proposed(self, event: Proposed) -> list[Effect]:
        if isinstance(event.error, NotLeader):
            return self._resign(NotLeader(event.error.hint))
        assert self._view is not None
        written, records = self._batch.settle(event)
        return [*records, *self._greet(self._view, written)]

    def _greet(self, view: Snapshot, nodes: Iterable[NodeId]) -> list[Effect]:
        """Begin the sessions of those of `nodes` that the store knows to be there."""
        greeted = []
        for node_id in nodes:
            session, node = self._sessions.get(node_id), view.node(node_id)
            if session is None or not session.call or node is None or node.status.state is not NodeState.READY:
                continue
            session.greeted = True
            greeted.append(node_id)
        return self._tell(view, greeted)


def _told(cluster: Cluster | None) -> tuple[Any, bytes]:
    """The keys and the root certificate that every session message carries."""
    return ((), b"") if cluster is None else (cluster.network_bootstrap_keys, cluster.root_ca.ca_cert)


def _missing(node_id: NodeId, stream: Stream) -> list[Record]:
    """What tasks refer to and do not get."""
    if not isinstance(stream, Assignments):
        return []
    missing, stream.missing = stream.missing, []
    return [
        Record("dependency-missing", {"node": node_id, "task": task_id, "kind": kind, "id": key})
        for task_id, kind, key in missing
    ]
