"""The one that asks plugins and the strategy, and checks what they say."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import pluggy

from swarmlab.api import PluginError, StrategyInfo
from swarmlab.plugin import hookspecs
from swarmlab.plugin.arrays import Floats, Ints
from swarmlab.plugin.checks import (
    checked_moves,
    checked_options,
    checked_plan,
    checked_proof,
    checked_refusals,
    checked_scores,
    checked_standing,
    checked_strategy_class,
    checked_terms,
    converted,
    parameters_of,
)
from swarmlab.plugin.decisions import Decision, Moves, Plan, Proof, Refusals, Scores, Term, Trigger
from swarmlab.plugin.groups import Group
from swarmlab.plugin.loading import (
    Catalog,
    asked,
    installed,
    plugin_object,
    registered,
    strategy_class,
    told,
)
from swarmlab.plugin.options import Option
from swarmlab.plugin.strategy import Strategy
from swarmlab.plugin.views import ClusterView

_T = TypeVar("_T")
#: Hears of each answer that passed its check: hook, plugin, {argument: value}, answer.
Listener = Callable[[str, str, Mapping[str, Any], object], None]
#: (plugin, its function, the arguments that it takes)
_Answerer = tuple[str, Callable[..., Any], tuple[str, ...]]


class Host:
    """The strategy and the plugins of one cluster, or of one arm of an experiment.

    A fault is any exception, and any answer that breaks the contract. `strict`: it is raised, as PluginError with the
    name of the plugin. Otherwise it is kept for `take_faults`, the plugin is not asked again until then, and the
    decision goes on: without that plugin, or with the fall-back strategy.
    """

    def __init__(
        self,
        strategy: Strategy,
        plugins: Mapping[str, Any] | None = None,
        *,
        fallback: Strategy | None = None,
        parameters: Mapping[str, Any] | None = None,
        strict: bool = False,
        catalog: Catalog | None = None,
        origin: str = "",
        yardstick: Strategy | None = None,
    ) -> None:
        checked_strategy_class(type(strategy), origin or type(strategy).__name__)
        #: Who places and moves.
        self.strategy = strategy
        self.strict = strict
        #: For those who look on; it changes nothing.
        self.listen: Listener | None = None
        self._origin = origin
        self._fallback = fallback
        self._yardstick = yardstick
        #: What the yardstick said of each plan, oldest first; None where it did not know.
        self.proofs: list[Proof | None] = []
        self._catalog = catalog or Catalog()
        self._faults = [PluginError(point, "", why) for point, why in self._catalog.broken.items()]
        self._muted: set[tuple[str, str]] = set()
        self._manager = pluggy.PluginManager("swarmlab")
        self._manager.add_hookspecs(hookspecs)
        #: Names of the plugins that are heard, in the order in which they are asked.
        self.plugins: tuple[str, ...] = tuple(plugins or ())
        known: dict[str, Any] = {}
        for name, plugin in (plugins or {}).items():
            registered(self._manager, plugin, name)
            known |= _options(plugin, name)
        #: {"plugin.option": value}
        self.options: Mapping[str, Any] = checked_options(parameters or {}, known, self.plugins)
        self._filters = self._answerers("swarmlab_filter")
        self._scorers = self._answerers("swarmlab_score")
        self._affinities = self._answerers("swarmlab_affinity")
        self._observers = self._answerers("swarmlab_observe")

    @classmethod
    def load(
        cls,
        strategy: str = "spread",
        plugins: Sequence[str] = (),
        parameters: Mapping[str, Any] | None = None,
        *,
        strict: bool = False,
        fallback: str = "spread",
        catalog: Catalog | None = None,
        yardstick: str = "",
        measure: Mapping[str, Any] | None = None,
    ) -> "Host":
        """A host for what is named.

        Args:
            strategy: A strategy's name, or "./file.py:Class".
            plugins: Names of plugins, "./file.py" or "./file.py:Class"; asked in this order.
            parameters: {"parameter": value} of the strategy, {"plugin.option": value} of the plugins; texts are read.
            strict: Faults are raised.
            fallback: The strategy that decides where the chosen one fails.
            catalog: Where names are looked up; by default what is installed.
            yardstick: A strategy that judges each plan; what it says is kept in `proofs` and changes nothing.
            measure: {"parameter": value} of the yardstick.

        Raises:
            UnknownPlugin: There is nothing of that name.
            PluginError: It cannot be loaded, or it breaks the contract.
        """
        catalog = installed() if catalog is None else catalog
        chosen, origin = strategy_class(strategy, catalog)
        given = dict(parameters or {})
        own = {name: given.pop(name) for name in list(given) if "." not in name}
        loaded: dict[str, Any] = {}
        for spec in plugins:
            plugin, name = plugin_object(spec, catalog)
            if name in loaded:
                raise PluginError(name, "", "is asked for twice")
            loaded[name] = plugin
        return cls(
            _made(chosen, own, strategy),
            loaded,
            fallback=None
            if strict or fallback == strategy
            else _made(strategy_class(fallback, catalog)[0], {}, fallback),
            parameters=given,
            strict=strict,
            catalog=catalog,
            origin=origin,
            yardstick=_made(strategy_class(yardstick, catalog)[0], dict(measure or {}), yardstick)
            if yardstick
            else None,
        )

    def strategies(self) -> tuple[StrategyInfo, ...]:
        """All that could be chosen by name, and the one in use, by name."""
        classes = dict(self._catalog.strategies)
        classes[self.strategy.name] = (type(self.strategy), self._origin)
        return tuple(
            StrategyInfo(
                name=name,
                origin=origin,
                summary=(inspect.getdoc(cls) or "").partition("\n")[0],
                parameters={key: str(value) for key, value in parameters_of(cls, origin).items()},
                rebalances=cls.rebalance is not Strategy.rebalance,
                active=name == self.strategy.name,
                formula=self.strategy.formula() if name == self.strategy.name else "",
            )
            for name, (cls, origin) in sorted(classes.items())
        )

    @property
    def has_affinity(self) -> bool:
        """Any plugin in use has wishes about other services."""
        return bool(self._affinities)

    def filter(self, group: Group, view: ClusterView) -> tuple[Refusals, ...]:
        """What the plugins refuse, in their order."""
        found: list[Refusals] = []
        for answerer in self._filters:
            found += self._ask(answerer, "swarmlab_filter", _refusals, [], group=group, nodes=view.nodes, view=view)
        return tuple(found)

    def score(self, group: Group, view: ClusterView) -> tuple[Scores, ...]:
        """What the strategy says of the nodes, and then each plugin."""
        found = []
        if type(self.strategy).score is not Strategy.score:
            own = (self.strategy.name, self.strategy.score, ("group", "nodes", "view"))
            found.append(self._ask(own, "score", _scores, None, group=group, nodes=view.nodes, view=view))
        found += [
            self._ask(answerer, "swarmlab_score", _scores, None, group=group, nodes=view.nodes, view=view)
            for answerer in self._scorers
        ]
        return tuple(scores for scores in found if scores is not None)

    def affinity(self, group: Group, view: ClusterView) -> tuple[tuple[str, Term], ...]:
        """(plugin, wish) of all plugins that have any."""
        found: list[tuple[str, Term]] = []
        none: tuple[Term, ...] = ()
        for answerer in self._affinities:
            terms = self._ask(answerer, "swarmlab_affinity", _terms, none, group=group, nodes=None, view=view)
            found += [(answerer[0], term) for term in terms]
        return tuple(found)

    def place(self, groups: Sequence[Group], view: ClusterView) -> tuple[Plan, Strategy]:
        """A plan that fits, and the strategy that made it: the fall-back's where the chosen one fails.

        A plan made while the strategy's own `score` failed is none: without it every node looks the same.
        """
        for strategy in (self.strategy, self._fallback):
            if strategy is None or (strategy.name, "place") in self._muted:
                continue
            try:
                plan = checked_plan(strategy.place(groups, view), groups, view, strategy.name)
            except Exception as error:
                self._fault(error, strategy.name, "place")
                continue
            self._tell("place", strategy.name, {"groups": groups, "view": view}, plan)
            if (strategy.name, "score") not in self._muted or self._fallback is None:
                self._judge(plan, groups, view, strategy)
                return plan, strategy
        return Plan(), self.strategy

    def standing(self, strategy: Strategy, group: Group, view: ClusterView) -> Ints | Floats | None:
        """Where `strategy` sees each node, the lowest first; None where it fails."""
        if (strategy.name, "standing") in self._muted:
            return None
        try:
            return checked_standing(strategy.standing(group, view), len(view.nodes), strategy.name)
        except Exception as error:
            self._fault(error, strategy.name, "standing")
            return None

    def rebalance(self, view: ClusterView, trigger: Trigger) -> Moves:
        """The moves that the strategy wants; none where it fails."""
        try:
            moves = checked_moves(self.strategy.rebalance(view, trigger), view, self.strategy.name)
        except Exception as error:
            self._fault(error, self.strategy.name, "rebalance")
            return Moves()
        self._tell("rebalance", self.strategy.name, {"view": view, "trigger": trigger}, moves)
        return moves

    def observe(self, decision: Decision) -> None:
        """Tell all observers."""
        for answerer in self._observers:
            self._ask(answerer, "swarmlab_observe", _nothing, None, decision=decision)

    @property
    def observed(self) -> bool:
        """Anybody wants to hear of decisions."""
        return bool(self._observers)

    def is_muted(self, hook: str) -> bool:
        """A plugin is not asked that hook for now, because of a fault."""
        return any(muted == hook for _, muted in self._muted)

    def take_faults(self) -> tuple[PluginError, ...]:
        """The faults since the last call; whoever is not asked because of one is asked again from now on."""
        faults, self._faults = tuple(self._faults), []
        self._muted.clear()
        return faults

    def _judge(self, plan: Plan, groups: Sequence[Group], view: ClusterView, strategy: Strategy) -> None:
        yardstick = self._yardstick
        if yardstick is None or (yardstick.name, "judge") in self._muted:
            return
        try:
            proof = yardstick.judge(plan, groups, view, strategy.name)
            self.proofs.append(None if proof is None else checked_proof(proof, yardstick.name, "judge"))
        except Exception as error:
            self._fault(error, yardstick.name, "judge")

    def _ask(
        self, answerer: _Answerer, hook: str, check: Callable[[Any, int, str, str], _T], otherwise: _T, **arguments: Any
    ) -> _T:
        name, function, wanted = answerer
        if self._muted and (name, hook) in self._muted:
            return otherwise
        arguments["options"] = self.options
        nodes = arguments.get("nodes")
        try:
            answer = check(
                function(*[arguments[argument] for argument in wanted]), 0 if nodes is None else len(nodes), name, hook
            )
        except Exception as error:
            self._fault(error, name, hook)
            return otherwise
        self._tell(hook, name, arguments, answer)
        return answer

    def _tell(self, hook: str, plugin: str, asked_with: Mapping[str, Any], answer: object) -> None:
        if self.listen is not None:
            self.listen(hook, plugin, asked_with, answer)

    def _fault(self, error: Exception, plugin: str, hook: str) -> None:
        fault = error if isinstance(error, PluginError) else PluginError(plugin, hook, f"raised {told(error)}")
        if self.strict:
            raise fault from (None if fault is error else error)
        self._faults.append(fault)
        self._muted.add((plugin, hook))

    def _answerers(self, hook: str) -> tuple[_Answerer, ...]:
        found = {}
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            name = implementation.plugin_name
            if implementation.hookwrapper or implementation.wrapper:
                raise PluginError(
                    name, hook, "is a wrapper; answers are merged without order, so there is none to wrap"
                )
            if inspect.iscoroutinefunction(implementation.function):
                raise PluginError(name, hook, "is a coroutine; hooks are plain functions")
            found[name] = (name, implementation.function, tuple(implementation.argnames))
        return tuple(found[name] for name in self.plugins if name in found)


def _made(cls: type[Strategy], given: Mapping[str, Any], origin: str) -> Strategy:
    known = parameters_of(cls, origin)
    values = {}
    for name, value in given.items():
        if name not in known:
            there = ", ".join(known) or "none"
            raise PluginError(cls.name, "", f"has no parameter {name!r}; there are: {there}")
        values[name] = converted(value, known[name], cls.name, f"the parameter {name}")
    try:
        return cls(**values)
    except Exception as error:
        raise PluginError(cls.name, "", f"its constructor raised {told(error)}") from error


def _options(plugin: Any, name: str) -> dict[str, Any]:
    alone = pluggy.PluginManager("swarmlab")
    alone.add_hookspecs(hookspecs)
    registered(alone, plugin, name)
    found = {}
    for given in asked(alone, "swarmlab_add_options", name):
        for option in given:
            if not isinstance(option, Option) or not isinstance(option.default, bool | int | float | str):
                raise PluginError(name, "swarmlab_add_options", f"gave {option!r}, wanted Option")
            found[f"{name}.{option.name}"] = option.default
    return found


def _refusals(given: Any, n: int, plugin: str, hook: str) -> list[Refusals]:
    return checked_refusals(given, n, plugin, hook)


def _scores(given: Any, n: int, plugin: str, hook: str) -> Scores | None:
    return checked_scores(given, n, plugin, hook)


def _terms(given: Any, _: int, plugin: str, hook: str) -> tuple[Term, ...]:
    return checked_terms(given, plugin, hook)


def _nothing(given: Any, _: int, plugin: str, hook: str) -> None:
    if inspect.isawaitable(given):
        raise PluginError(plugin, hook, "gave an awaitable; observers are plain functions")
