"""How a part speaks.

Duty: the words between deciding parts and whatever drives them: Component, Event, Effect, and the Assembly that carries
effects out through ports.
Takes: events and the time.
Gives: effects, in order.
Never: waits, opens, sends, or reads a clock.
"""

from swarmlab.component.assembly import Assembly, Port
from swarmlab.component.component import Component, derived_rng
from swarmlab.component.effects import CancelTimer, Effect, Propose, Record, Send, SetTimer, Tell
from swarmlab.component.events import Disconnected, Event, Proposed, Received, TimerFired

__all__ = [
    "Assembly",
    "CancelTimer",
    "Component",
    "Disconnected",
    "Effect",
    "Event",
    "Port",
    "Propose",
    "Proposed",
    "Received",
    "Record",
    "Send",
    "SetTimer",
    "Tell",
    "TimerFired",
    "derived_rng",
]
