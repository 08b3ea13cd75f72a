"""Why a task is where it is, or why it is nowhere yet."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from msgspec.structs import replace

from swarmlab.api import (
    Availability,
    Explanation,
    Instant,
    Node,
    NodeId,
    NodeState,
    NodeVerdict,
    NotFound,
    Service,
    Task,
    TaskId,
    TaskState,
    format_bytes,
    format_cpus,
    node_name,
)
from swarmlab.manager.orchestrator.moves import MOVE_REASON, MOVE_TO
from swarmlab.manager.scheduler import affinity, filters
from swarmlab.manager.scheduler.attributes import DRIVERS, PLATFORM, text_of
from swarmlab.manager.scheduler.demand import group_of_tasks
from swarmlab.manager.scheduler.journal import Ground, Judgement
from swarmlab.manager.scheduler.shortages import explained, shortages
from swarmlab.manager.scheduler.suggestions import failing, suggestions
from swarmlab.manager.scheduler.view import View
from swarmlab.plugin import Group, Ints, Proof, Refusals

#: Most nodes that an explanation goes through one by one.
NODES = 50


def explanation(task_id: TaskId, view: View, judgement: Judgement | None) -> Explanation:
    """What is known of the task: its last decision, and for one that waits what each node says to it now.

    Raises:
        NotFound: There is no such task in the view.
    """
    task = view.snapshot.task(task_id)
    if task is None:
        raise NotFound(f"task {task_id} not found")
    service = view.snapshot.service(task.service_id) if task.service_id else None
    if task.status.state > TaskState.RUNNING:
        about = _ended(task, view)
    elif task.status.state < TaskState.ASSIGNED:
        about = _pending(task, service, view)
    else:
        about = _placed(task, view, judgement)
    named = service.spec.annotations if service is not None else task.service_annotations
    decided = judgement if about.verdict != "ended" else None
    return replace(
        about,
        service_name=named.name,
        node_id=task.node_id,
        hostname=_hostname(view, task.node_id),
        strategy=decided.strategy if decided is not None else "",
        version=decided.version if decided is not None else 0,
        decided_at=decided.at if decided is not None else None,
        story=tuple(_story(task, view, judgement)),
    )


def _blank(task: Task, verdict: str, summary: str) -> Explanation:
    return Explanation(
        task_id=task.id,
        service_id=task.service_id,
        service_name="",
        state=task.status.state,
        desired_state=task.desired_state,
        verdict=verdict,
        summary=summary,
    )


def _ended(task: Task, view: View) -> Explanation:
    where = f" on {_hostname(view, task.node_id)}" if task.node_id else " before it had a node"
    why = task.status.err or task.status.message
    return _blank(task, "ended", f"ended as {task.status.state.name}{where}{f': {why}' if why else ''}")


def _pending(task: Task, service: Service | None, view: View) -> Explanation:
    if task.desired_state > TaskState.COMPLETE:
        return _blank(task, "pending", f"was told to stop ({task.desired_state.name}); no node is looked for")
    if task.status.state < TaskState.PENDING:
        why = f": {task.status.err}" if task.status.err else ""
        return _blank(task, "pending", f"waits for the allocator{why}; no node is looked for yet")
    if task.service_id and service is None:
        return _blank(task, "pending", "its service is gone; no node is looked for")
    group = view.know(group_of_tasks(f"explain:{task.id}", task, service, 1))
    refused = view.refusals(group)
    bound = task.node_id or NodeId(task.annotations.labels.get(MOVE_TO, ""))
    places: Ints = np.arange(len(view.nodes), dtype=np.int64)
    if bound:
        place = view.nodes.index(bound)
        places = np.array([] if place is None else [place], np.int64)
        refused = tuple(replace(refusal, mask=_only(refusal, places)) for refusal in refused)
    found = tuple(shortage for shortage in shortages(refused) if shortage.nodes)
    open_ = view.capacity(group)[places] > 0
    if open_.any():
        summary = f"waits for the next round; {int(open_.sum())} of {len(places)} nodes would take it now"
    else:
        summary = explained(found)
    order = np.concatenate((places[open_], places[~open_]))
    return replace(
        _blank(task, "pending", summary),
        shortages=found,
        nodes=tuple(_verdict(group, view, refused, place) for place in order[:NODES].tolist()),
        nodes_left_out=max(0, len(order) - NODES),
        suggestions=() if open_.any() else suggestions(group, view, refused),
    )


def _only(refusal: Refusals, places: Ints) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    mask = np.zeros(len(refusal.mask), np.bool_)
    mask[places] = refusal.mask[places]
    return mask


def _placed(task: Task, view: View, judgement: Judgement | None) -> Explanation:
    where = _hostname(view, task.node_id)
    if judgement is None or not judgement.placed:
        return _blank(task, "placed", f"on {where}; placed before this manager led, so the grounds are not known")
    reason = task.annotations.labels.get(MOVE_REASON)
    own = next((ground for ground in judgement.chosen if ground.node == task.node_id), None)
    grounds = f": {_in_words(own)}" if own is not None else ""
    if reason is not None and MOVE_TO in task.annotations.labels:
        summary = f"moved to {where}: {reason}"
    elif not judgement.strategy:
        summary = f"on {where}, the node that it was made for"
    else:
        many = f", one of {judgement.nodes} nodes that took {judgement.placed}" if judgement.placed > 1 else ""
        summary = f"{judgement.strategy} chose {where} of {judgement.suitable} that would do{many}{grounds}"
    if judgement.next_best:
        best = judgement.next_best[0]
        summary += f"; next best {_hostname(view, best.node)}: {_in_words(best)}"
    if judgement.proof is not None:
        summary += f"; {_proven(judgement.proof)}"
    chosen = sorted(judgement.chosen, key=lambda ground: (ground.node != task.node_id, -ground.placed, ground.node))
    told = [*chosen, *judgement.next_best]
    return replace(
        _blank(task, "placed", summary),
        shortages=judgement.shortages,
        nodes=tuple(
            NodeVerdict(
                node_id=ground.node,
                hostname=_hostname(view, ground.node),
                scores=dict(ground.scores),
                placed=ground.placed,
            )
            for ground in told
        ),
        nodes_left_out=max(0, judgement.nodes - len(judgement.chosen)),
    )


def _proven(proof: Proof) -> str:
    """How good the plan was, in words."""
    if proof.outcome == "greedy":
        return f"the greedy plan: {proof.why}"
    found = f"the {'best' if proof.outcome == 'optimal' else 'best known'} plan: {proof.goal} {proof.value:g}"
    if proof.regret:
        found += f", greedy {proof.start:g}"
    return found if proof.gap is None else f"{found}, bound {proof.bound:g}, gap {proof.gap:.1%}"


def _in_words(ground: Ground) -> str:
    scores = "".join(f", {scorer} {value:g}" for scorer, value in ground.scores)
    failures = f", {ground.failures} recent failures" if ground.failures else ""
    return f"it had {ground.own} of the service, {ground.tasks} in all{failures}{scores}"


def _verdict(group: Group, view: View, refused: Sequence[Refusals], place: int) -> NodeVerdict:
    node = view.snapshot.node(view.nodes.ids[place])
    assert node is not None, "every place of the table is a node of the view"
    reasons: dict[str, list[str]] = {}
    for refusal in refused:
        if refusal.mask[place]:
            reasons.setdefault(refusal.plugin, []).append(_detail(refusal, group, view, node, place))
    return NodeVerdict(
        node_id=node.id,
        hostname=node_name(node),
        refusals={plugin: "; ".join(texts) for plugin, texts in reasons.items()},
        scores={part.plugin: round(float(part.weight * part.values[place]), 6) for part in view.score_parts(group)}
        if not reasons
        else {},
    )


def _detail(refusal: Refusals, group: Group, view: View, node: Node, place: int) -> str:
    """One refusal, said of one node."""
    match refusal.plugin:
        case filters.READY:
            if node.status.state != NodeState.READY:
                return f"is {node.status.state.name}"
            return "is paused" if node.spec.availability == Availability.PAUSE else "is drained"
        case filters.CONSTRAINTS:
            return "; ".join(f"{item} does not hold" for item in failing(group.constraints, node))
        case filters.PLATFORMS:
            return f"is {text_of(node, PLATFORM).replace(chr(10), '/') or 'of an unknown platform'}"
        case filters.DRIVER:
            has = text_of(node, DRIVERS).split("\n")
            return "lacks " + ", ".join(f"{kind} {name}" for kind, name in group.drivers if f"{kind} {name}" not in has)
        case filters.HOST_PORTS:
            taken = [port for port in group.host_ports if view.table.port_users(port)[place]]
            return "in use: " + ", ".join(f"{port}/{protocol}" for protocol, port in taken)
        case filters.MAX_REPLICAS:
            return f"has {int(view.nodes.tasks_of(group.service)[place])} of at most {group.max_replicas}"
    if refusal.need is None or refusal.have is None:
        return refusal.reason
    need, have = int(refusal.need[place]), int(refusal.have[place])
    if refusal.unit in (affinity.ALLOWED, affinity.WANTED):
        return f"{refusal.reason} (has {have}, {'at most' if refusal.unit == affinity.ALLOWED else 'at least'} {need})"
    if refusal.unit == "nano-CPUs":
        return f"needs {format_cpus(need)} CPUs, has {format_cpus(have)} free"
    if refusal.unit == "bytes":
        return f"needs {format_bytes(need)} of memory, has {format_bytes(have)} free"
    return f"needs {need} {refusal.unit}, has {have} free".replace("  ", " ")


def _story(task: Task, view: View, judgement: Judgement | None) -> list[str]:
    told = []
    if task.meta.created_at is not None:
        told.append(f"{_at(task.meta.created_at)} created for {task.service_annotations.name or 'no service'}")
    if judgement is not None and judgement.placed and task.node_id:
        by = f" by {judgement.strategy}" if judgement.strategy else ""
        told.append(
            f"{_at(judgement.at)} ASSIGNED to {_hostname(view, task.node_id)}{by}, on version {judgement.version}"
        )
    status = task.status
    if status.timestamp is not None and status.state != TaskState.ASSIGNED:
        words = ": ".join(text for text in (status.message, status.err) if text)
        told.append(f"{_at(status.timestamp)} {status.state.name}{f' {words}' if words else ''}")
    return told


def _at(instant: Instant) -> str:
    moment = datetime.fromtimestamp(instant // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{instant % 1_000_000_000 // 1_000_000:03}Z"


def _hostname(view: View, node_id: NodeId) -> str:
    node = view.snapshot.node(node_id) if node_id else None
    return (node_name(node) if node is not None else "") or node_id
