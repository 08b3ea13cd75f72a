"""What the dispatcher knows of each node in this term: its session, its pulse."""

import random

from msgspec.structs import replace

from swarmlab.api import (
    SECOND,
    Duration,
    EncryptionKey,
    Instant,
    Meta,
    Node,
    NodeId,
    NodeStatus,
    Precondition,
    SessionMessage,
    WeightedPeer,
    after,
    new_id,
)
from swarmlab.manager.dispatcher.assignments import Stream

#: Registrations of a known node that are taken one after another.
RATE_LIMIT = 3
#: Without an accepted registration for so long, they are counted anew.
RATE_PERIOD = Duration(8 * SECOND)
#: Periods that a node may be silent.
GRACE = 3
#: The same for a node not heard of since this manager began to lead.
GRACE_UNKNOWN = 6
#: A manager that was held up itself looks again after this part of a period: beats may wait behind its own timer.
LOOK_AGAIN = 0.25
#: The next beat is due after the period, up to a tenth of it sooner or later.
JITTER = 0.1

#: What a session message tells, without what changes with every sign of life.
_Told = tuple[Node | None, tuple[WeightedPeer, ...], tuple[EncryptionKey, ...], bytes]


class Session:
    """One node in this term. A node not heard of yet has no session id."""

    __slots__ = (
        "_registered_at",
        "_registrations",
        "_told",
        "call",
        "doubted",
        "due",
        "greeted",
        "id",
        "node_id",
        "stream",
        "timer",
    )

    def __init__(self, node_id: NodeId) -> None:
        self.node_id = node_id
        self.id = ""
        #: Number of the session call; 0 while the node has no connection.
        self.call = 0
        #: The first message was sent on `call`.
        self.greeted = False
        self.stream: Stream | None = None
        #: Silent beyond this instant, the node is down.
        self.due = Instant(0)
        #: For when the timer is set, if it is; `due` may have moved on since.
        self.timer: Instant | None = None
        #: Silent when the timer fired late: a last look is set, before which nothing is made of it.
        self.doubted = False
        self._registered_at = Instant(0)
        self._registrations = 0
        self._told: _Told | None = None

    def register(self, rng: random.Random, now: Instant) -> None:
        """Begin a new session in place of any other.

        Raises:
            Precondition: Too many registrations in a short time.
        """
        if self.id:
            if now > after(self._registered_at, RATE_PERIOD):
                self._registrations = 0
            self._registrations += 1
            if self._registrations > RATE_LIMIT:
                limit = f"{RATE_LIMIT} within {RATE_PERIOD // SECOND} s"
                raise Precondition(f"node {self.node_id} registers too often: more than {limit}")
        self._registered_at = now
        self.id = new_id(rng)

    def connect(self, call: int) -> tuple[int, ...]:
        """Use `call` from now on; gives the calls that it takes the place of."""
        ended = self.disconnect()
        self.call = call
        return ended

    def disconnect(self) -> tuple[int, ...]:
        """Let go of the connection; gives the calls that were open on it."""
        ended = [self.call] if self.call else []
        if self.stream is not None:
            ended.append(self.stream.call)
        self.call, self.greeted, self.stream, self._told = 0, False, None, None
        return tuple(ended)

    def message(
        self, node: Node, managers: tuple[WeightedPeer, ...], keys: tuple[EncryptionKey, ...], root: bytes
    ) -> SessionMessage | None:
        """What the node is to be told; None if it was told already."""
        told = replace(node, status=NodeStatus(), meta=Meta()), managers, keys, root
        if told == self._told:
            return None
        self._told = told
        return SessionMessage(
            session_id=self.id, node=node, managers=managers, network_bootstrap_keys=keys, RootCA=root
        )


def jittered(period: Duration, rng: random.Random) -> Duration:
    """`period`, a little sooner or later, so that the nodes do not all beat at once."""
    return Duration(round(period * (1 + rng.uniform(-JITTER, JITTER))))
