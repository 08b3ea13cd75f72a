"""Whether each move that a strategy wants can be made now."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np

from swarmlab.api import Instant, NodeId, Service, ServiceId
from swarmlab.manager.orchestrator.charge import Charges
from swarmlab.manager.orchestrator.moves import objection
from swarmlab.manager.orchestrator.slots import SlotKey, tasks_at
from swarmlab.plugin import ClusterView, Group, Move, Placement, Trigger
from swarmlab.store import Snapshot

#: Label of a service that says whether its tasks may be moved: `auto`, `plan` (on demand alone), `never`.
POLICY = "swarmlab.rebalance"


class Refusal(NamedTuple):
    """A move that is not made, and why."""

    move: Move
    service: ServiceId
    why: str


class Vetted(NamedTuple):
    """A plan, parted into what is made now and what is not."""

    moves: tuple[Move, ...]
    refused: tuple[Refusal, ...]


def vetted(
    moves: Iterable[Move],
    snapshot: Snapshot,
    view: ClusterView,
    trigger: Trigger,
    flapping: Collection[NodeId],
    now: Instant,
) -> Vetted:
    """Check the moves in their order against the cluster as it is.

    All that pass are made at once, so a move counts on nothing that another one frees: every new task must find room
    while every old one is still there. What has to wait for that is refused for now.
    """
    replicated = [service.id for service in snapshot.services() if service.spec.replicated is not None]
    charges = Charges(snapshot, frozenset(replicated), now)
    taken: list[Move] = []
    refused: list[Refusal] = []
    branch = view
    for move in moves:
        task = snapshot.task(move.task)
        service = snapshot.service(task.service_id) if task is not None else None
        slot = tasks_at(snapshot, SlotKey(task.service_id, task.slot)) if task is not None else ()
        charge = charges.get(service.id) if service is not None else None
        why = objection(move, slot, charge, snapshot) or _policy(service, trigger)
        if not why and move.to in flapping:
            why = "the target comes and goes"
        if not why and service is not None:
            group = view.group_of(service.id)
            why = _lack(branch, group, move.to)
            if not why:
                branch = branch.after(_one(view, group, move.to))
        if why:
            refused.append(Refusal(move, service.id if service is not None else ServiceId(""), why))
        else:
            taken.append(move)
    return Vetted(tuple(taken), tuple(refused))


def is_in_play(service: Service, trigger: Trigger) -> bool:
    """Whether the tasks of the service may be moved at all on such a trigger."""
    return not _policy(service, trigger)


def _policy(service: Service | None, trigger: Trigger) -> str:
    """Why the service keeps its tasks where they are."""
    if service is None or service.spec.replicated is None:
        return "only tasks of replicated services are moved"
    if service.spec.replicated.replicas < 2:
        return "the service has one replica"
    policy = service.spec.annotations.labels.get(POLICY, "auto")
    if policy == "never" or (policy == "plan" and trigger.kind != "manual"):
        return f"the service says {POLICY}={policy}"
    return ""


def _lack(branch: ClusterView, group: Group, node: NodeId) -> str:
    """Why the node cannot take a task of the group now."""
    at = branch.nodes.index(node)
    if at is None:
        return "the target is gone"
    if branch.capacity(group)[at] > 0:
        return ""
    reasons = [refusal.reason for refusal in branch.refusals(group) if refusal.mask[at]]
    return f"the target cannot take it now: {', '.join(dict.fromkeys(reasons)) or 'no room'}"


def _one(view: ClusterView, group: Group, node: NodeId) -> Placement:
    at = view.nodes.index(node)
    assert at is not None
    return Placement(group.id, np.array([at], np.int64), np.array([1], np.int64))
