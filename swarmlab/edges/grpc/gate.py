"""The gate before the services of a manager: who calls, may they, and is it answered here."""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from inspect import isasyncgenfunction
from typing import Any, Protocol

import grpc

from swarmlab.api import ClusterId, Forbidden, NodeId, SwarmlabError, TooLarge
from swarmlab.ca import Peer
from swarmlab.edges.grpc.authorisation import Caller, Forwarding, Rule, authorise, rule_of
from swarmlab.edges.grpc.forwarding import Forwarder, LeaderGone
from swarmlab.edges.grpc.handlers import Behaviour, Context, abort, with_behaviour

_log = logging.getLogger(__name__)

#: Calls that one connection of somebody without a certificate may have open.
STRANGERS_CALLS = 16

_CALLER: ContextVar[Caller] = ContextVar("caller")


class Membership(Protocol):
    """The cluster, as the gate sees it."""

    @property
    def cluster_id(self) -> ClusterId:
        """What its certificates say as their organisation."""

    @property
    def blocked(self) -> Collection[NodeId | str]:
        """Nodes that were removed and whose certificates have not run out."""


class PeerOf(Protocol):
    """Who is at the other end of the connection that gRPC calls by that name."""

    def __call__(self, name: str, /) -> Peer: ...


def local_peer(_: str) -> Peer:
    """For the local socket, whose callers are trusted."""
    return Peer(local=True)


def calling() -> Caller:
    """Whom the call in hand counts for. Asked by a handler behind a gate, before it waits for anything."""
    return _CALLER.get()


def calling_node() -> NodeId:
    """The node whom the call in hand counts for.

    Raises:
        Forbidden: It has no certificate; on the local socket nobody has.
    """
    identity = calling().origin.identity
    if identity is None:
        raise Forbidden("the call has no certificate, wanted: that of a node")
    return identity.node_id


class Gate:
    """Lets calls through to handlers, or on to the leader.

    Args:
        peer_of: Who is at the other end of a connection.
        membership: Which certificates count.
        forwarder: Passes calls on while this manager does not lead; None: every call is answered here.
    """

    def __init__(self, peer_of: PeerOf, membership: Membership, forwarder: Forwarder | None = None) -> None:
        self._peer_of = peer_of
        self._membership = membership
        self._forwarder = forwarder
        #: {connection: calls without a certificate that are open on it}
        self._strangers: Counter[str] = Counter()

    def before(self, handler: grpc.GenericRpcHandler) -> grpc.GenericRpcHandler:
        """The handler, with this gate before each of its methods."""
        return _Gated(handler, self)

    @contextmanager
    def admitted(self, method: str, context: Context) -> Iterator[Caller]:
        """Whom the call counts for, as long as it is open.

        Raises on entering:
            TooLarge: Somebody without a certificate has too many calls open.
            What `authorise` does.
        """
        connection = context.peer()
        peer = self._peer_of(connection)
        metadata = context.invocation_metadata() or ()
        try:
            caller = authorise(method, peer, metadata, self._membership.cluster_id, self._membership.blocked)
            stranger = not peer.local and (peer.identity is None or caller.origin.identity is None)
            if stranger and not caller.forwarder and self._strangers[connection] >= STRANGERS_CALLS:
                raise TooLarge(
                    f"{method}: {STRANGERS_CALLS} calls without a certificate are open on this connection, "
                    "wanted: the end of one"
                )
        except SwarmlabError as error:
            _log.info("call_refused method=%s from=%s error=%s", method, peer.address, error)
            raise
        self._strangers[connection] += stranger
        try:
            yield caller
        finally:
            self._strangers[connection] -= stranger
            if not self._strangers[connection]:
                del self._strangers[connection]

    def search(self, rule: Rule, caller: Caller, context: Context) -> "Search":
        """Where the call is answered."""
        # What another manager passes on, it takes to the leader, as this one does with what is its own.
        meant = rule.forwarding is Forwarding.LOCAL and (caller.origin.local or caller.redirected)
        is_for_leader = meant or rule.forwarding is Forwarding.ALWAYS
        return Search(self._forwarder if is_for_leader else None, context)


class Search:
    """The search of one call for the manager that answers it. An election is waited for.

    Args:
        forwarder: Passes the call on while this manager does not lead; None: it is answered here.
        context: Has the time that there is.
    """

    def __init__(self, forwarder: Forwarder | None, context: Context) -> None:
        self._forwarder = forwarder
        self._until = forwarder.patience_ends(context) if forwarder is not None else 0.0
        #: Where the leader was looked for in vain.
        self.gone = ""

    async def elsewhere(self) -> Forwarder | None:
        """What passes the call on; None where it is for this manager to answer.

        Raises:
            NotLeader: Nobody leads.
        """
        forwarder = self._forwarder
        if forwarder is None:
            return None
        await forwarder.settled(self._until, self.gone)
        return None if forwarder.leads else forwarder


class _Gated(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    def __init__(self, inner: grpc.GenericRpcHandler, gate: Gate) -> None:
        self._inner = inner
        self._gate = gate
        #: {path: handler behind the gate}
        self._made: dict[str, grpc.RpcMethodHandler] = {}

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        made = self._made.get(details.method)
        if made is None:
            inner = self._inner.service(details)
            if inner is None:
                return None
            made = self._made[details.method] = _gated(details.method, inner, self._gate)
        return made


def _gated(method: str, inner: grpc.RpcMethodHandler, gate: Gate) -> grpc.RpcMethodHandler:
    """The same method behind the gate. One that is passed on speaks bytes."""
    rule = rule_of(method)
    if rule.forwarding is not Forwarding.NEVER:
        assert inner.request_deserializer is None, f"{method} is passed on, and so has to take bytes"

    def made(behaviour: Behaviour) -> Behaviour:
        async def generate(request: Any, context: Context) -> AsyncIterator[Any]:
            try:
                with gate.admitted(method, context) as caller:
                    search = gate.search(rule, caller, context)
                    while (elsewhere := await search.elsewhere()) is not None:
                        try:
                            async with aclosing(elsewhere.stream(method, request, caller, context)) as answers:
                                async for answer in answers:
                                    yield answer
                        except LeaderGone as error:
                            search.gone = error.addr
                        else:
                            return
                    _CALLER.set(caller)
                    async with aclosing(behaviour(request, context)) as answers:
                        async for answer in answers:
                            yield answer
            except Exception as error:
                await abort(context, error)

        async def answer(request: Any, context: Context) -> Any:
            try:
                with gate.admitted(method, context) as caller:
                    search = gate.search(rule, caller, context)
                    while (elsewhere := await search.elsewhere()) is not None:
                        try:
                            return await elsewhere.unary(method, request, caller, context)
                        except LeaderGone as error:
                            search.gone = error.addr
                    _CALLER.set(caller)
                    return await behaviour(request, context)
            except Exception as error:
                await abort(context, error)

        return generate if isasyncgenfunction(behaviour) else answer

    return with_behaviour(inner, made)
