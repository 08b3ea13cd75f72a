"""What `optimal` minimises, and a batch of groups as a problem over classes of equal nodes.

Nodes are equal when every rule and goal sees them alike: the same free resources, tasks, tasks of the services, room
for each group, domains and scores. Of each class no more nodes are kept than there are tasks to place, so a problem
grows with the batch and with how varied the nodes are, not with how many there are.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from swarmlab.plugin import ClusterView, Floats, Group, Ints, Placement, Plan, levelled

from .cpsat import value_of
from .shares import FAILURES, columns

#: What can be minimised once as many tasks as possible are placed: {name: in words}.
OBJECTIVES = {
    "spread": "sum over nodes of (tasks^2 + sum over the batch's services of (tasks of it)^2)",
    "pack": "nodes in use",
    "load": "sum over nodes of used(cpu)^2 + used(memory)^2, in thousandths of the node",
}
#: Scores count in thousandths: a score of 1 weighs as much as one unit of the objective.
SCORE = 1000
#: What can be spread over; other preferences have no effect.
LABELS = ("node.labels.", "engine.labels.")

Goal = dict[str, Any]


class Problem:
    """A batch of groups on one view."""

    def __init__(self, groups: Sequence[Group], view: ClusterView, objective: str, strategy: str) -> None:
        """`strategy`: the one whose own scores do not count; those of the score plugins do."""
        self.groups = groups
        self._view = view
        self._nodes = view.nodes
        self._room = np.array([view.capacity(group) for group in groups], np.int64).reshape(len(groups), -1)
        self._kinds = sorted({kind for group in groups for kind, _, _, need in columns(group, self._nodes) if need > 0})
        self._own = {
            group.service: self._nodes.tasks_of(group.service).astype(np.int64) for group in groups if group.service
        }
        self._tasks = self._nodes.tasks.astype(np.int64)
        self._faulty = np.array([self._nodes.failures_of(group) >= FAILURES for group in groups])
        self._scores = [self._plugin_scores(group, strategy) for group in groups]
        self._load = self._loads() if objective == "load" else []
        self._choose_places()
        #: Numbers of tasks that are free to choose: one for each group and place with room.
        self.cells = int(np.count_nonzero(self._room[:, self.places])) if len(groups) else 0
        self.scale = SCORE if any(scores.any() for scores in self._scores) else 1
        self._objective = objective

    @cached_property
    def goals(self) -> list[Goal]:
        """What is minimised, the most important first."""
        return [*self._goals(self._objective)]

    def counts_of(self, plan: Plan) -> list[list[int]]:
        """The numbers of a plan: one row per group, one column per place."""
        every = np.zeros(self._room.shape, np.int64)
        at = {group.id: number for number, group in enumerate(self.groups)}
        for placement in plan.placements:
            every[at[placement.group], placement.nodes] += placement.counts
        total = every.sum(axis=0)
        counts = np.zeros((len(self.groups), len(self.places)), np.int64)
        for members, chain in zip(self._members, self.chains, strict=True):
            fullest = members[np.lexsort((members, -total[members]))][: len(chain)]
            counts[:, chain] = every[:, fullest]
        rows: list[list[int]] = counts.tolist()
        return rows

    def plan_of(self, counts: Sequence[Sequence[int]]) -> Plan:
        """The plan with these numbers."""
        placements = []
        for group, row in zip(self.groups, counts, strict=True):
            every = np.zeros(self._room.shape[1], np.int64)
            every[self.places] = row
            if every.any():
                placements.append(Placement.of(group.id, every))
        return Plan(tuple(placements))

    def values(self, counts: Sequence[Sequence[int]]) -> list[int]:
        """What the numbers are worth for each goal."""
        return [value_of(goal, counts) for goal in self.goals]

    def with_bounds(self, placed: bool) -> list[Goal]:
        """The goals, with the least value that the last one can have as far as plain arithmetic tells.

        `placed`: every task is known to find a node, so that goals before the last one leave no task out.
        """
        *others, last = self.goals
        if not placed or self.scale != 1 or not self.groups:
            return self.goals
        bounds = {"spread": self._least_squares, "pack": self._least_nodes}
        return [*others, {**last, "least": bounds[self._objective]()}] if self._objective in bounds else self.goals

    def _least_squares(self) -> int:
        """The sum of squares when all tasks, and those of each service, are poured over the places without limits."""
        total = 0
        for base, among, _ in self._count_squares():
            held = base[self.places]
            count = sum(self.groups[at].count for at in among)
            poured = held + levelled(held, np.full(len(held), count), count, np.zeros(len(held), np.int64))
            total += int((poured**2).sum()) + int((base**2).sum()) - int((held**2).sum())
        return total

    def _least_nodes(self) -> int:
        """The nodes in use, and the fewest more that have as much of each resource as the others cannot give."""
        in_use = self._tasks > 0
        most = 0
        for kind in self._kinds:
            free = self._free(kind)[self.places]
            empty = ~in_use[self.places]
            rest = sum(self._need(group, kind) * group.count for group in self.groups) - int(free[~empty].sum())
            if rest > 0:
                largest = np.cumsum(np.sort(free[empty])[::-1])
                most = max(most, int(np.searchsorted(largest, rest)) + 1)
        return int(np.count_nonzero(in_use)) + most

    def request(
        self, goals: Sequence[Goal], start: Sequence[Sequence[int]], effort: float, seed: int
    ) -> Mapping[str, Any]:
        """The problem for `cpsat.solved`, to begin with `start`; `goals` as `with_bounds` gives them."""
        free = np.array([self._free(kind)[self.places] for kind in self._kinds], np.int64)
        return {
            "count": [group.count for group in self.groups],
            "room": self._room[:, self.places].tolist(),
            "need": [[self._need(group, kind) for kind in self._kinds] for group in self.groups],
            "free": free.reshape(len(self._kinds), len(self.places)).T.tolist(),
            "limits": [(among, room[self.places].tolist()) for among, room in self._limits()],
            "chains": [chain.tolist() for chain in self.chains if len(chain) > 1],
            "goals": goals,
            "start": start,
            "effort": effort,
            "seed": seed,
        }

    def _plugin_scores(self, group: Group, strategy: str) -> Ints:
        total: Floats = np.zeros(len(self._nodes))
        for part in self._view.score_parts(group):
            if part.plugin != strategy:
                total += part.weight * part.values
        return np.round(total * SCORE).astype(np.int64)

    def _loads(self) -> list[tuple[str, Ints]]:
        """(kind, thousandths in use) of CPU and memory."""
        found = []
        for kind, all_, free in (
            ("cpu", self._nodes.cpu_total, self._nodes.cpu_free),
            ("memory", self._nodes.memory_total, self._nodes.memory_free),
        ):
            used = np.clip(all_ - free, 0, None)
            found.append((kind, np.where(all_ > 0, np.round(1000 * (used / np.maximum(all_, 1))), 0).astype(np.int64)))
        return found

    def _choose_places(self) -> None:
        """Sort the usable nodes into classes, and keep as many of each as could get a task."""
        usable = np.flatnonzero(self._room.any(axis=0)) if len(self.groups) else np.array([], np.int64)
        looks = [self._tasks, *self._own.values(), *self._room, *self._faulty, *self._scores]
        looks += [self._free(kind) for kind in self._kinds]
        looks += [codes for group in self.groups for codes in self._domains(group)]
        if self._load:
            looks += [self._nodes.cpu_total, self._nodes.memory_total, *(used for _, used in self._load)]
        table = np.array([look[usable].astype(np.int64) for look in looks])
        code = np.unique(table, axis=1, return_inverse=True)[1].reshape(-1) if len(usable) else usable
        counts = np.array([group.count for group in self.groups], np.int64)
        kept: list[Ints] = []
        #: All nodes of each class, and the columns of those that were kept.
        self._members: list[Ints] = []
        self.chains: list[Ints] = []
        begin = 0
        # Classes in the order of their first nodes, so that lower ids come first.
        for first in np.sort(np.unique(code, return_index=True)[1]).tolist():
            members = usable[code == code[first]]
            most = int(counts[self._room[:, members[0]] > 0].sum())
            self._members.append(members)
            kept.append(members[:most])
            self.chains.append(np.arange(begin, begin + len(kept[-1])))
            begin += len(kept[-1])
        #: The nodes that are kept, as indices into the node table.
        self.places: Ints = np.concatenate(kept) if kept else np.array([], np.int64)

    def _need(self, group: Group, kind: str) -> int:
        wanted = group.reservation
        amounts = {"cpu": wanted.nano_cpus, "memory": wanted.memory_bytes}
        return max(0, amounts[kind] if kind in amounts else wanted.generic.get(kind, 0))

    def _free(self, kind: str) -> Ints:
        columns_ = {"cpu": self._nodes.cpu_free, "memory": self._nodes.memory_free}
        free = columns_[kind] if kind in columns_ else self._nodes.generic_free(kind)
        return np.clip(free, 0, None)

    def _domains(self, group: Group) -> list[Ints]:
        """For each label to spread over, outermost first, the code of each node's branch."""
        branches: list[Ints] = []
        for key in group.preferences:
            if key.lower().startswith(LABELS):
                codes = self._nodes.domain(key)[0].astype(np.int64)
                parent = branches[-1] * (int(codes.max(initial=0)) + 1) if branches else 0
                branches.append(np.unique(parent + codes, return_inverse=True)[1].astype(np.int64))
        return branches

    def _limits(self) -> Iterator[tuple[list[int], Ints]]:
        """Groups that share a limit, and what they can have of it in all on each node."""
        for service, own in self._own.items():
            among = [at for at, group in enumerate(self.groups) if group.service == service]
            most = max(self.groups[at].max_replicas for at in among)
            if most and len(among) > 1:
                yield among, np.clip(most - own, 0, None)
        for port in sorted({port for group in self.groups for port in group.host_ports}):
            among = [at for at, group in enumerate(self.groups) if port in group.host_ports]
            if len(among) > 1:
                yield among, np.ones(self._room.shape[1], np.int64)

    def _cells(self, among: Sequence[int], columns_: Sequence[int], factor: int = 1) -> list[tuple[int, int, int]]:
        """(group, place, factor) of those that can be more than 0."""
        return [(at, col, factor) for at in among for col in columns_ if self._room[at, self.places[col]] > 0]

    def _goals(self, objective: str) -> Iterator[Goal]:
        every, columns_ = range(len(self.groups)), range(len(self.places))
        for priority in sorted({group.priority for group in self.groups}, reverse=True):
            among = [at for at in every if self.groups[at].priority == priority]
            count = sum(self.groups[at].count for at in among)
            yield _goal("unplaced", least=0, constant=count, linear=self._cells(among, columns_, -1))
        faulty = [cell for cell in self._cells(every, columns_) if self._faulty[cell[0], self.places[cell[1]]]]
        if faulty:
            yield _goal("tasks on nodes where they fail", least=0, linear=faulty)
        yield from self._preferences()
        linear = [
            (at, col, -int(self._scores[at][self.places[col]]))
            for at, col, _ in self._cells(every, columns_)
            if self._scores[at][self.places[col]]
        ]
        weight = self.scale
        match objective:
            case "pack":
                empty = self._tasks[self.places] == 0
                constant = weight * int(np.count_nonzero(self._tasks))
                used = [(weight, col) for col in columns_ if empty[col]]
                yield _goal(objective, constant=constant, linear=linear, used=used)
            case "load":
                yield self._squares(objective, linear, self._load_squares())
            case _:
                yield self._squares(objective, linear, self._count_squares())

    def _preferences(self) -> Iterator[Goal]:
        """How uneven the branches are, level by level."""
        depth = max((len(self._domains(group)) for group in self.groups), default=0)
        for level in range(depth):
            squares = []
            seen = set()
            for group in self.groups:
                domains = self._domains(group)
                if level >= len(domains) or (group.service, group.preferences) in seen:
                    continue
                seen.add((group.service, group.preferences))
                among = [
                    at
                    for at, other in enumerate(self.groups)
                    if (other.service, other.preferences) == (group.service, group.preferences)
                ]
                own = self._nodes.tasks_of(group.service).astype(np.int64)
                branch = domains[level]
                for code in range(int(branch.max(initial=-1)) + 1):
                    inside = np.flatnonzero(branch[self.places] == code).tolist()
                    squares.append((1, int(own[branch == code].sum()), self._cells(among, inside)))
            yield _goal(f"spread over label {level + 1}", squares=squares)

    def _count_squares(self) -> Iterator[tuple[Ints, Sequence[int], int]]:
        """(what each node has, the groups that add to it, how much each task adds)."""
        yield self._tasks, range(len(self.groups)), 1
        for service, own in self._own.items():
            yield own, [at for at, group in enumerate(self.groups) if group.service == service], 1

    def _load_squares(self) -> Iterator[tuple[Ints, Sequence[int], int]]:
        for _, used in self._load:
            yield used, range(len(self.groups)), 0

    def _squares(
        self,
        name: str,
        linear: list[tuple[int, int, int]],
        rows: Iterator[tuple[Ints, Sequence[int], int]],
    ) -> Goal:
        constant, squares = 0, []
        for number, (base, among, factor) in enumerate(rows):
            outside = np.ones(len(base), np.bool_)
            outside[self.places] = False
            constant += self.scale * int((base[outside] ** 2).sum())
            for col, node in enumerate(self.places.tolist()):
                cells = self._cells(among, [col])
                terms = [(at, col, factor or self._part(at, number, node)) for at, _, _ in cells]
                squares.append((self.scale, int(base[node]), [term for term in terms if term[2]]))
        return _goal(name, constant=constant, linear=linear, squares=squares)

    def _part(self, at: int, number: int, node: int) -> int:
        """Thousandths of the node that one task of the group takes, of CPU (0) or memory (1)."""
        kind = self._load[number][0]
        total = int((self._nodes.cpu_total if kind == "cpu" else self._nodes.memory_total)[node])
        return round(1000 * self._need(self.groups[at], kind) / total) if total > 0 else 0


def _goal(name: str, *, least: int | None = None, constant: int = 0, **parts: Any) -> Goal:
    return {"name": name, "least": least, "constant": constant, "linear": [], "squares": [], "used": [], **parts}
