"""A worker: the agent core between a wire and an executor."""

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from swarmlab.agent import Agent
from swarmlab.agent.exec import Configure, Describe, Execute, Interrupt, Kept, Persist, Restored, Retire
from swarmlab.api import NodeId, Value
from swarmlab.component import (
    Assembly,
    CancelTimer,
    Disconnected,
    Event,
    Received,
    Record,
    Send,
    SetTimer,
    TimerFired,
    derived_rng,
)
from swarmlab.node.ports import Ports, effect_port

#: The agent's address for whichever manager it talks to.
MANAGER = "manager"


class WorkerConfig(Value, frozen=True, kw_only=True):
    """Who a worker is."""

    node_id: NodeId
    hostname: str
    #: All chance of the agent derives from it and the node's id.
    seed: int = 0


class WorkerPorts(NamedTuple):
    """What a worker needs beside `Ports`: its executor, its disk, and what to do once it left."""

    execute: Callable[[Execute], None]
    interrupt: Callable[[Interrupt], None]
    describe: Callable[[], None]
    configure: Callable[[Configure], None]
    persist: Callable[[Persist], None]
    retire: Callable[[], None]


class Worker:
    """The machine of one worker, for one life: a worker that comes back is a new one that restores its records."""

    def __init__(self, config: WorkerConfig, ports: Ports, worker_ports: WorkerPorts) -> None:
        timers = ports.timers(lambda _, timer: self.post(TimerFired(timer)))
        rng: random.Random = derived_rng(config.seed, f"agent/{config.node_id}")
        self._agent = Agent(config.hostname, rng, node_id=config.node_id)
        self._assembly = Assembly(
            [self._agent],
            dict(
                [
                    effect_port(SetTimer, lambda source, effect: timers.set(source, effect.name, effect.at)),
                    effect_port(CancelTimer, lambda source, effect: timers.cancel(source, effect.name)),
                    effect_port(Send, lambda _, effect: ports.send(effect.to, effect.message, effect.call)),
                    effect_port(Record, lambda source, effect: ports.record(source, effect.name, effect.fields)),
                    effect_port(Execute, lambda _, effect: worker_ports.execute(effect)),
                    effect_port(Interrupt, lambda _, effect: worker_ports.interrupt(effect)),
                    effect_port(Describe, lambda *_: worker_ports.describe()),
                    effect_port(Configure, lambda _, effect: worker_ports.configure(effect)),
                    effect_port(Persist, lambda _, effect: worker_ports.persist(effect)),
                    effect_port(Retire, lambda *_: worker_ports.retire()),
                ]
            ),
            ports.clock,
        )

    def start(self, kept: Sequence[Kept] = ()) -> None:
        """Begin this life with the records of the last one."""
        self.post(Restored(tuple(kept)))

    def post(self, event: Event) -> None:
        """Hand the agent an event: `Executed`, `Described`, `Leaving`."""
        self._assembly.post(self._agent.name, event)

    def receive(self, message: Any, call: int) -> None:
        """Take a message of the manager."""
        self.post(Received(MANAGER, message, call))

    def disconnected(self) -> None:
        """The connection to the manager is gone."""
        self.post(Disconnected(MANAGER))
