"""The best plan that can be had, and how far any other is from it."""

from collections.abc import Sequence

from msgspec.structs import replace

from swarmlab.plugin import (
    NOT_SEARCHED,
    ClusterView,
    Floats,
    Group,
    Ints,
    NodeTable,
    Plan,
    PluginError,
    Proof,
    Scores,
    Strategy,
)

from .binpack import BinPack
from .goals import OBJECTIVES, Problem
from .least_allocated import LeastAllocated
from .solver import Solver
from .spread import Spread

#: Who makes the plan to begin with.
GREEDY: dict[str, type[Strategy]] = {"spread": Spread, "pack": BinPack, "load": LeastAllocated}
#: More groups are not looked at: so many rows of nodes cost a control loop more time than their plan is worth.
GROUPS = 64


class Optimal(Strategy):
    """The best placement of the whole batch, by OR-Tools CP-SAT, with a bound; never worse than the greedy one.

    Goals are minimised one after the other, each without harm to those before: tasks without a node, from the highest
    priority down; tasks on nodes where their kind failed five times in five minutes; unevenness over the branches of
    spread-over preferences, outermost first; and then the `objective`, from which the scores of score plugins are taken
    off, 1 for 1:

    * `spread`: sum over nodes of tasks^2, and of (tasks of it)^2 for each service of the batch: even numbers;
    * `pack`: the number of nodes in use;
    * `load`: sum over nodes of (used share of CPU)^2 + (used share of memory)^2, in thousandths: even load.

    The search begins with the greedy plan of `spread`, `binpack` or `least-allocated`. Its budget is deterministic: the
    same batch on the same view gives the same plan on any machine. What the search does not improve stays greedy, and
    the plan says so. The solver is a process of its own; a decision waits for it, so the wait is bounded: batches with
    more than `cells` numbers to choose are not searched but placed greedily at once, and `effort` limits the others. A
    greedy plan that reaches a bound of plain arithmetic is the best one, and nobody waits.

    Args:
        objective: "spread", "pack" or "load".
        effort: Budget of a batch, in deterministic seconds: each is about three seconds of a processor.
        cells: Most pairs of group and candidate node that are searched.
        seed: Of the search.
    """

    name = "optimal"

    def __init__(self, objective: str = "spread", effort: float = 0.1, cells: int = 400, seed: int = 0) -> None:
        if objective not in OBJECTIVES:
            raise PluginError(self.name, "", f"objective is {objective!r}, wanted {', '.join(OBJECTIVES)}")
        if not effort > 0:
            raise PluginError(self.name, "", f"effort is {effort:g}, wanted more than 0")
        if not 0 <= seed < 2**31:
            raise PluginError(self.name, "", f"seed is {seed}, wanted 0 to {2**31 - 1}")
        self._objective = objective
        self._effort = effort
        self._cells = cells
        self._seed = seed
        self._greedy = GREEDY[objective]()
        self._solver = Solver(self.name)

    def score(self, group: Group, nodes: NodeTable, view: ClusterView) -> Scores | None:
        """What the greedy strategy goes by."""
        return self._greedy.score(group, nodes, view)

    def standing(self, group: Group, view: ClusterView) -> Ints | Floats:
        """As the greedy strategy sees the nodes."""
        return self._greedy.standing(group, view)

    def formula(self) -> str:
        """The goals, in their order."""
        return (
            "least first: tasks without a node, tasks where they fail, unevenness over preferences, "
            f"{OBJECTIVES[self._objective]} - sum of weight x score of the score plugins"
        )

    def place(self, groups: Sequence[Group], view: ClusterView) -> Plan:
        """The greedy plan, or a better one."""
        greedy = self._greedy.place(groups, view)
        return self._improved(greedy, groups, view, self.name)

    def judge(self, plan: Plan, groups: Sequence[Group], view: ClusterView, by: str) -> Proof | None:
        """The search with `plan` to begin with."""
        return self._improved(plan, groups, view, by).proof

    def _improved(self, start: Plan, groups: Sequence[Group], view: ClusterView, by: str) -> Plan:
        if not groups:
            return start
        if len(groups) > GROUPS:
            return _unsearched(start, f"the batch has {len(groups)} groups, more than {GROUPS}")
        problem = Problem(groups, view, self._objective, by)
        if problem.cells > self._cells:
            return _unsearched(start, f"the batch has {problem.cells} numbers to choose, more than cells={self._cells}")
        begun = problem.counts_of(start)
        before = problem.values(begun)
        goals = problem.with_bounds(placed=_placed(start) == sum(group.count for group in groups))
        if not problem.cells or all(goal["least"] == value for goal, value in zip(goals, before, strict=True)):
            return Plan(start.placements, _proof(problem, before, before, before))
        answer = self._solver.ask(problem.request(goals, begun, self._effort, self._seed))
        counts = answer["counts"]
        if counts is None:
            proof = _proof(problem, before, before, [])
            return Plan(start.placements, replace(proof, why="it breaks a rule of the model"))
        after = problem.values(counts)
        bounds = [goal["bound"] for goal in answer["goals"]]
        if not after < before:
            return Plan(start.placements, _proof(problem, before, before, bounds))
        plan = problem.plan_of(counts)
        misfit = view.misfit(plan)
        if misfit is not None:
            # Rules of plugins and volumes that change with each placement are not in the model.
            proof = _proof(problem, before, before, [])
            return Plan(start.placements, replace(proof, why=f"a better one would not fit: {misfit}"))
        return Plan(plan.placements, _proof(problem, before, after, bounds))


def _placed(plan: Plan) -> int:
    return sum(placement.total for placement in plan.placements)


def _unsearched(start: Plan, why: str) -> Plan:
    return Plan(start.placements, Proof(goal=NOT_SEARCHED, value=0, start=0, outcome="greedy", why=why))


def _proof(problem: Problem, before: Sequence[int], after: Sequence[int], bounds: Sequence[int | None]) -> Proof:
    """The first goal that was improved or is not proven, or the last one."""
    known = [*bounds, *[None] * (len(after) - len(bounds))]
    proven = all(bound == value for bound, value in zip(known, after, strict=True))
    outcome = "optimal" if proven else "better" if list(after) < list(before) else "greedy"
    last = len(after) - 1
    at = next((at for at in range(last) if after[at] != before[at] or known[at] != after[at]), last)
    scale = problem.scale if at == last else 1
    bound = known[at]
    return Proof(
        goal=problem.goals[at]["name"],
        value=after[at] / scale,
        start=before[at] / scale,
        bound=None if bound is None else bound / scale,
        outcome=outcome,
        why="" if proven else "the budget ran out",
    )
