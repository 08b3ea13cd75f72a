"""A certificate authority on a store in virtual time, driven by words."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from swarmlab.api import (
    Availability,
    CAConfig,
    Certificate,
    Changes,
    Cluster,
    ClusterId,
    Create,
    GetRootCACertificateRequest,
    GetRootCACertificateResponse,
    GetUnlockKeyRequest,
    GetUnlockKeyResponse,
    Instant,
    InvalidSpec,
    IssuanceState,
    IssuanceStatus,
    IssueNodeCertificateRequest,
    IssueNodeCertificateResponse,
    KeyRotation,
    Node,
    NodeCertificateStatusRequest,
    NodeCertificateStatusResponse,
    NodeDescription,
    NodeId,
    NodeRole,
    NotLeader,
    ProposalDropped,
    SigningRoot,
    Update,
    seconds,
)
from swarmlab.api.trust import issuer_of, validity_of
from swarmlab.ca import Asked, CertificateAuthority, Identity, MakeRoot, Peer, Sign
from swarmlab.component import (
    Assembly,
    CancelTimer,
    Disconnected,
    Event,
    Propose,
    Proposed,
    Received,
    Record,
    Send,
    SetTimer,
    TimerFired,
)
from swarmlab.edges.tls.credentials import Credentials
from swarmlab.edges.tls.founding import found
from swarmlab.edges.tls.signer import root_made, signed
from swarmlab.edges.tls.x509 import make_request, make_root
from swarmlab.manager.controlapi import remove_node, update_cluster
from swarmlab.node import found_cluster
from swarmlab.node.ports import effect_port
from swarmlab.store import CommitAtOnce, Committed, Led, Outcome, Store
from swarmlab.testing import Time, Timers

NO_ROTATION = KeyRotation()


class Holding(CommitAtOnce):
    """Commits at once, or when it is told to."""

    def __init__(self) -> None:
        self.held: list[Callable[[Exception | None], None]] | None = None

    def propose(self, entry: Any, done: Callable[[Exception | None], None]) -> None:
        if self.held is None:
            done(None)
        else:
            self.held.append(done)


class Desk:
    """Called with a command; gives what it caused, a line each. Nodes are n1 (the manager), n2 ... as they come."""

    def __init__(self) -> None:
        self.time = Time()
        self.lines: list[str] = []
        self.timers = Timers(self.time, lambda component, timer: self.assembly.post(component, TimerFired(timer)))
        self.proposer = Holding()
        self.signing = True
        self.keys: dict[str, tuple[bytes, bytes]] = {}
        self.tokens: dict[str, str] = {}
        self.calls = 0
        self.roots: list[bytes] = []
        self.ids = random.Random(5)
        self.given = make_root(self.time.now)
        self.store = Store(self.proposer, self.time.clock, on_commit=self._committed)
        self.assembly = Assembly(
            [CertificateAuthority(random.Random(6))],
            dict(
                [
                    effect_port(Propose, self._propose),
                    effect_port(SetTimer, lambda source, effect: self.timers.set(source, effect.name, effect.at)),
                    effect_port(CancelTimer, lambda source, effect: self.timers.cancel(source, effect.name)),
                    effect_port(Send, lambda _, effect: self._sent(effect)),
                    effect_port(Record, lambda _, effect: self._say(self._record(effect))),
                    effect_port(Sign, lambda _, effect: self._sign(effect)),
                    effect_port(MakeRoot, lambda _, effect: self.post(root_made(effect))),
                ]
            ),
            self.time.clock,
        )
        founding, manager = found(self.time.now, random.Random(4))
        self.first = founding
        self.names: dict[str, str] = {founding.node_id: "n1"}
        self.credentials: dict[str, Credentials] = {"n1": manager}
        changes, _ = found_cluster(self.store.view, self.ids, heartbeat=seconds(5), founding=founding)
        self.store.propose(changes, lambda _: None)
        self.root(founding.root.ca_cert)
        self.assembly.broadcast(Led(self.store.view))
        self.lines.clear()

    def __call__(self, command: str) -> Sequence[str]:
        self.lines = []
        verb, *words = command.split()
        plain = [word for word in words if "=" not in word]
        options = dict(word.split("=", 1) for word in words if "=" in word)
        getattr(self, "do_" + verb.replace("-", "_"))(*plain, **options)
        return self.lines

    # Commands

    def do_join(self, who: str, token: str = "", availability: str = "active", csr: str = "") -> None:
        request, _ = self.keys.setdefault(who, make_request())
        texts = {"": "", **self.tokens, **self._present_tokens()}
        message = IssueNodeCertificateRequest(
            csr={"": request, "none": b"", "garbage": b"garbage"}[csr],
            token=texts.get(token, token),
            availability=Availability[availability.upper()],
        )
        self._ask(who, message, Peer())

    def do_renew(self, name: str, token: str = "", cluster: str = "", key: str = "new") -> None:
        if key == "new":
            self.keys[name] = make_request()
        message = IssueNodeCertificateRequest(csr=self.keys[name][0], token=self._present_tokens().get(token, ""))
        self._ask(name, message, Peer(self._identity(name, cluster)))

    def do_status(self, who: str, node: str = "") -> None:
        self._ask(who, NodeCertificateStatusRequest(self._id(node) if node else NodeId("")), Peer())

    def do_root(self) -> None:
        self._ask("anyone", GetRootCACertificateRequest(), Peer())

    def do_unlock_key(self, who: str) -> None:
        peer = {"local": Peer(local=True), "stranger": Peer()}.get(who) or Peer(self._identity(who))
        self._ask(who, GetUnlockKeyRequest(), peer)

    def do_gone(self, who: str) -> None:
        self.assembly.post("ca", Disconnected(who))

    def do_advance(self, span: str) -> None:
        self.time.advance(seconds(float(span)))

    def do_take(self, name: str) -> None:
        """The node fetches its certificate, and reports who issued it."""
        node = self.node(name)
        credentials = Credentials(self.cluster.root_ca.ca_cert, node.certificate.certificate, self.keys[name][1])
        issuer = issuer_of(credentials.certificate, b"".join(self.roots))
        assert issuer
        # It trusts what it joined with, until it is told of another root.
        trusted = self.credentials[name].root if name in self.credentials else credentials.root
        credentials = replace(credentials, root=trusted)
        credentials.check(self.time.now)
        self.credentials[name] = credentials
        self.commit(
            Update(
                replace(self.node(name), description=NodeDescription(hostname=name, tls_info=credentials.tls_info()))
            )
        )

    def do_take_first(self) -> None:
        """The founder reports who issued its certificate."""
        self._describe("n1", self.credentials["n1"])

    def do_force_rotate(self) -> None:
        config = self.cluster.spec.ca_config
        self._update(replace(config, signing_ca_cert=b"", signing_ca_key=b"", force_rotate=config.force_rotate + 1))

    def do_sign_by(self, root: str) -> None:
        by = {"given": self.given, "present": SigningRoot(self.cluster.root_ca.ca_cert)}[root]
        config = self.cluster.spec.ca_config
        self._update(
            replace(config, signing_ca_cert=by.ca_cert, signing_ca_key=by.ca_key, force_rotate=config.force_rotate + 1)
        )

    def do_rotate_tokens(self) -> None:
        self._update(self.cluster.spec.ca_config, KeyRotation(worker_join_token=True, manager_join_token=True))

    def do_lock(self) -> None:
        encryption = replace(self.cluster.spec.encryption_config, auto_lock_managers=True)
        self._update(self.cluster.spec.ca_config, encryption=encryption)

    def do_remember_tokens(self) -> None:
        self.tokens = {f"old-{name}": text for name, text in self._present_tokens().items()}

    def do_role(self, name: str, role: str) -> None:
        self.commit(Update(replace(self.node(name), role=NodeRole[role.upper()])))

    def do_remove(self, name: str) -> None:
        changes, _ = remove_node(self.store.view, self._id(name), True, self.time.now)
        self.store.propose(changes, lambda _: None)

    def do_touch(self, name: str) -> None:
        """Something else about the node changes."""
        self.commit(Update(replace(self.node(name), VXLANUDPPort=self.node(name).VXLANUDPPort + 1)))

    def do_crowd(self, count: str) -> None:
        """So many nodes with certificates of the present root, by the names c1 ..."""
        info = self.credentials["n1"].tls_info()
        for number in range(1, int(count) + 1):
            node_id = NodeId(f"c{number:02}")
            self.names[node_id] = node_id
            self.commit(
                Create(
                    Node(
                        id=node_id,
                        description=NodeDescription(hostname=node_id, tls_info=info),
                        certificate=Certificate(status=IssuanceStatus(IssuanceState.ISSUED)),
                    )
                )
            )
        self.lines.clear()

    def do_hold(self, what: str) -> None:
        if what == "store":
            self.proposer.held = []
        else:
            self.signing = False

    def do_release(self, what: str) -> None:
        if what == "store":
            held, self.proposer.held = self.proposer.held or [], None
            for done in held:
                done(None)
        else:
            self.signing = True

    def do_lead(self) -> None:
        self.assembly.broadcast(Led(self.store.view))

    def do_lose(self, error: str = "NotLeader") -> None:
        held, self.proposer.held = self.proposer.held or [], None
        made = {"NotLeader": NotLeader("10.0.0.2:2377"), "ProposalDropped": ProposalDropped("no quorum")}[error]
        if held:
            held[0](made)

    # The other side

    @property
    def cluster(self) -> Cluster:
        found = self.store.view.cluster()
        assert found is not None
        return found

    def node(self, name: str) -> Node:
        node = self.store.view.node(self._id(name))
        assert node is not None, name
        return node

    def commit(self, action: Any) -> None:
        self.store.propose(Changes.atomic(action), lambda outcome: self._check(outcome))

    def post(self, event: Event) -> None:
        self.assembly.post("ca", event)

    def root(self, certificate: bytes) -> str:
        if certificate not in self.roots:
            self.roots.append(certificate)
        return f"R{self.roots.index(certificate) + 1}"

    def _describe(self, name: str, credentials: Credentials) -> None:
        description = NodeDescription(hostname=name, tls_info=credentials.tls_info())
        self.commit(Update(replace(self.node(name), description=description)))

    def _check(self, outcome: Outcome) -> None:
        assert outcome.error is None
        assert not outcome.refused, outcome.refused

    def _present_tokens(self) -> dict[str, str]:
        tokens = self.cluster.root_ca.join_tokens
        last = "1" if tokens.worker[-1] == "0" else "0"
        wrong = tokens.worker[:-1] + last
        foreign = f"SWMTKN-1-{'1' * 50}-{tokens.worker[-25:]}"
        return {"worker": tokens.worker, "manager": tokens.manager, "wrong": wrong, "foreign": foreign}

    def _identity(self, name: str, cluster: str = "") -> Identity:
        node_id = self._id(name)
        node = self.store.view.node(node_id)
        role = node.role if node is not None else NodeRole.WORKER
        return Identity(node_id, ClusterId(cluster or self.cluster.id), role)

    def _id(self, name: str) -> NodeId:
        return NodeId(next((node_id for node_id, known in self.names.items() if known == name), name))

    def _update(self, config: CAConfig, rotation: KeyRotation = NO_ROTATION, encryption: Any = None) -> None:
        cluster = self.cluster
        spec = replace(cluster.spec, ca_config=config)
        if encryption is not None:
            spec = replace(spec, encryption_config=encryption)
        changes, _ = update_cluster(
            self.store.view, cluster.id, cluster.meta.version.index, spec, rotation, self.ids, self.time.now
        )
        self.store.propose(changes, self._check)

    def _ask(self, sender: str, message: Any, peer: Peer) -> None:
        self.calls += 1
        self.assembly.post("ca", Received(sender, Asked(peer, message), self.calls))

    def _propose(self, source: str, effect: Propose) -> None:
        def done(outcome: Outcome) -> None:
            self.assembly.post(source, Proposed(effect.tag, outcome.version, outcome.refused, outcome.error))

        self.store.propose(effect.changes, done)

    def _sign(self, effect: Sign) -> None:
        if self.signing:
            self.post(signed(effect))
        else:
            self._say(f"signature of {self._name(effect.node_id)} is lost")

    def _committed(self, event: Committed) -> None:
        for change in event.changes:
            node, old = change.object, change.old
            if isinstance(node, Cluster):
                self._root_story(node.root_ca, None if old is None else old.root_ca)
            if not isinstance(node, Node):
                continue
            before = old.certificate if isinstance(old, Node) else None
            if change.kind.name == "REMOVED" or node.certificate == before:
                continue
            certificate = node.certificate
            text = f"{self._name(node.id)} {certificate.status.state.name} {certificate.role.name.lower()}"
            if certificate.status.state.name == "ISSUED" and certificate.certificate:
                text += f" by {self._issuer(certificate.certificate)}"
            self._say(text + (f" ({certificate.status.err})" if certificate.status.err else ""))
        self.assembly.broadcast(event)

    def _root_story(self, root: Any, old: Any) -> None:
        if old is None or root == old:
            return
        rotation = f" -> {self.root(root.root_rotation.ca_cert)}" if root.root_rotation is not None else ""
        tokens = ", new tokens" if root.join_tokens != old.join_tokens else ""
        self._say(f"root {self.root(root.ca_cert)}{rotation} forced={root.last_forced_rotation}{tokens}")

    def _issuer(self, chain: bytes) -> str:
        for root in self.roots:
            try:
                issuer_of(chain.partition(b"-----END CERTIFICATE-----\n")[0] + b"-----END CERTIFICATE-----\n", root)
            except InvalidSpec:
                continue
            length = chain.count(b"BEGIN")
            return self.root(root) + (f" with {length - 1} between" if length > 1 else "")
        return "nobody"

    def _name(self, node_id: str) -> str:
        return self.names.setdefault(node_id, f"n{len(self.names) + 1}")

    def _record(self, effect: Record) -> str:
        fields = " ".join(f"{key}={value}" for key, value in effect.fields.items() if key in ("node", "role", "error"))
        for node_id, name in self.names.items():
            fields = fields.replace(node_id, name)
        return f"* {effect.name} {fields}".rstrip()

    def _sent(self, effect: Send) -> None:
        match effect.message:
            case Exception():
                text = f"{type(effect.message).__name__}: {effect.message}"
            case IssueNodeCertificateResponse(node_id, membership):
                text = f"issue {self._name(node_id)} {membership.name}"
                self.keys[self._name(node_id)] = self.keys[effect.to]
            case NodeCertificateStatusResponse(status, certificate):
                assert status is not None
                assert certificate is not None
                text = f"status {status.state.name}"
                if certificate.certificate and status.state.name == "ISSUED":
                    start, end = validity_of(certificate.certificate)
                    text += f" by {self._issuer(certificate.certificate)}, {self._span(start)} to {self._span(end)}"
            case GetRootCACertificateResponse(certificate):
                text = f"root {self.root(certificate)}"
            case GetUnlockKeyResponse(key):
                text = f"unlock key of {len(key)} bytes"
            case other:
                text = repr(other)
        for node_id, name in self.names.items():
            text = text.replace(node_id, name)
        text = text.replace(self.cluster.id, "CLUSTER")
        self._say(f"-> {effect.to} #{effect.call} {text}")

    def _span(self, moment: Instant) -> str:
        return f"{(moment - self.time.now) / 3.6e12:+.0f}h"

    def _say(self, text: str) -> None:
        self.lines.append(f"{self.time.elapsed:.1f} {text}")
