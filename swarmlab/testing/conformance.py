"""What holds for every strategy, tried on small clusters."""

import inspect
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from swarmlab.api import Delete, PluginError, Task, TaskId, TaskState, TaskStatus, Value
from swarmlab.plugin import Catalog, Host, Move, Strategy, Trigger
from swarmlab.plugin.loading import hooks_of, installed, plugin_object, strategy_class, told
from swarmlab.testing.cases import Case, service_name
from swarmlab.testing.desk import Desk
from swarmlab.testing.drawing import CORNERS, drawn, smallest
from swarmlab.testing.hashing import differing_hash
from swarmlab.testing.judge import Books
from swarmlab.testing.trace import trace_of

#: What broke on one cluster, in a sentence, or "".
_Check = Callable[["Subject", Case], str]
#: Runs all clusters in other processes: what differs, and where.
_Other = Callable[[], tuple[str, Case | None]]
#: Clusters that each check draws, after those of `CORNERS`.
CASES = 60


class Subject(NamedTuple):
    """Who is tried: loaded once. Each check has hosts of its own, which see one cluster after the other."""

    strategy: str
    plugins: tuple[str, ...]
    parameters: Mapping[str, Any]
    catalog: Catalog
    #: Those of the check that runs: some strategies take seconds to start.
    kept: tuple[list[Host], ...]

    @classmethod
    def load(cls, strategy: str, plugins: Sequence[str], parameters: Mapping[str, Any], catalog: Catalog) -> "Subject":
        """Raises as `Host.load`."""
        chosen, origin = strategy_class(strategy, catalog)
        named = {name: (plugin, name) for plugin, name in (plugin_object(spec, catalog) for spec in plugins)}
        for name, (plugin, _) in named.items():
            if not hooks_of(plugin):
                raise PluginError(name, "", "answers no hook; are its functions named as the hooks, and marked?")
        known = Catalog({**catalog.strategies, chosen.name: (chosen, origin)}, {**catalog.plugins, **named})
        return cls(chosen.name, tuple(named), parameters, known, ([], []))

    def anew(self) -> "Subject":
        """The same, with no host as yet."""
        return self._replace(kept=([], []))

    def host(self, number: int = 0) -> Host:
        """The first or the second host of this check; both raise every fault."""
        if not self.kept[number]:
            self.kept[number].append(self.fresh())
        return self.kept[number][0]

    def fresh(self) -> Host:
        """A host that has seen no cluster."""
        return Host.load(self.strategy, self.plugins, self.parameters, strict=True, catalog=self.catalog)


class Result(Value, frozen=True, kw_only=True):
    """How one check ended."""

    check: str
    #: What holds for a strategy that passes.
    promise: str
    #: What broke, in a sentence; "" where nothing did.
    broken: str = ""
    #: The smallest cluster found that shows it.
    case: str = ""
    #: Clusters tried.
    cases: int = 0
    #: The author means it to be so.
    allowed: bool = False


class Report(Value, frozen=True, kw_only=True):
    """How all of them ended."""

    strategy: str
    plugins: tuple[str, ...] = ()
    seed: int
    results: tuple[Result, ...]

    @property
    def passed(self) -> bool:
        """Nothing broke but what is allowed to."""
        return all(not result.broken or result.allowed for result in self.results)

    def __str__(self) -> str:
        lines = [f"{', '.join((self.strategy, *self.plugins))}: seed {self.seed}"]
        for result in self.results:
            mark = "ok" if not result.broken else "allowed" if result.allowed else "BROKEN"
            lines.append(f"  {mark:<8} {result.check}: {result.promise}")
            if result.broken:
                lines += [f"           {result.broken}"]
                lines += [f"           smallest case: {result.case}"] if result.case else []
        return "\n".join(lines)


def conformance(
    strategy: str,
    plugins: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
    *,
    cases: int = CASES,
    seed: int = 0,
    allow: Sequence[str] = (),
    catalog: Catalog | None = None,
) -> Report:
    """Every check, each on the corner cases and on `cases` drawn clusters.

    Args:
        strategy: A name, or "./file.py:Class".
        plugins: Who is heard with it, as `Host.load` takes them.
        parameters: Of the strategy and the plugins.
        cases: How many clusters are drawn.
        seed: What they are drawn with.
        allow: Checks whose breach is meant: a strategy that holds tasks back on purpose breaks "all-placed".
        catalog: Where names are looked up; by default what is installed.

    Raises:
        UnknownPlugin: There is no strategy or plugin of that name, or `allow` names no check.
        PluginError: It cannot be loaded.
    """
    known = installed() if catalog is None else catalog
    subject = Subject.load(strategy, plugins, dict(parameters or {}), known)
    subject.fresh()
    unknown = sorted(set(allow) - set(CHECKS))
    if unknown:
        raise PluginError(strategy, "", f"no check is called {unknown[0]!r}; there are: {', '.join(CHECKS)}")
    rng = random.Random(seed)
    tried = [*CORNERS.values(), *(drawn(rng) for _ in range(cases))]

    def other() -> tuple[str, Case | None]:
        return differing_hash(strategy, plugins, subject.parameters, tried)

    return Report(
        strategy=strategy,
        plugins=tuple(plugins),
        seed=seed,
        results=tuple(
            replace(_result(name, promise, check, subject.anew(), tried, other), allowed=name in allow)
            for name, (promise, check) in CHECKS.items()
        ),
    )


def assert_conforms(strategy: str, plugins: Sequence[str] = (), **options: Any) -> None:
    """Fail a test with the whole report unless `conformance` with these arguments passes."""
    report = conformance(strategy, plugins, **options)
    assert report.passed, f"\n{report}"


def class_spec(cls: type[Strategy]) -> str:
    """How a class of a file is asked for: "/path/file.py:Class"."""
    return f"{inspect.getsourcefile(cls)}:{cls.__name__}"


def _result(
    name: str, promise: str, check: _Check | None, subject: Subject, tried: Sequence[Case], other: _Other
) -> Result:
    if check is None:
        broken, case = other()
        return Result(check=name, promise=promise, broken=broken, case=str(case or ""), cases=len(tried))

    def breaks(case: Case) -> str:
        try:
            return check(subject, case)
        except PluginError as error:
            return str(error)
        except Exception as error:
            # A strategy can also break what comes after it, as with a plan for a task that cannot be had.
            return told(error)

    for count, case in enumerate(tried, 1):
        if breaks(case):
            least, said = smallest(case, breaks)
            return Result(check=name, promise=promise, broken=said, case=str(least), cases=count)
    return Result(check=name, promise=promise, cases=len(tried))


# The checks: each gives what broke, in a sentence, or ""


def _contract(subject: Subject, case: Case) -> str:
    host = subject.host()
    desk = case.desk(host, lead=False)
    groups, view = case.groups(desk, host)
    host.place([], view)
    _, strategy = host.place(groups, view)
    for group in groups:
        view.refusals(group)
        host.standing(strategy, group, view)
    return ""


def _scores(subject: Subject, case: Case) -> str:
    host = subject.host()
    groups, view = case.groups(case.desk(host, lead=False), host)
    for group in groups:
        total = view.scores(group)
        if not np.isfinite(total).all():
            at = int(np.flatnonzero(~np.isfinite(total))[0])
            return f"the score of node {view.nodes.ids[at]} for {group.service_name} is {total[at]}"
    return ""


def _no_overcommit(subject: Subject, case: Case) -> str:
    return _judged(subject, case, Books.shortage)


def _filters_respected(subject: Subject, case: Case) -> str:
    return _judged(subject, case, Books.misfit)


def _judged(subject: Subject, case: Case, objection: Callable[[Books, int, int], str]) -> str:
    books = Books(case)
    for service, node, task in _placed(case.desk(subject.host())):
        why = objection(books, service, node)
        if why:
            return f"the task {task} was placed on node n{node:02}: {why}"
        books.take(service, node)
    return ""


def _all_placed(subject: Subject, case: Case) -> str:
    host = subject.host()
    desk = case.desk(host)
    view = desk.seen(host)
    for name, why in sorted(desk.pending().items()):
        room = view.capacity(view.group_of(desk.task(name).service_id))
        if room.any():
            return f"the task {name} waits ({why}), though node {view.nodes.ids[int(room.argmax())]} could take it"
    return ""


def _deterministic(subject: Subject, case: Case) -> str:
    first, second = (trace_of(case.desk(host)) for host in (subject.host(), subject.fresh()))
    return _difference(first, second, "two runs with one seed, the first of them by one who has seen others,")


def _plan_is_apply(subject: Subject, case: Case) -> str:
    host = subject.host()
    groups, view = case.groups(case.desk(host, lead=False), host)
    plan, _ = host.place(groups, view)
    expected = view.after(plan)
    desk = case.desk(subject.host(1))
    seen = desk.seen()
    planned = {
        (placement.group, view.nodes.ids[node]): count
        for placement in plan.placements
        for node, count in zip(placement.nodes.tolist(), placement.counts.tolist(), strict=True)
    }
    made: dict[tuple[str, str], int] = {}
    for service, node, _ in _placed(desk):
        key = (f"{service_name(service)}@1", f"n{node:02}")
        made[key] = made.get(key, 0) + 1
    for key in sorted(planned.keys() | made.keys()):
        if planned.get(key, 0) != made.get(key, 0):
            return f"planned {planned.get(key, 0)} tasks of {key[0]} on {key[1]}, applied {made.get(key, 0)}"
    for name in ("cpu_free", "memory_free", "tasks"):
        if not np.array_equal(getattr(expected.nodes, name), getattr(seen.nodes, name)):
            return (
                f"the column {name} after the plan is {getattr(expected.nodes, name).tolist()} in the what-if, "
                f"and {getattr(seen.nodes, name).tolist()} once it is applied"
            )
    return ""


def _moves_fit(subject: Subject, case: Case) -> str:
    host = subject.host()
    desk = _settled(case, host)
    books = Books(replace(case, services=tuple(replace(wanted, running=()) for wanted in case.services)))
    at = {task.id: (int(task.service_id[1:]), int(task.node_id[1:])) for task in desk.view.tasks() if task.node_id}
    for service, node in at.values():
        books.take(service, node)
    for move in host.rebalance(desk.seen(host), Trigger("manual")).moves:
        service, node = at[move.task]
        target = int(move.to[1:])
        if target == node:
            return f"the task {move.task} is moved to where it is"
        why = books.objection(service, target)
        if why:
            return f"the move of {move.task} to {move.to} has no room when its turn comes: {why}"
        books.take(service, target)
        books.take(service, node, -1)
    return ""


def _calm(subject: Subject, case: Case) -> str:
    host = subject.host()
    desk = _settled(case, host)
    for move in host.rebalance(desk.seen(host), Trigger("manual")).moves:
        _make(desk, move)
    again = host.rebalance(desk.seen(host), Trigger("manual")).moves
    if again:
        return f"a second rebalance of the same load moves {len(again)} tasks, {again[0].task} to {again[0].to} first"
    return ""


def _settled(case: Case, host: Host) -> Desk:
    """The cluster with everything that could be placed running."""
    desk = case.desk(host)
    for task in list(desk.view.tasks()):
        if task.status.state == TaskState.ASSIGNED:
            desk.report(task.id, TaskState.RUNNING)
    return desk


def _make(desk: Desk, move: Move) -> None:
    old = desk.task(move.task)
    new = replace(old, id=TaskId(f"{old.id}+"), node_id=move.to, status=TaskStatus(state=TaskState.RUNNING))
    desk.create(new)
    desk.propose(Delete(Task, old.id))


def _placed(desk: Desk) -> Iterator[tuple[int, int, str]]:
    """(service, node, task) of all tasks that the scheduler placed, by task."""
    for task in sorted(desk.view.tasks(), key=lambda task: task.id):
        if task.node_id and task.status.state == TaskState.ASSIGNED:
            yield int(task.service_id[1:]), int(task.node_id[1:]), task.id


def _difference(first: Sequence[str], second: Sequence[str], who: str) -> str:
    for one, other in zip((*first, "the end"), (*second, "the end"), strict=False):
        if one != other:
            return f"{who} differ: {one}, then {other}"
    return ""


#: {name: (what it promises, the check)}; without a check, other processes find out (`hashing`).
CHECKS: dict[str, tuple[str, _Check | None]] = {
    "contract": ("answers have the right types, shapes and ranges, and plans fit", _contract),
    "scores": ("scores are finite and in their range", _scores),
    "no-overcommit": ("no node is given more than it has", _no_overcommit),
    "filters-respected": ("no task is where a filter forbids it", _filters_respected),
    "all-placed": ("nothing waits that some node could take", _all_placed),
    "deterministic": ("the same seed gives the same decisions", _deterministic),
    "hash-seed": ("the same seed gives the same decisions under another PYTHONHASHSEED", None),
    "plan-is-apply": ("what a plan would do is what it does", _plan_is_apply),
    "moves-fit": ("every move has room when its turn comes, the old task still in place", _moves_fit),
    "calm": ("a second rebalance of the same load moves nothing", _calm),
}
