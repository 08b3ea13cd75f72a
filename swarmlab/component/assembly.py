"""The parts of one machine, and the way of their effects."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from swarmlab.api.moments import Instant
from swarmlab.component.component import Component
from swarmlab.component.effects import Effect, Tell
from swarmlab.component.events import Event

#: Carries out an effect of the component of that name. It may post events to the assembly; they queue up behind.
Port = Callable[[str, Effect], None]


class Assembly:
    """Components that run in one order on one thread, whichever world drives them.

    An event is handled to its end, all the effects it causes handed to the ports, before the next one starts. Events
    that arise meanwhile wait in a queue, so no component is ever entered twice at once and the order does not depend on
    the driver.

    `clock` is asked once per event. A component that raises is not caught here, and what was queued behind it is not
    handled any more: what decides must not go on half done, so the assembly takes no further event.
    """

    def __init__(
        self,
        components: Sequence[Component],
        ports: Mapping[type[Effect], Port],
        clock: Callable[[], Instant],
        *,
        observe: Callable[[str, Event, Instant], None] | None = None,
    ) -> None:
        self._components = {component.name: component for component in components}
        if len(self._components) != len(components):
            raise ValueError(f"two components of one name: {[component.name for component in components]}")
        self._ports = dict(ports)
        self._clock = clock
        self._observe = observe
        self._queue: deque[tuple[str | None, Event]] = deque()
        self._running = False
        self._broken: BaseException | None = None

    @property
    def names(self) -> Sequence[str]:
        """The components' names in the order in which they hear a broadcast."""
        return tuple(self._components)

    def post(self, component: str, event: Event) -> None:
        """Hand `event` to one component, now or after what is queued."""
        if component not in self._components:
            raise KeyError(f"no component {component!r} here; there are {', '.join(self._components)}")
        self._queue.append((component, event))
        self._drain()

    def broadcast(self, event: Event) -> None:
        """Hand `event` to every component in order, now or after what is queued."""
        self._queue.append((None, event))
        self._drain()

    def _drain(self) -> None:
        if self._broken is not None:
            raise RuntimeError("an earlier event was not handled to its end") from self._broken
        if self._running:
            return
        self._running = True
        try:
            while self._queue:
                self._handle(*self._queue.popleft())
        except BaseException as error:
            self._broken = error
            raise
        finally:
            self._running = False

    def _handle(self, name: str | None, event: Event) -> None:
        now = self._clock()
        for target in self._components if name is None else (name,):
            if self._observe is not None:
                self._observe(target, event, now)
            for effect in self._components[target].step(event, now):
                self._carry_out(target, effect)

    def _carry_out(self, source: str, effect: Effect) -> None:
        if isinstance(effect, Tell):
            self.post(effect.component, effect.event)
            return
        port = self._ports.get(type(effect))
        if port is None:
            raise LookupError(f"{source} gave {type(effect).__name__}, for which this assembly has no port")
        port(source, effect)
