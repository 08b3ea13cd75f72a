"""What a machine needs of its world."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from swarmlab.api import Changes, Instant, ManagerStatus, NodeId, WeightedPeer
from swarmlab.ca import MakeRoot, RootMade, Sign, Signed
from swarmlab.component import Effect
from swarmlab.raft import RaftId
from swarmlab.store import Snapshot


class Timers(Protocol):
    """Named timers of one machine; each fires `TimerFired` at the component that set it."""

    def set(self, owner: str, name: str, at: Instant) -> None:
        """Fire at `at`, or as soon as possible; a timer of that owner and name moves."""

    def cancel(self, owner: str, name: str) -> None:
        """Forget it, if there is one."""


def _unheard(source: str, changes: Changes, view: Snapshot) -> None:
    """What most worlds do with what a part is about to propose."""


class Ports(NamedTuple):
    """The world of a machine: an asyncio loop or a heap of events, a wire or a model of one."""

    clock: Callable[[], Instant]
    #: Makes the machine's timers, given what to call when one is due: (component, timer).
    timers: Callable[[Callable[[str, str], None]], Timers]
    #: (address, message, call)
    send: Callable[[str, Any, int], None]
    #: (component, event name, fields)
    record: Callable[[str, str, Mapping[str, Any]], None]
    #: Hears (component, changes, committed view) before a part of a manager proposes them.
    proposing: Callable[[str, Changes, Snapshot], None] = _unheard
    #: Where keys come from. The operating system's, unless a world has to be repeatable more than its keys secret.
    entropy: random.Random = random.SystemRandom()


class AuthorityPorts(NamedTuple):
    """What a manager with a certificate authority needs beside `Ports`.

    Both answer `post` once, at once or later.
    """

    sign: Callable[[Sign, Callable[[Signed], None]], None]
    make_root: Callable[[MakeRoot, Callable[[RootMade], None]], None]
    #: Ids of nodes, join tokens and unlock keys are drawn from it, so nobody may be able to foretell it.
    entropy: random.Random


class Neighbours(NamedTuple):
    """The machines around a manager, as far as its world knows of them."""

    #: The complete list of managers that every worker is told.
    managers: Callable[[], Sequence[WeightedPeer]]
    #: From where a node with a session is connected, without a port; empty where that is not known.
    address_of: Callable[[NodeId], str] | None = None


#: Of a manager whose workers find it without an address.
ALONE = Neighbours(lambda: ())


class MembershipPorts(NamedTuple):
    """The raft group of a manager that is not alone."""

    #: The members by their nodes, as they are now.
    managers: Callable[[], Mapping[NodeId, ManagerStatus]]
    #: (raft id, what to call with None or why it failed): removes a member.
    leave: Callable[[RaftId, Callable[[Exception | None], None]], None]


E = TypeVar("E", bound=Effect)


def effect_port(kind: type[E], port: Callable[[str, E], None]) -> tuple[type[Effect], Callable[[str, Effect], None]]:
    """An entry of an assembly's table of ports, which looks ports up by the very kind of the effect."""

    def carry_out(source: str, effect: Effect) -> None:
        assert isinstance(effect, kind)
        port(source, effect)

    return kind, carry_out
