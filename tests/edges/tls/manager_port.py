"""A manager's public port for tests: an authority in this process behind a front, served by grpcio."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from patience import PATIENCE_SECONDS

from swarmlab.api import (
    GetRootCACertificateRequest,
    GetUnlockKeyRequest,
    Instant,
    IssueNodeCertificateRequest,
    NodeCertificateStatusRequest,
    NodeRole,
    SwarmlabError,
    Value,
    after,
    seconds,
)
from swarmlab.api.wire import codec, decode, encode
from swarmlab.ca import Asked, CertificateAuthority, Identity, MakeRoot, Peer, Sign
from swarmlab.component import Assembly, CancelTimer, Propose, Proposed, Received, Record, Send, SetTimer, TimerFired
from swarmlab.edges.driver import LoopTimers
from swarmlab.edges.grpc.errors import status_of
from swarmlab.edges.tls.credentials import Credentials
from swarmlab.edges.tls.founding import found
from swarmlab.edges.tls.front import FrontLimits, TlsFront
from swarmlab.edges.tls.security import Security
from swarmlab.edges.tls.signer import root_made, signed
from swarmlab.edges.tls.x509 import issue, make_request
from swarmlab.node import found_cluster
from swarmlab.node.ports import effect_port
from swarmlab.store import CommitAtOnce, Committed, Led, Outcome, Snapshot, Store

METHODS: Mapping[str, Mapping[str, type[Value]]] = {
    "CA": {"GetRootCACertificate": GetRootCACertificateRequest, "GetUnlockKey": GetUnlockKeyRequest},
    "NodeCA": {
        "IssueNodeCertificate": IssueNodeCertificateRequest,
        "NodeCertificateStatus": NodeCertificateStatusRequest,
    },
}


def now() -> Instant:
    return Instant(time.time_ns())


class Authority:
    """The certificate authority on a store that commits at once, in the time of the loop."""

    def __init__(self) -> None:
        self.founding, self.credentials = found(now(), random.SystemRandom(), hostname="m1")
        self.store = Store(CommitAtOnce(), now, on_commit=self._committed)
        self.timers = LoopTimers(now, lambda name, timer: self.assembly.post(name, TimerFired(timer)))
        self.calls: dict[int, asyncio.Future[Any]] = {}
        self.assembly = Assembly(
            [CertificateAuthority(random.SystemRandom())],
            dict(
                [
                    effect_port(Propose, self._propose),
                    effect_port(SetTimer, lambda source, effect: self.timers.set(source, effect.name, effect.at)),
                    effect_port(CancelTimer, lambda source, effect: self.timers.cancel(source, effect.name)),
                    effect_port(Send, lambda _, effect: self.calls.pop(effect.call).set_result(effect.message)),
                    effect_port(Record, lambda *_: None),
                    effect_port(Sign, lambda _, effect: self.assembly.post("ca", signed(effect))),
                    effect_port(MakeRoot, lambda _, effect: self.assembly.post("ca", root_made(effect))),
                ]
            ),
            now,
        )
        changes, _ = found_cluster(self.store.view, random.SystemRandom(), heartbeat=seconds(5), founding=self.founding)
        self.store.propose(changes, lambda _: None)
        self.assembly.broadcast(Led(self.store.view))

    @property
    def view(self) -> Snapshot:
        return self.store.view

    async def ask(self, peer: Peer, message: Value) -> Any:
        call = max(self.calls, default=0) + 1
        answer = self.calls[call] = asyncio.get_running_loop().create_future()
        self.assembly.post("ca", Received("caller", Asked(peer, message), call))
        return await answer

    def issued(
        self, role: NodeRole, node_id: str = "", *, starts: float = -3600, ends: float = 3600, cluster: str = ""
    ) -> Credentials:
        """Credentials of a node of this cluster, made past the authority; from and until so many seconds from now."""
        csr, key = make_request()
        identity = Identity(node_id or f"node-{role.name.lower()}", cluster or self.founding.cluster_id, role)
        certificate = issue(
            csr,
            identity,
            self.founding.root,
            not_before=after(now(), seconds(starts)),
            not_after=after(now(), seconds(ends)),
        )
        return Credentials(self.founding.root.ca_cert, certificate, key)

    def _propose(self, source: str, effect: Propose) -> None:
        def done(outcome: Outcome) -> None:
            self.assembly.post(source, Proposed(effect.tag, outcome.version, outcome.refused, outcome.error))

        self.store.propose(effect.changes, done)

    def _committed(self, event: Committed) -> None:
        self.assembly.broadcast(event)


class ManagerPort:
    """What listens: `seen` are the peers of the calls to `/test/Who`, which answers with the caller's name."""

    def __init__(self, authority: Authority, front: TlsFront, security: Security) -> None:
        self.authority = authority
        self.front = front
        self.security = security
        self.seen: list[Peer] = []

    async def connections(self, count: int) -> None:
        """Wait until the front has so many."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.front) != count:  # noqa: ASYNC110 - the front tells nobody
                await asyncio.sleep(0)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.front.port}"


@asynccontextmanager
async def manager_port(folder: Path, limits: FrontLimits = FrontLimits()) -> AsyncIterator[ManagerPort]:  # noqa: B008
    authority = Authority()
    security = Security(authority.credentials)
    inside = folder / "inside.sock"
    front = TlsFront("127.0.0.1", 0, inside, security.server_context, limits)
    port = ManagerPort(authority, front, security)
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)))
    server.add_generic_rpc_handlers(_handlers(port))
    server.add_insecure_port(f"unix:{inside}")
    await server.start()
    try:
        async with front:
            yield port
    finally:
        await server.stop(None)
        authority.timers.close()


def _handlers(port: ManagerPort) -> tuple[Any, ...]:
    async def who(request: bytes, context: Any) -> bytes:
        try:
            peer = port.front.peer(context.peer())
        except SwarmlabError as error:
            await _abort(context, error)
        port.seen.append(peer)
        return (peer.identity.node_id if peer.identity is not None else "nobody").encode()

    async def echo(request: bytes, context: Any) -> bytes:
        return request

    def answered(kind: type[Value]) -> Any:
        async def answer(request: Any, context: Any) -> Any:
            try:
                peer = port.front.peer(context.peer())
                message = await port.authority.ask(peer, decode(kind, request))
                if isinstance(message, Exception):
                    raise message
                return encode(message)
            except SwarmlabError as error:
                await _abort(context, error)

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=codec(kind).message.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    test = {"Who": grpc.unary_unary_rpc_method_handler(who), "Echo": grpc.unary_unary_rpc_method_handler(echo)}
    services = [grpc.method_handlers_generic_handler("test", test)]
    for service, methods in METHODS.items():
        handlers = {name: answered(kind) for name, kind in methods.items()}
        services.append(grpc.method_handlers_generic_handler(f"docker.swarmkit.v1.{service}", handlers))
    return tuple(services)


async def _abort(context: Any, error: Exception) -> None:
    code, text, metadata = status_of(error)
    await context.abort(code, text, trailing_metadata=metadata)
