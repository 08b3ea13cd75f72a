"""What a machine needs of its world."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from swarmlab.api import Changes, Instant, ManagerStatus, NodeId
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
