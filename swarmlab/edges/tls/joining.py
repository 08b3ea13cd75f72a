"""A node's way to its certificate: first contact, join, renewal. Speaks with stock managers too.

1. The root is fetched from a manager that is not known yet; the digest in the join token tells whether it is the right
   one.
2. With the root, a manager is known by its name `swarm-ca`; it takes the request and the token.
3. It is asked until the certificate is there.

A renewal is 2 and 3 with the certificate that the node has, in place of a token.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from swarmlab.api import (
    Availability,
    GetRootCACertificateRequest,
    GetRootCACertificateResponse,
    GetUnlockKeyRequest,
    GetUnlockKeyResponse,
    Instant,
    InvalidSpec,
    IssuanceState,
    IssueNodeCertificateRequest,
    IssueNodeCertificateResponse,
    JoinToken,
    NodeCertificateStatusRequest,
    NodeCertificateStatusResponse,
    NodeId,
    NotLeader,
    Precondition,
    ProposalDropped,
    ProposalUnknown,
    StateError,
    Value,
    fingerprint,
)
from swarmlab.api.trust import check_bundle
from swarmlab.api.wire import codec, decode, encode
from swarmlab.edges.grpc.errors import error_of
from swarmlab.edges.tls.bridge import Bridge
from swarmlab.edges.tls.credentials import Credentials
from swarmlab.edges.tls.security import CA_NAME, MANAGER_NAME, channel, client_context
from swarmlab.edges.tls.stock import look, unverified_context
from swarmlab.edges.tls.x509 import make_request

#: Tries of each step, and seconds between two. SwarmKit `ca/certificates.go`.
TRIES, PAUSE_SECONDS = 5, 2.0
CALL_SECONDS = 5.0
#: Seconds until a certificate is asked for again: the first time, and at most.
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 30.0
#: How often a certificate is asked for before the request is given up.
STATUS_TRIES = 10

_PACKAGE = "/docker.swarmkit.v1."
#: What may be better at the next try, or at another manager.
PASSING = (StateError, NotLeader, ProposalDropped, ProposalUnknown)

V = TypeVar("V", bound=Value)
T = TypeVar("T")

Clock = Callable[[], Instant]
Pause = Callable[[float], Awaitable[None]]


async def join(
    addresses: Sequence[str],
    token: str,
    *,
    now: Clock,
    availability: Availability = Availability.ACTIVE,
    pause: Pause = asyncio.sleep,
) -> Credentials:
    """The credentials of a new node of the cluster whose managers are at `addresses` (host:port).

    Raises:
        InvalidSpec: The token is malformed, names another root than the managers have, or is refused.
        StateError: No manager answers.
        SwarmlabError: What else a manager said.
    """
    parsed = JoinToken.parse(token)
    if parsed.fips:
        raise Precondition("this cluster admits only nodes in FIPS mode, which this program does not have")
    root = await fetch_root(addresses, parsed, now=now, pause=pause)
    csr, key = make_request()
    request = IssueNodeCertificateRequest(csr=csr, token=token, availability=availability)

    async def ask(address: str) -> Credentials:
        return Credentials(root, await _issued(address, root, None, request, now, pause), key)

    return await _checked(addresses, ask, now, pause)


async def renew(
    addresses: Sequence[str], credentials: Credentials, *, now: Clock, pause: Pause = asyncio.sleep
) -> Credentials:
    """New credentials, with a new key, of the node that has `credentials`, in the role that the managers see for it.

    Raises:
        Forbidden: The node was removed.
        StateError: No manager answers.
        SwarmlabError: What else a manager said.
    """
    csr, key = make_request()
    request = IssueNodeCertificateRequest(csr=csr)

    async def ask(address: str) -> Credentials:
        return Credentials(
            credentials.root, await _issued(address, credentials.root, credentials, request, now, pause), key
        )

    return await _checked(addresses, ask, now, pause)


async def fetch_root(
    addresses: Sequence[str], token: JoinToken | None, *, now: Clock, pause: Pause = asyncio.sleep
) -> bytes:
    """The root bundle of the cluster, PEM, known by the digest in `token`; with None, whatever the manager says.

    Raises:
        InvalidSpec: The managers have another root than the token names, or one that does not hold.
        StateError: No manager answers.
    """

    async def ask(address: str) -> bytes:
        async with unverified_channel(address) as opened:
            answer = await call(
                opened, address, "CA/GetRootCACertificate", GetRootCACertificateRequest(), GetRootCACertificateResponse
            )
        root = answer.certificate
        if token is not None and not token.names(root):
            raise InvalidSpec(
                f"the manager at {address} has the root {fingerprint(root)}, the join token names {token.fingerprint}: "
                "it is the token of another cluster, or somebody else answers there"
            )
        check_bundle(root, now())
        return root

    return await _at_any(addresses, ask, pause)


async def unlock_key(address: str, credentials: Credentials) -> bytes:
    """The key that locks the managers' keys, for a node that has become one; empty where they do not lock.

    Raises:
        Forbidden: The node is no manager.
        StateError: The manager does not answer.
    """
    async with channel(address, credentials.root, credentials, CA_NAME) as opened:
        answer = await call(opened, address, "CA/GetUnlockKey", GetUnlockKeyRequest(), GetUnlockKeyResponse)
    return answer.unlock_key


async def call(opened: grpc.aio.Channel, address: str, method: str, request: Value, answer: type[V]) -> V:
    """One call, as values.

    Raises:
        StateError: There was no answer, so it may have been done.
        SwarmlabError: What the manager said.
    """
    made = opened.unary_unary(
        f"{_PACKAGE}{method}",
        request_serializer=_bytes,
        response_deserializer=codec(answer).message.FromString,
    )
    try:
        return decode(answer, await made(encode(request), timeout=CALL_SECONDS))
    except grpc.aio.AioRpcError as error:
        said = error_of(error.code(), error.details() or "", error.trailing_metadata() or ())
        if said is not None:
            raise said from error
        raise StateError(
            f"{method}: the manager at {address} does not answer: {error.code().name}: {error.details()}"
        ) from error


@asynccontextmanager
async def unverified_channel(address: str) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to whoever is at host:port. gRPC knows no TLS without verification."""
    async with Bridge(address, unverified_context) as bridge, bridge.channel(CA_NAME) as opened:
        yield opened


async def _issued(
    address: str,
    root: bytes,
    credentials: Credentials | None,
    request: IssueNodeCertificateRequest,
    now: Clock,
    pause: Pause,
) -> bytes:
    """The certificate for the request, from a manager of either kind."""
    name = CA_NAME if credentials is None else MANAGER_NAME
    try:
        async with channel(address, root, credentials, name) as opened:
            return await _certificate(opened, address, request, pause)
    except StateError:
        seen = await look(address, root, now())
        if seen is None or seen.is_plain:
            raise
    context = client_context(root + seen.crossed, credentials)
    async with Bridge(address, lambda: context, name) as bridge, bridge.channel(name) as opened:
        return await _certificate(opened, address, request, pause)


async def _certificate(
    opened: grpc.aio.Channel, address: str, request: IssueNodeCertificateRequest, pause: Pause
) -> bytes:
    """The certificate for the request, once the managers have it."""
    issue = await call(opened, address, "NodeCA/IssueNodeCertificate", request, IssueNodeCertificateResponse)
    wait = FIRST_WAIT_SECONDS
    for _ in range(STATUS_TRIES):
        try:
            answer = await call(
                opened,
                address,
                "NodeCA/NodeCertificateStatus",
                NodeCertificateStatusRequest(NodeId(issue.node_id)),
                NodeCertificateStatusResponse,
            )
        except PASSING:
            await pause(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
            continue
        state = answer.status.state if answer.status is not None else IssuanceState.UNKNOWN
        record = answer.certificate
        if record is not None and record.csr == request.csr:
            if state in (IssuanceState.ISSUED, IssuanceState.ROTATE) and record.certificate:
                return record.certificate
            if state is IssuanceState.FAILED and answer.status is not None:
                raise Precondition(f"the managers refuse to issue a certificate: {answer.status.err}")
        await pause(wait)
        wait = min(2 * wait, LONGEST_WAIT_SECONDS)
    raise StateError(f"the manager at {address} has not issued the certificate of node {issue.node_id} in time")


async def _checked(
    addresses: Sequence[str], ask: Callable[[str], Awaitable[Credentials]], now: Clock, pause: Pause
) -> Credentials:
    credentials = await _at_any(addresses, ask, pause)
    credentials.check(now())
    return credentials


async def _at_any(addresses: Sequence[str], ask: Callable[[str], Awaitable[T]], pause: Pause) -> T:
    """The first answer of the managers, each of which is asked in turn."""
    if not addresses:
        raise StateError("no address of a manager is known")
    for number in range(TRIES):
        try:
            return await ask(addresses[number % len(addresses)])
        except PASSING:
            if number == TRIES - 1:
                raise
            await pause(PAUSE_SECONDS)
    raise AssertionError("the last try answers or raises")


def _bytes(message: Message) -> bytes:
    return message.SerializeToString()
