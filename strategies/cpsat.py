"""Problems for CP-SAT, and the program that solves them in a process of its own: a line of JSON in, a line out.

One worker, the given seed and a deterministic limit: the same line in gives the same line out, on a busy machine too.
Nothing of swarmlab is imported here, so the program is up as soon as OR-Tools is; and OR-Tools is imported by the
program alone, so that whoever needs `value_of` has no need of it.
"""

import itertools
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

#: A square over so few values is described by its tangents, which are exact at integers; a wider one by a product.
TANGENTS = 64


def solved(problem: Mapping[str, Any]) -> dict[str, Any]:
    """The best numbers of tasks that were found, goal by goal: each is minimised without harm to those before it.

    Args:
        problem: As `goals.Problem.request` writes it.

    Returns:
        {"counts": rows of numbers, one per group, or None; "goals": [{"value", "bound", "proven"}]}. "counts" None: no
        numbers keep all rules, the ones to begin with neither. Goals behind the first unproven one are left out.
    """
    return _Search(problem).answer()


class _Search:
    """One problem as a model, and how far its goals are solved."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        from ortools.sat.python import cp_model

        self._cp = cp_model
        self._problem = problem
        self._counts: list[list[int]] = problem["start"]
        self._left: float = problem["effort"]
        self._model: Any = self._cp.CpModel()
        #: {(group, place): tasks of the group there}
        self._cells: dict[tuple[int, int], Any] = {}
        #: {(group, place): the most that it can be}
        self._most: dict[tuple[int, int], int] = {}
        for group, rooms in enumerate(problem["room"]):
            for place, room in enumerate(rooms):
                most = min(room, problem["count"][group])
                if most > 0:
                    self._most[group, place] = most
                    self._cells[group, place] = self._model.new_int_var(0, most, f"x{group}.{place}")
        self._add_rules()

    def answer(self) -> dict[str, Any]:
        """Solve goal after goal."""
        goals: list[dict[str, Any]] = []
        for goal in self._problem["goals"]:
            found = self._solve(goal)
            if found is None:
                return {"counts": None, "goals": []}
            goals.append(found)
            if not found["proven"]:
                break
        return {"counts": self._counts, "goals": goals}

    def _add_rules(self) -> None:
        problem, cells, model = self._problem, self._cells, self._model
        groups, places = range(len(problem["count"])), range(len(problem["free"]))
        for group in groups:
            model.add(
                sum(cells[group, place] for place in places if (group, place) in cells) <= problem["count"][group]
            )
        for kind in range(len(problem["need"][0])):
            unit = math.gcd(*(problem["need"][group][kind] for group in groups)) or 1
            for place in places:
                parts = [(problem["need"][group][kind] // unit, (group, place)) for group in groups]
                parts = [(need, cell) for need, cell in parts if need and cell in cells]
                free = problem["free"][place][kind] // unit
                if sum(need * self._most[cell] for need, cell in parts) > free:
                    model.add(sum(need * cells[cell] for need, cell in parts) <= free)
        for among, rooms in problem["limits"]:
            for place, room in enumerate(rooms):
                there = [cells[group, place] for group in among if (group, place) in cells]
                if len(there) > 1:
                    model.add(sum(there) <= room)
        # Equal places are interchangeable: the one with more tasks first.
        for chain in problem["chains"]:
            for first, second in itertools.pairwise(chain):
                model.add(self._on(first) >= self._on(second))

    def _on(self, place: int) -> Any:
        groups = range(len(self._problem["count"]))
        return sum(self._cells[group, place] for group in groups if (group, place) in self._cells)

    def _solve(self, goal: Mapping[str, Any]) -> dict[str, Any] | None:
        now = value_of(goal, self._counts)
        if goal["least"] is not None and now <= goal["least"]:
            self._model.add(self._expression(goal) <= now)
            return {"value": now, "bound": now, "proven": True}
        expression = self._expression(goal)
        self._model.minimize(expression)
        self._model.clear_hints()
        for (group, place), cell in self._cells.items():
            self._model.add_hint(cell, self._counts[group][place])
        solver = self._cp.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = self._problem["seed"]
        solver.parameters.max_deterministic_time = max(self._left, 1e-3)
        status = solver.solve(self._model)
        self._left -= solver.response_proto.deterministic_time
        if status in (self._cp.OPTIMAL, self._cp.FEASIBLE):
            counts = [list(row) for row in self._counts]
            for (group, place), cell in self._cells.items():
                counts[group][place] = solver.value(cell)
            found = value_of(goal, counts)
            proven = status == self._cp.OPTIMAL
            if found < now or proven:
                self._counts, now = counts, found
            self._model.add(expression <= now)
            bound = now if proven else math.ceil(solver.best_objective_bound - 1e-6)
            return {"value": now, "bound": bound, "proven": proven}
        if status == self._cp.UNKNOWN:
            return {"value": now, "bound": goal["least"], "proven": False}
        return None

    def _expression(self, goal: Mapping[str, Any]) -> Any:
        parts = [goal["constant"]]
        parts += [factor * self._cells[group, place] for group, place, factor in goal["linear"]]
        parts += [weight * self._square(base, terms) for weight, base, terms in goal["squares"]]
        parts += [weight * self._used(place) for weight, place in goal["used"]]
        return sum(parts)

    def _square(self, base: int, terms: Sequence[tuple[int, int, int]]) -> Any:
        """At least, and in a minimum exactly, the square of base + the sum of factor x tasks."""
        if not terms:
            return base * base
        most = base + sum(factor * self._most[group, place] for group, place, factor in terms)
        total = base + sum(factor * self._cells[group, place] for group, place, factor in terms)
        square = self._model.new_int_var(base * base, most * most, "square")
        step = 1
        if most - base > TANGENTS:
            step = (most - base) // TANGENTS + 1
            height = self._model.new_int_var(base, most, "height")
            self._model.add(height == total)
            self._model.add_multiplication_equality(square, [height, height])
        for at in range(base, most, step):
            self._model.add(square >= (2 * at + 1) * total - at * (at + 1))
        return square

    def _used(self, place: int) -> Any:
        """Whether any task is put there."""
        used = self._model.new_bool_var("used")
        for (group, where), cell in self._cells.items():
            if where == place:
                self._model.add(cell <= self._most[group, where] * used)
        return used


def value_of(goal: Mapping[str, Any], counts: Sequence[Sequence[int]]) -> int:
    """What these numbers of tasks are worth, the less the better: rows of groups, columns of places."""
    value: int = goal["constant"]
    value += sum(factor * counts[group][place] for group, place, factor in goal["linear"])
    for weight, base, terms in goal["squares"]:
        total = base + sum(factor * counts[group][place] for group, place, factor in terms)
        value += weight * total * total
    for weight, place in goal["used"]:
        value += weight * any(row[place] for row in counts)
    return value


def main() -> None:
    """Answer line after line until there are no more."""
    import ortools.sat.python.cp_model  # noqa: F401 - before the first problem comes

    for line in sys.stdin:
        try:
            answer = solved(json.loads(line))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        try:
            sys.stdout.write(json.dumps(answer, separators=(",", ":")) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            os._exit(0)  # Whoever asked has gone; there is nobody to tell, and nothing to flush at the end.


if __name__ == "__main__":
    main()
