"""What a bench has its processes do: one line of JSON each way, an order and its answer, joined by a number."""

from collections.abc import Mapping
from typing import Any

import msgspec

from swarmlab.api import Value


class Join(Value, frozen=True, tag=True):
    """To workers: become nodes of the swarm of these managers; answered when all are."""

    addrs: tuple[str, ...]
    token: str


class AwaitNodes(Value, frozen=True, tag=True):
    """To a manager: answer once that many nodes are ready and none is anything else."""

    nodes: int


class AwaitVoters(Value, frozen=True, tag=True):
    """To a leader: answer once that many managers vote, and each is as far as the leader."""

    voters: int


class AwaitLead(Value, frozen=True, tag=True):
    """To a manager: answer with `at` once it leads."""


class FollowTasks(Value, frozen=True, tag=True):
    """To a manager: answer once that many tasks came to run, with when the last of them came to each state."""

    tasks: int


class Propose(Value, frozen=True, tag=True, kw_only=True):
    """To a leader: so many clients in its process, each of which proposes one small change after the other."""

    clients: int
    seconds: float


class Usage(Value, frozen=True, tag=True):
    """To anybody: processor time and memory so far."""


Order = Join | AwaitNodes | AwaitVoters | AwaitLead | FollowTasks | Propose | Usage


class Ordered(Value, frozen=True):
    """An order under way. Number 0 is nobody's: under it a process says that it is up."""

    number: int
    order: Order


class Answer(Value, frozen=True):
    """The end of an order: plain values, or why there are none."""

    number: int
    values: Mapping[str, Any] = {}
    error: str = ""


ENCODER = msgspec.json.Encoder()
ORDERED = msgspec.json.Decoder(Ordered)
ANSWER = msgspec.json.Decoder(Answer)
