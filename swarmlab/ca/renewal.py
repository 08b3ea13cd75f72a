"""When a node renews its certificate.

Half of its life has to be over: the moment is drawn anew for each certificate between 50 and 80 % of it, so that nodes
which joined together do not renew together. A manager that wants it sooner says so: the certificate's state is ROTATE,
or the wanted role is not the one in the certificate. A renewal that comes to nothing is tried again, and so is one
whose certificate has not the wanted role yet. Source: SwarmKit `ca/renewer.go`.
"""

import random
from collections.abc import Sequence

from swarmlab.api import (
    HOUR,
    MILLISECOND,
    SECOND,
    Duration,
    Instant,
    IssuanceState,
    Node,
    NodeRole,
    after,
    between,
)
from swarmlab.component import CancelTimer, Effect, Event, Record, SetTimer, TimerFired

#: The part of a certificate's life in which it is renewed, in percent.
EARLIEST, LATEST = 50, 80
#: What is left of it when its owner is warned, in percent.
WARNING = 20
#: Between two tries: uniform below a bound that doubles from the first to the last.
BACKOFF_FIRST, BACKOFF_LONGEST = Duration(5 * SECOND), Duration(1 * HOUR)
#: What is wished on short notice waits a moment, since wishes come together.
SOON = Duration(500 * MILLISECOND)

_RENEW, _WARN = "renew", "warn"


class Renew(Effect, frozen=True):
    """Ask the managers for a new certificate; the part hears `Renewed` or `RenewalFailed`, once."""


class Renewed(Event, frozen=True, kw_only=True):
    """The node has a certificate: at its start, and after each renewal."""

    role: NodeRole
    not_before: Instant
    not_after: Instant


class RenewalFailed(Event, frozen=True):
    """The managers gave none."""

    error: str


class NodeTold(Event, frozen=True):
    """A manager sent this node its object."""

    node: Node


class Renewal:
    """Decides when the node renews its certificate. It begins with a `Renewed` for the certificate that is there."""

    name = "renewal"

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._held: Renewed | None = None
        #: The role that the managers want; None until they said so.
        self._wanted: NodeRole | None = None
        #: A renewal is on its way.
        self._asked = False
        #: The managers want one that has not begun.
        self._wished = False
        self._failures = 0

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """Take one event; give what is to be done, in order."""
        match event:
            case Renewed():
                return self._renewed(event, now)
            case RenewalFailed(error):
                return self._failed(error, now)
            case NodeTold(node):
                return self._told(node, now)
            case TimerFired(timer) if timer == _RENEW:
                return self._renew()
            case TimerFired(timer) if timer == _WARN:
                return self._warn(now)
        return []

    def _renewed(self, event: Renewed, now: Instant) -> list[Effect]:
        first = self._held is None
        self._held = event
        self._asked = False
        life = between(event.not_before, event.not_after)
        warn = after(event.not_before, life * (100 - WARNING) // 100)
        effects: list[Effect] = [SetTimer(_WARN, warn)]
        if not first:
            effects.append(
                Record(
                    "certificate-renewed", {"role": event.role.name.lower(), "left_ns": between(now, event.not_after)}
                )
            )
        if self._differs():
            # The role manager has not come that far yet.
            return [*effects, self._later(now)]
        self._failures = 0
        if self._wished:
            self._wished = False
            return [*effects, SetTimer(_RENEW, after(now, SOON))]
        share = self._rng.randrange(EARLIEST * 1000, LATEST * 1000)
        return [*effects, SetTimer(_RENEW, max(now, after(event.not_before, life * share // 100_000)))]

    def _failed(self, error: str, now: Instant) -> list[Effect]:
        self._asked = False
        again = self._later(now)
        return [Record("renewal-failed", {"error": error, "retry_ns": between(now, again.at)}), again]

    def _told(self, node: Node, now: Instant) -> list[Effect]:
        before, self._wanted = self._wanted, node.spec.desired_role
        rotate = node.certificate.status.state is IssuanceState.ROTATE
        changed = self._wanted != before and self._differs()
        if self._held is None or not (rotate or changed):
            return []
        if self._asked:
            # What is on its way may have been signed before this was wished.
            self._wished = self._wished or rotate
            return []
        self._failures = 0
        return [SetTimer(_RENEW, after(now, SOON))]

    def _renew(self) -> list[Effect]:
        if self._asked or self._held is None:
            return []
        self._asked, self._wished = True, False
        return [CancelTimer(_RENEW), Renew()]

    def _warn(self, now: Instant) -> list[Effect]:
        if self._held is None:
            return []
        return [Record("certificate-expiring", {"left_ns": between(now, self._held.not_after)})]

    def _differs(self) -> bool:
        return self._held is not None and self._wanted is not None and self._wanted != self._held.role

    def _later(self, now: Instant) -> SetTimer:
        bound = min(BACKOFF_LONGEST, BACKOFF_FIRST * 2 ** min(self._failures, 20))
        self._failures += 1
        return SetTimer(_RENEW, after(now, self._rng.randrange(bound // 2, bound)))
