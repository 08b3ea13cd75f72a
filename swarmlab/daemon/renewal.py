"""Renews the certificate of a node: timers and calls for the deciding part."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Self

from msgspec.structs import replace

from swarmlab.api import Certificate, InvalidSpec, IssuanceState, IssuanceStatus, Node, SwarmlabError
from swarmlab.ca.renewal import NodeTold, Renew, Renewal, RenewalFailed, Renewed
from swarmlab.component import Assembly, CancelTimer, Event, Record, SetTimer, TimerFired
from swarmlab.daemon.surroundings import Surroundings
from swarmlab.edges.driver import LoopTimers
from swarmlab.edges.tls.credentials import Credentials
from swarmlab.edges.tls.joining import renew
from swarmlab.edges.tls.security import Security
from swarmlab.node.ports import effect_port


class Renewing:
    """Sees to it that the node's certificate is renewed in time, and when the managers want it.

    As a context: entered, it begins with the certificate that the node has; left, what is on its way is given up.

    Args:
        security: The certificate, as it is at any time.
        around: Clock, records and supervision of the process.
        addresses: host:port of the managers that are known.
        take: Uses and keeps the new credentials.
        last_resort: Credentials that this node can make itself, or None; asked when the certificate has expired, since
            no manager takes it any more then.
    """

    def __init__(
        self,
        security: Security,
        around: Surroundings,
        addresses: Callable[[], Sequence[str]],
        take: Callable[[Credentials], None],
        last_resort: Callable[[], Credentials | None],
    ) -> None:
        self._security = security
        self._around = around
        self._addresses = addresses
        self._take = take
        self._last_resort = last_resort
        self._timers = LoopTimers(around.clock, around.alarm.guard(lambda owner, name: self._fire(owner, name)))
        self._core = Renewal(random.SystemRandom())
        self._told: Node | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._assembly = Assembly(
            [self._core],
            dict(
                [
                    effect_port(SetTimer, lambda source, effect: self._timers.set(source, effect.name, effect.at)),
                    effect_port(CancelTimer, lambda source, effect: self._timers.cancel(source, effect.name)),
                    effect_port(Record, lambda source, effect: around.record(source, effect.name, effect.fields)),
                    effect_port(Renew, lambda *_: self._begin()),
                ]
            ),
            around.clock,
        )

    async def __aenter__(self) -> Self:
        self._post(self._held())
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._timers.close()
        for call in tuple(self._calls):
            call.cancel()
        if self._calls:
            await asyncio.wait(self._calls)

    def told(self, node: Node) -> None:
        """A manager sent this node its object."""
        self._told = node
        self._post(NodeTold(node))

    def soon(self) -> None:
        """Renew without waiting for the time of it."""
        if self._told is not None:
            status = IssuanceStatus(IssuanceState.ROTATE)
            certificate: Certificate = replace(self._told.certificate, status=status)
            self._post(NodeTold(replace(self._told, certificate=certificate)))

    def _fire(self, owner: str, name: str) -> None:
        assert owner == self._core.name, "there is one part here"
        self._post(TimerFired(name))

    def _post(self, event: Event) -> None:
        self._assembly.post(self._core.name, event)

    def _held(self) -> Renewed:
        start, end = self._security.credentials.validity()
        return Renewed(role=self._security.identity.role, not_before=start, not_after=end)

    def _begin(self) -> None:
        call = self._around.group.create_task(self._renew(), name="renewal")
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _renew(self) -> None:
        try:
            self._take(await self._fresh())
        except SwarmlabError as error:
            self._post(RenewalFailed(str(error)))
        else:
            self._post(self._held())

    async def _fresh(self) -> Credentials:
        present = self._security.credentials
        try:
            present.check(self._around.clock())
        except InvalidSpec:
            own = self._last_resort()
            if own is not None:
                return own
        return await renew(self._addresses(), present, now=self._around.clock)
