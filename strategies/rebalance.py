"""Places as spread does, and moves running tasks back into balance with the fewest moves."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from swarmlab.plugin import (
    SECOND,
    ClusterView,
    Flags,
    Group,
    Ints,
    Kept,
    Move,
    Moves,
    NodeTable,
    Placement,
    Refusals,
    ServiceId,
    ServiceView,
    TaskId,
    TaskState,
    TaskView,
    Trigger,
)

from .balance import Stand, balanced, gaps, moves_between
from .spread import Spread

#: Label of a service that says whether its tasks may be moved: `auto` (the default here), `plan`, `never`.
POLICY = "swarmlab.rebalance"
#: Filters that refuse a node for lack of room, not for what it is.
ROOM_FILTERS = frozenset({"resources", "host-ports", "max-replicas"})
#: {unit of refusals: (how many of them make one of what people read, its name)}
UNITS = {"nano-CPUs": (10**9, "CPUs"), "bytes": (2**20, "MiB")}
#: What can be spread over; other preferences have no effect.
LABELS = ("node.labels.", "engine.labels.")
#: Times that services without enough room are looked at again, after others have made room for them.
PASSES = 8


class Rebalance(Spread):
    """Spread, and on a trigger the fewest moves that bring the tasks of each service level again.

    A service is in play when it is replicated with two replicas or more and its label does not forbid it. Its tasks are
    levelled over the nodes that can take them, as spread would have placed them: over domains first where it has
    preferences, then over nodes, to a difference of one at most where there is room. Which node keeps one task more is
    chosen so that nothing moves needlessly, and among equals for the node with fewer tasks in all. A node that takes no
    new tasks (paused, drained, down) keeps what it has. Of a crowded node's tasks the newest move: they lose least.

    Moves are ordered so that each fits, with the old task still in its place, once those before it are done; what
    cannot be done in any order is reported with the reason.

    Args:
        min_age_seconds: Younger tasks stay; 0 for none.
        local_volumes: Move tasks with volumes that live on their node, too.
    """

    name = "rebalance"

    def __init__(self, min_age_seconds: float = 0.0, local_volumes: bool = False) -> None:
        super().__init__()
        self._min_age = round(min_age_seconds * SECOND)
        self._local_volumes = local_volumes

    def rebalance(self, view: ClusterView, trigger: Trigger) -> Moves:
        """The moves that bring every service in play as near to balance as room allows; none from there on.

        Mostly one round finds them all. When services block each other's way, as when two would have to change places
        without any room to spare, another round looks for what can be done instead.
        """
        before: dict[ServiceId, _Draft] = {}
        moves: tuple[Move, ...] = ()
        state = view
        while True:
            drafts = self._drafts(view, state, trigger, frozenset(move.task for move in moves))
            for draft in drafts:
                before.setdefault(draft.service.id, draft)
            further = _ordered(view, state, moves, drafts)
            moves += further
            if further:
                state = view.after(Moves(moves=moves))
            if not further or not any(draft.steps for draft in drafts):
                break
        reasons = ((draft.service.id, draft.reason(state)) for draft in drafts)
        after = {service: state.nodes.tasks_of(service).astype(np.int64) for service in before}
        return Moves(
            moves=moves,
            kept=tuple(Kept(service, reason) for service, reason in reasons if reason),
            imbalance_before=float(sum(sum(draft.gaps(draft.stand.have)) for draft in before.values())),
            imbalance_after=float(sum(sum(draft.gaps(after[service])) for service, draft in before.items())),
            bound=sum(moves_between(draft.stand.have, after[service]) for service, draft in before.items()),
        )

    def _drafts(
        self, view: ClusterView, state: ClusterView, trigger: Trigger, moved: frozenset[TaskId]
    ) -> list["_Draft"]:
        """What is to become of the services that are not level in `state`: `view` with the tasks in `moved` moved."""
        drafts: list[_Draft] = []
        branch = state
        for service in view.services.values():
            if service.mode != "replicated" or service.replicas < 2 or _is_level(state, service.id):
                continue
            draft = self._draft(view, state, branch, service, moved)
            draft.forbid(_objection(service, trigger))
            drafts.append(draft)
            if draft.steps:
                branch = branch.after(draft.moves(view.nodes))
        _look_again(state, branch, drafts)
        return drafts

    def _draft(
        self,
        view: ClusterView,
        state: ClusterView,
        branch: ClusterView,
        service: ServiceView,
        moved: frozenset[TaskId],
    ) -> "_Draft":
        """How the service stands in `state`, with the room that `branch` leaves."""
        nodes = view.nodes
        active = [task for task in view.tasks_of(service.id) if task.active]
        group = view.group_of(service.id, max(1, len(active)))
        movable: dict[int, list[TaskView]] = {}
        for task in sorted(active, key=lambda task: (task.age, task.id)):
            at = nodes.index(task.node_id)
            if at is not None and nodes.ready[at] and task.id not in moved and self._may_move(task):
                movable.setdefault(at, []).append(task)
        have = state.nodes.tasks_of(service.id).astype(np.int64)
        low = have.copy()
        for at, tasks in movable.items():
            low[at] -= len(tasks)
        stand = Stand(
            have=have,
            low=low,
            high=_high(branch, group),
            others=(branch.nodes.tasks - branch.nodes.tasks_of(service.id)).astype(np.int64),
            levels=tuple(nodes.domain(key)[0] for key in group.preferences if key.lower().startswith(LABELS)),
        )
        return _Draft(service, group, stand, movable, nodes.ready, [task.slot for task in active])

    def _may_move(self, task: TaskView) -> bool:
        return (
            task.state == TaskState.RUNNING
            and task.desired_state == TaskState.RUNNING
            and task.age >= self._min_age
            and (self._local_volumes or not task.local_volumes)
        )


class _Step(NamedTuple):
    """One task from one node to another, as places in the node table."""

    source: int
    target: int


class _Draft:
    """What is to become of one service."""

    def __init__(
        self,
        service: ServiceView,
        group: Group,
        stand: Stand,
        movable: dict[int, list[TaskView]],
        ready: Flags,
        slots: Sequence[int],
    ) -> None:
        self.service = service
        self.group = group
        #: Where its tasks are after the steps that found their place in the order.
        self.reached = stand.have.copy()
        #: Tasks that may leave each node, the newest first.
        self._movable = movable
        self._ready = ready
        #: Tasks that have no node yet. They can go wherever a moved one could, and they go first.
        self._missing = max(0, service.replicas - len(set(slots)))
        self._doubled = len(slots) > len(set(slots))
        self._why = ""
        self.aim(stand)

    def aim(self, stand: Stand) -> None:
        """Find the numbers of tasks that the nodes should have, and the steps to there."""
        self.stand = stand
        self.steps = _steps(stand.have, balanced(stand, self._missing))

    def forbid(self, why: str) -> None:
        """Leave all tasks where they are, if there is a reason to."""
        why = why or ("one of its tasks is being replaced" if self._doubled else "")
        if why and self.steps:
            self._why, self.steps = why, []

    @property
    def forbidden(self) -> bool:
        return bool(self._why)

    def moves(self, nodes: NodeTable) -> Moves:
        """The wishes for all steps."""
        return Moves(moves=tuple(self._wishes(nodes, self.steps, self.stand.have.copy(), ())))

    def is_settled(self, branch: ClusterView) -> bool:
        """Whether no step would be made from where `branch` has the tasks."""
        now = branch.nodes.tasks_of(self.service.id).astype(np.int64)
        stand = self.stand._replace(have=now, low=np.minimum(self.stand.low, now), high=_high(branch, self.group))
        return not moves_between(now, balanced(stand, self._missing))

    def take(self, view: ClusterView, branch: ClusterView) -> tuple[tuple[Move, ...], Placement]:
        """The steps for which `branch` has room now, as moves and as what they add; the others are left."""
        room = branch.capacity(self.group)
        taken: list[_Step] = []
        left: list[_Step] = []
        added = np.zeros(len(room), np.int64)
        for step in self.steps:
            fits = added[step.target] < room[step.target]
            (taken if fits else left).append(step)
            added[step.target] += fits
        self.steps = left
        names = view.nodes.hostnames if taken else ()
        return tuple(self._wishes(view.nodes, taken, self.reached, names)), Placement.of(self.group.id, added)

    def gaps(self, numbers: Ints, usable: Flags | None = None) -> list[int]:
        """The largest differences between siblings, level by level."""
        if usable is None:
            usable = self._ready & (self.stand.high > 0)
        return gaps(numbers, usable, self.stand.levels)

    def reason(self, final: ClusterView) -> str:
        """Why the service is not balanced in `final`, after all moves; nothing where it is."""
        if self._why:
            return self._why
        nodes = final.nodes
        if self.steps:
            names = nodes.hostnames
            targets = _listed(names[at] for at in sorted({step.target for step in self.steps}))
            return f"{_counted(len(self.steps), 'move')} would find no room on {targets} before other tasks have left"
        refusals = final.refusals(self.group)
        short = np.zeros(len(nodes), np.bool_)
        unfit = np.zeros(len(nodes), np.bool_)
        for refusal in refusals:
            (short if refusal.plugin in ROOM_FILTERS else unfit)[refusal.mask] = True
        suited = self._ready & ((self.reached > 0) | (self.stand.high > 0) | ((short | nodes.suspect) & ~unfit))
        if max(self.gaps(self.reached, suited), default=0) <= 1:
            return ""
        full = suited & (self.reached >= _high(final, self.group)) & (self.reached < self.reached[suited].max())
        texts = [text for text in (_shortage(refusal, full, nodes) for refusal in refusals) if text]
        suspects = np.flatnonzero(full & nodes.suspect).tolist()
        if suspects:
            were = "was" if len(suspects) == 1 else "were"
            texts.append(f"{_listed(nodes.hostnames[at] for at in suspects)} {were} lost several times lately")
        if self._missing:
            texts.append(f"{_counted(self._missing, 'task')} without a node yet")
        return "; ".join(texts) or "its tasks may not be moved now: too young, not running, or with local volumes"

    def _wishes(self, nodes: NodeTable, steps: Sequence[_Step], now: Ints, names: Sequence[str]) -> Iterator[Move]:
        """The moves for `steps`; `now` has the tasks of each node before them, and after. Without names, no reasons."""
        ids = nodes.ids
        for source, target in steps:
            gone = int(self.stand.have[source] - now[source])
            task = self._movable[source][gone]
            reason = ""
            if names:
                has = f"{names[source]} has {_counted(int(now[source]), 'task')} of {self.service.name}"
                reason = f"{has}, {names[target]} has {int(now[target])}"
            now[source] -= 1
            now[target] += 1
            yield Move(task.id, ids[target], reason)


def _objection(service: ServiceView, trigger: Trigger) -> str:
    """Why the tasks of the service must not be moved now."""
    policy = service.labels.get(POLICY, "auto")
    if policy == "never":
        return f"it says {POLICY}=never"
    if policy == "plan" and trigger.kind != "manual":
        return f"it says {POLICY}=plan: its tasks are moved on demand alone"
    return ""


def _is_level(view: ClusterView, service: ServiceId) -> bool:
    """Whether nothing can be to do, as a quick look tells: no preferences, and a difference of one at most."""
    numbers = view.nodes.tasks_of(service)[view.nodes.ready]
    if not len(numbers):
        return True
    return int(numbers.max() - numbers.min()) <= 1 and not view.group_of(service).preferences


def _high(branch: ClusterView, group: Group) -> Ints:
    """The most tasks of the group that each node could have: those that it has, and what it could take on top.

    A suspect node takes nothing, and so does one that takes no new tasks.
    """
    nodes = branch.nodes
    room = np.where(nodes.ready & ~nodes.suspect, branch.capacity(group), 0)
    return nodes.tasks_of(group.service).astype(np.int64) + room


def _steps(have: Ints, numbers: Ints) -> list[_Step]:
    """One task at a time from the fullest node above its number to the emptiest below; ties to the lower place."""
    sources = [(-int(have[at]), at) for at in np.flatnonzero(have > numbers).tolist()]
    targets = [(int(have[at]), at) for at in np.flatnonzero(have < numbers).tolist()]
    heapq.heapify(sources)
    heapq.heapify(targets)
    steps = []
    while sources:
        most, source = sources[0]
        least, target = targets[0]
        steps.append(_Step(source, target))
        if -most - 1 > numbers[source]:
            heapq.heapreplace(sources, (most + 1, source))
        else:
            heapq.heappop(sources)
        if least + 1 < numbers[target]:
            heapq.heapreplace(targets, (least + 1, target))
        else:
            heapq.heappop(targets)
    return steps


def _look_again(state: ClusterView, branch: ClusterView, drafts: Sequence[_Draft]) -> None:
    """Aim anew where the moves of other services made room.

    Every service aims from where its tasks are now, so that none moves twice. `branch` is `state` with all steps made.
    """
    for _ in range(PASSES):
        settled = True
        for draft in drafts:
            if draft.forbidden or draft.is_settled(branch):
                continue
            settled = False
            draft.aim(draft.stand._replace(high=np.maximum(draft.stand.have, _high(branch, draft.group))))
            every = tuple(move for each in drafts for move in each.moves(state.nodes).moves)
            branch = state.after(Moves(moves=every))
        if settled:
            return


def _ordered(
    view: ClusterView, state: ClusterView, moves: tuple[Move, ...], drafts: Sequence[_Draft]
) -> tuple[Move, ...]:
    """The moves of all drafts, each with room when those before it are done; the drafts keep the steps without any.

    A wave holds what fits while no task of it has left its old node; the next wave counts on the one before. `state` is
    `view` after `moves`.
    """
    done: list[Move] = []
    branch = state
    waiting = [draft for draft in drafts if draft.steps]
    while waiting:
        before = len(done)
        for draft in waiting:
            taken, added = draft.take(view, branch)
            if taken:
                done += taken
                branch = branch.after(added)
        waiting = [draft for draft in waiting if draft.steps]
        if len(done) == before:
            break
        branch = view.after(Moves(moves=(*moves, *done)))
    return tuple(done)


def _shortage(refusal: Refusals, among: Flags, nodes: NodeTable) -> str:
    """Why some of the nodes `among` took no more, with the first of them as the example; nothing for none."""
    refused = np.flatnonzero(refusal.mask & among)
    if not len(refused):
        return ""
    text = f"{refusal.reason} on {_counted(len(refused), 'node')}"
    if refusal.need is None or refusal.have is None:
        return text
    at = int(refused[0])
    have, need = (max(0, int(amounts[at])) for amounts in (refusal.have, refusal.need))
    divisor, unit = UNITS.get(refusal.unit, (1, refusal.unit))
    return f"{text} ({nodes.hostnames[at]} has {have / divisor:g} of {need / divisor:g} {unit})"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _listed(names: Iterable[str]) -> str:
    """At most three names, and how many more."""
    every = list(names)
    more = len(every) - 3
    return ", ".join(every[:3]) + (f" and {more} more" if more > 0 else "")
