"""What each hook was asked and said, while a small cluster is placed and rebalanced."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from swarmlab.api import TaskState, Value
from swarmlab.plugin import Group, Host, Moves, Plan, Refusals, Scores, Trigger
from swarmlab.testing.cases import Case, Machine, Wanted
from swarmlab.testing.drawing import drawn

#: Three equal nodes, one service with a task running and one that is new.
SMALL = Case((Machine(),) * 3, (Wanted(count=2, running=(1,), cpus=1), Wanted(count=1, memory_mib=512)))


class Call(Value, frozen=True, kw_only=True):
    """One plugin's answer to one hook."""

    hook: str
    plugin: str
    #: The group that it was asked about, "" where it was none.
    about: str = ""
    answer: str


def calls(
    strategy: str, plugins: Sequence[str] = (), parameters: Mapping[str, Any] | None = None, *, seed: int | None = None
) -> list[Call]:
    """All calls, in order, on `SMALL`, or on a cluster drawn with `seed`.

    Raises as `Host.load`, and PluginError where an answer breaks the contract.
    """
    heard: list[Call] = []

    def listen(hook: str, plugin: str, asked: Mapping[str, Any], answer: object) -> None:
        about = asked.get("group")
        name = about.id if isinstance(about, Group) else ""
        heard.append(Call(hook=hook, plugin=plugin, about=name, answer=said(answer)))

    host = Host.load(strategy, plugins, parameters, strict=True)
    host.listen = listen
    case = SMALL if seed is None else drawn(random.Random(seed))
    desk = case.desk(host)
    for task in list(desk.view.tasks()):
        if task.status.state == TaskState.ASSIGNED:
            desk.report(task.id, TaskState.RUNNING)
    host.rebalance(desk.seen(host), Trigger("manual"))
    return heard


def said(answer: object) -> str:
    """An answer in one line: of arrays only what matters."""
    if isinstance(answer, Scores):
        return f"scores {np.round(answer.values, 4).tolist()} weight {answer.weight:g}"
    if isinstance(answer, Refusals):
        return f"refuses {np.flatnonzero(answer.mask).tolist()}: {answer.reason}"
    if isinstance(answer, Plan):
        return (
            "; ".join(
                f"{placement.group}: {dict(zip(placement.nodes.tolist(), placement.counts.tolist(), strict=True))}"
                for placement in answer.placements
            )
            or "places nothing"
        )
    if isinstance(answer, Moves):
        return "; ".join(f"{move.task} to {move.to}: {move.reason}" for move in answer.moves) or "moves nothing"
    if isinstance(answer, list | tuple):
        return "; ".join(map(said, answer)) or "nothing"
    return "nothing" if answer is None else str(answer)
