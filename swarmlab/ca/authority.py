"""The certificate authority: who gets a certificate, and in which role."""

import random
from collections.abc import Sequence
from typing import NamedTuple

from swarmlab.api import (
    SECOND,
    UNLOCK_SUBSYSTEM,
    Change,
    ChangeKind,
    Changes,
    Cluster,
    Create,
    Duration,
    GetRootCACertificateRequest,
    GetRootCACertificateResponse,
    GetUnlockKeyRequest,
    GetUnlockKeyResponse,
    Instant,
    InvalidSpec,
    IssuanceState,
    IssueNodeCertificateRequest,
    IssueNodeCertificateResponse,
    Membership,
    Node,
    NodeCertificateStatusRequest,
    NodeCertificateStatusResponse,
    NodeId,
    NodeRole,
    NotFound,
    NotLeader,
    Precondition,
    SwarmlabError,
    Unsupported,
    Update,
    after,
    new_id,
)
from swarmlab.api.trust import check_request
from swarmlab.ca.admission import admitted_role, check_member, check_role
from swarmlab.ca.identity import Peer
from swarmlab.ca.issue import FINAL, OPEN, awaits, issued, newcomer, renewal, sign_effect
from swarmlab.ca.messages import Asked, RootMade, Signed
from swarmlab.ca.rotation import TAG as ROTATION
from swarmlab.ca.rotation import TIMER as ROTATION_TIMER
from swarmlab.ca.rotation import Rotation
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
from swarmlab.store import Committed, Led, Snapshot

#: How long a question about a certificate waits for its end. Nodes give up after 5 s and ask again.
PATIENCE = Duration(10 * SECOND)
#: How soon a certificate is signed again whose signing or writing came to nothing. SwarmKit `ca/server.go`.
RETRY = Duration(10 * SECOND)
#: How often a request is made again whose node changed, or whose id was taken, at the same time.
TRIES = 3

MANAGERS = frozenset({NodeRole.MANAGER})

_RETRY, _WAIT = "retry", "wait"
_ISSUE, _WRITE = "issue/", "signed/"


class _Issue(NamedTuple):
    """A request for a certificate whose record is being written."""

    sender: str
    call: int
    asked: Asked
    node_id: NodeId
    tries: int


class CertificateAuthority:
    """Answers joining and renewing nodes, has their certificates signed, and changes the root when it is asked to.

    Takes the calls of the services CA and NodeCA as `Asked`; who may call what is checked by whoever receives them, but
    for the role that a certificate is issued for, which is decided here: by the join token for a new node, by the
    node's object for one that shows a certificate.

    A request is written down first, signed after its commit and written again, so a leader that fails in between
    leaves nothing that its successor does not finish.

    Args:
        entropy: Ids of nodes and join tokens are drawn from it: live, from the operating system.
    """

    name = "ca"
    #: The messages that it takes.
    takes = (Asked,)

    def __init__(self, entropy: random.Random) -> None:
        self._entropy = entropy
        self._rotation = Rotation(entropy)
        self._view: Snapshot | None = None
        self._proposals = 0
        #: {tag: the request that it writes down}
        self._issuing: dict[str, _Issue] = {}
        #: Nodes whose certificates are to be signed.
        self._open: set[NodeId] = set()
        #: {node that is being signed: its request}
        self._signing: dict[NodeId, bytes] = {}
        #: {node: what came of its request}, to be written.
        self._signed: dict[NodeId, Signed] = {}
        #: Tag of the proposal that writes certificates and is not answered yet.
        self._writing = ""
        #: {node: {(sender, call): until when it waits}}
        self._waiting: dict[NodeId, dict[tuple[str, int], Instant]] = {}
        self._timers: set[str] = set()

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """Take one event; give what is to be done, in order."""
        match event:
            case Led(fresh):
                return self._lead(fresh, now)
            case Received(sender, Asked() as asked, call):
                return self._call(sender, asked, call, now)
        view = self._view
        if view is None:
            return []
        match event:
            case Committed(fresh, changes):
                return self._committed(fresh, changes, now)
            case Signed():
                return self._take_signed(view, event)
            case RootMade():
                return self._rotation.root_made(view, event, now)
            case Proposed():
                return self._proposed(view, event, now)
            case Disconnected(peer):
                return self._disconnected(peer)
            case TimerFired(timer):
                return self._fired(view, timer, now)
        return []

    # Leadership

    def _lead(self, view: Snapshot, now: Instant) -> list[Effect]:
        effects = self._resign(NotLeader())
        self._view = view
        self._open = {node.id for node in view.nodes() if node.certificate.status.state in OPEN}
        return effects + self._sign(view, now) + self._rotation.lead(view, now)

    def _resign(self, error: NotLeader) -> list[Effect]:
        """End the term: every call ends with `error`."""
        effects: list[Effect] = [CancelTimer(timer) for timer in sorted(self._timers)]
        effects += [Send(issue.sender, error, issue.call) for issue in self._issuing.values()]
        effects += [Send(sender, error, call) for _, calls in sorted(self._waiting.items()) for sender, call in calls]
        self._view = None
        self._issuing, self._signing, self._signed, self._waiting = {}, {}, {}, {}
        self._open, self._timers, self._writing = set(), set(), ""
        return effects

    # Calls

    def _call(self, sender: str, asked: Asked, call: int, now: Instant) -> list[Effect]:
        try:
            if self._view is None:
                raise NotLeader
            return self._answer(self._view, sender, asked, call, now)
        except SwarmlabError as error:
            return [Send(sender, error, call)]

    def _answer(self, view: Snapshot, sender: str, asked: Asked, call: int, now: Instant) -> list[Effect]:
        cluster = view.cluster()
        if cluster is None or not cluster.root_ca.ca_cert:
            raise Precondition("this cluster has no certificate authority")
        match asked.message:
            case GetRootCACertificateRequest():
                return [Send(sender, GetRootCACertificateResponse(cluster.root_ca.ca_cert), call)]
            case GetUnlockKeyRequest():
                return [Send(sender, _unlock_key(cluster, asked.peer, now), call)]
            case IssueNodeCertificateRequest():
                return self._issue(view, cluster, _Issue(sender, call, asked, NodeId(""), 1), now)
            case NodeCertificateStatusRequest(node_id):
                return self._status(view, node_id, sender, call, now)
        raise Unsupported(f"{type(asked.message).__name__} is not a call that this manager takes")

    def _issue(self, view: Snapshot, cluster: Cluster, issue: _Issue, now: Instant) -> list[Effect]:
        """Write the request down, for the caller's own node or for a new one.

        A certificate that holds comes before a token; one that does not leaves the token to decide, so that a node
        which was removed, or has moved here from another cluster, can join.
        """
        request: IssueNodeCertificateRequest = issue.asked.message
        identity = issue.asked.peer.identity
        if identity is not None:
            try:
                check_member(cluster, identity, now)
            except SwarmlabError:
                if not request.token:
                    raise
            else:
                return self._renew(view, identity.node_id, request, issue)
        role = admitted_role(cluster, request.token)
        check_request(request.csr)
        node = newcomer(NodeId(new_id(self._entropy)), role, request)
        return self._write_down(Changes.atomic(Create(node)), issue._replace(node_id=node.id))

    def _renew(
        self, view: Snapshot, node_id: NodeId, request: IssueNodeCertificateRequest, issue: _Issue
    ) -> list[Effect]:
        node = view.node(node_id)
        if node is None:
            raise NotFound(f"node {node_id} is not a member of this cluster")
        check_request(request.csr)
        if node.certificate.csr == request.csr and node.certificate.status.state in OPEN:
            return [Send(issue.sender, IssueNodeCertificateResponse(node_id, node.spec.membership), issue.call)]
        return self._write_down(Changes.atomic(Update(renewal(node, request.csr))), issue._replace(node_id=node_id))

    def _write_down(self, changes: Changes, issue: _Issue) -> list[Effect]:
        self._proposals += 1
        tag = f"{_ISSUE}{self._proposals}"
        self._issuing[tag] = issue
        return [Propose(changes, tag)]

    def _status(self, view: Snapshot, node_id: NodeId, sender: str, call: int, now: Instant) -> list[Effect]:
        if not node_id:
            raise InvalidSpec("node id: none, wanted: the one from the answer to the request for a certificate")
        node = view.node(node_id)
        if node is None:
            raise NotFound(f"node {node_id} not found")
        if node.certificate.status.state in FINAL:
            return [_told(node, sender, call)]
        self._waiting.setdefault(node_id, {})[sender, call] = after(now, PATIENCE)
        return self._timer(_WAIT, after(now, PATIENCE))

    def _disconnected(self, peer: str) -> list[Effect]:
        """Nobody waits there any more."""
        self._waiting = {
            node_id: left
            for node_id, calls in self._waiting.items()
            if (left := {key: due for key, due in calls.items() if key[0] != peer})
        }
        return []

    # Commits

    def _committed(self, view: Snapshot, changes: Sequence[Change], now: Instant) -> list[Effect]:
        self._view = view
        effects: list[Effect] = []
        changed: list[Node] = []
        removed: list[NodeId] = []
        touched = False
        for change in changes:
            node = change.object
            if isinstance(node, Cluster):
                touched = True
            elif not isinstance(node, Node):
                continue
            elif change.kind is ChangeKind.REMOVED:
                removed.append(node.id)
                self._open.discard(node.id)
                gone = NotFound(f"node {node.id} was removed")
                effects += [Send(sender, gone, call) for sender, call in self._waiting.pop(node.id, {})]
            else:
                changed.append(node)
                effects += self._node_changed(node)
        if changed or removed:
            effects += self._sign(view, now)
        if changed or removed or touched:
            effects += self._rotation.steer(view, now, changed, removed=removed)
        return effects

    def _node_changed(self, node: Node) -> list[Effect]:
        if node.certificate.status.state in OPEN:
            self._open.add(node.id)
        else:
            self._open.discard(node.id)
        if node.certificate.status.state not in FINAL:
            return []
        return [_told(node, sender, call) for sender, call in self._waiting.pop(node.id, {})]

    # Signing

    def _sign(self, view: Snapshot, now: Instant) -> list[Effect]:
        """Have signed what is to be signed and is not on its way; look again after a while."""
        cluster = view.cluster()
        if not self._open or cluster is None or not cluster.root_ca.ca_key:
            return []
        effects: list[Effect] = []
        for node_id in sorted(self._open):
            node = view.node(node_id)
            if node is None or self._on_its_way(node):
                continue
            self._signing[node_id] = node.certificate.csr
            effects.append(sign_effect(cluster, node, now))
        return effects + self._timer(_RETRY, after(now, RETRY))

    def _on_its_way(self, node: Node) -> bool:
        signed = self._signed.get(node.id)
        return node.certificate.csr in (self._signing.get(node.id), signed.csr if signed is not None else None)

    def _take_signed(self, view: Snapshot, event: Signed) -> list[Effect]:
        if self._signing.get(event.node_id) == event.csr:
            del self._signing[event.node_id]
        self._signed[event.node_id] = event
        return self._write(view)

    def _write(self, view: Snapshot) -> list[Effect]:
        """Write down what was signed, as much as has come together since the last time."""
        if self._writing:
            return []
        updates = []
        for node_id, signed in sorted(self._signed.items()):
            node = view.node(node_id)
            if node is not None and awaits(node, signed.csr):
                updates.append(Update(issued(node, signed)))
            else:
                del self._signed[node_id]
        if not updates:
            return []
        self._proposals += 1
        self._writing = f"{_WRITE}{self._proposals}"
        return [Propose(Changes.each(updates), self._writing)]

    # Answers of the store

    def _proposed(self, view: Snapshot, event: Proposed, now: Instant) -> list[Effect]:
        if isinstance(event.error, NotLeader):
            return self._resign(NotLeader(event.error.hint))
        if event.tag.startswith(ROTATION):
            return self._rotation.proposed(view, event.tag, now)
        if event.tag in self._issuing:
            return self._written_down(view, self._issuing.pop(event.tag), event, now)
        if event.tag != self._writing:
            return []
        self._writing = ""
        if event.error is not None:
            # It may be there or not; what is still open is signed again in a while.
            self._signed = {}
            return []
        records = self._settle(view)
        return [*records, *self._write(view)]

    def _settle(self, view: Snapshot) -> list[Effect]:
        """Forget what has been written, and say so; what was refused since its node changed stays."""
        records: list[Effect] = []
        for node_id, signed in sorted(self._signed.items()):
            node = view.node(node_id)
            if node is None or not awaits(node, signed.csr):
                del self._signed[node_id]
            if node is not None and node.certificate.csr == signed.csr and not awaits(node, signed.csr):
                records.append(_story(node))
        return records

    def _written_down(self, view: Snapshot, issue: _Issue, event: Proposed, now: Instant) -> list[Effect]:
        error = event.error or next((refused.error for refused in event.refused), None)
        if error is None:
            answer = IssueNodeCertificateResponse(issue.node_id, Membership.ACCEPTED)
            return [Send(issue.sender, answer, issue.call)]
        cluster = view.cluster()
        definite = event.error is None and isinstance(error, SwarmlabError)
        if not definite or issue.tries >= TRIES or cluster is None:
            return [Send(issue.sender, error, issue.call)]
        try:
            return self._issue(view, cluster, issue._replace(tries=issue.tries + 1), now)
        except SwarmlabError as refusal:
            return [Send(issue.sender, refusal, issue.call)]

    # Timers

    def _timer(self, name: str, at: Instant) -> list[Effect]:
        """Set the timer, unless it is set: what comes later is seen when it is due."""
        if name in self._timers:
            return []
        self._timers.add(name)
        return [SetTimer(name, at)]

    def _fired(self, view: Snapshot, timer: str, now: Instant) -> list[Effect]:
        self._timers.discard(timer)
        if timer == ROTATION_TIMER:
            return self._rotation.fired(view, now)
        if timer == _RETRY:
            self._signing = {}
            return self._sign(view, now)
        return self._lose_patience(view, now) if timer == _WAIT else []

    def _lose_patience(self, view: Snapshot, now: Instant) -> list[Effect]:
        """Answer those who have waited long enough with how things are; they will ask again."""
        effects: list[Effect] = []
        for node_id, calls in sorted(self._waiting.items()):
            node = view.node(node_id)
            for (sender, call), due in sorted(calls.items()):
                if due <= now and node is not None:
                    del calls[sender, call]
                    effects.append(_told(node, sender, call))
        self._waiting = {node_id: calls for node_id, calls in self._waiting.items() if calls}
        dues = [due for calls in self._waiting.values() for due in calls.values()]
        return effects + (self._timer(_WAIT, min(dues)) if dues else [])


def _unlock_key(cluster: Cluster, peer: Peer, now: Instant) -> GetUnlockKeyResponse:
    if not peer.local:
        check_role(cluster, peer.identity, MANAGERS, now)
    key = next((key.key for key in cluster.unlock_keys if key.subsystem == UNLOCK_SUBSYSTEM), b"")
    return GetUnlockKeyResponse(key, cluster.meta.version)


def _told(node: Node, sender: str, call: int) -> Send:
    return Send(sender, NodeCertificateStatusResponse(node.certificate.status, node.certificate), call)


def _story(node: Node) -> Record:
    certificate = node.certificate
    role = certificate.role.name.lower()
    if certificate.status.state is IssuanceState.FAILED:
        return Record("certificate-failed", {"node": node.id, "role": role, "error": certificate.status.err})
    return Record("certificate-issued", {"node": node.id, "role": role})
