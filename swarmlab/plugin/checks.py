"""The contract, held against what plugins and strategies give."""

import inspect
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace

from swarmlab.api import PluginError
from swarmlab.plugin.arrays import Floats, Ints, sealed
from swarmlab.plugin.decisions import Moves, Placement, Plan, Proof, Refusals, Scores, Term, Terms
from swarmlab.plugin.groups import Group
from swarmlab.plugin.strategy import API, Strategy
from swarmlab.plugin.views import ClusterView

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
#: Deciding methods of a strategy, and what they are called with.
_METHODS = {"score": ("group", "nodes", "view"), "place": ("groups", "view"), "rebalance": ("view", "trigger")}


def checked_strategy_class(offer: Any, origin: str) -> type[Strategy]:
    """`offer`, if it is a class that can be a strategy."""
    if not (isinstance(offer, type) and issubclass(offer, Strategy)):
        what = f"the class {offer.__name__}" if isinstance(offer, type) else f"{offer!r}"
        raise PluginError(origin, "", f"{what} is no strategy: it does not derive from swarmlab.plugin.Strategy")
    here = f"the strategy {offer.__name__}"
    if not _NAME.fullmatch(offer.name):
        raise PluginError(
            origin, "", f"{here} has the name {offer.name!r}, wanted lower case letters, digits, '-', '_' and '.'"
        )
    if offer.api[0] != API[0] or offer.api[1] > API[1]:
        wanted, seen = ".".join(map(str, API)), ".".join(map(str, offer.api))
        raise PluginError(origin, "", f"{here} is written for plugin API {seen}, this is {wanted}")
    for name, arguments in _METHODS.items():
        method = getattr(offer, name)
        if inspect.iscoroutinefunction(method):
            raise PluginError(origin, name, f"{here} decides in a coroutine; deciding methods are plain functions")
        try:
            inspect.signature(method).bind("self", *arguments)
        except TypeError as error:
            wanted = ", ".join(arguments)
            raise PluginError(origin, name, f"{here} cannot be called with ({wanted}): {error}") from error
    for parameter in parameters_of(offer, origin).values():
        if not isinstance(parameter, bool | int | float | str):
            raise PluginError(origin, "", f"{here} has a parameter whose default is no bool, int, float or str")
    return offer


def parameters_of(cls: type[Strategy], origin: str) -> dict[str, Any]:
    """{parameter: default} of a strategy's constructor."""
    found = {}
    for parameter in list(inspect.signature(cls).parameters.values()):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.default is parameter.empty:
            raise PluginError(origin, "", f"the parameter {parameter.name!r} of {cls.__name__} has no default")
        found[parameter.name] = parameter.default
    return found


def converted(value: Any, default: Any, plugin: str, name: str) -> Any:
    """`value` as the type of `default`; texts are read."""
    kind = type(default)
    if kind is bool:
        word = str(value).lower()
        if word in ("true", "yes", "on", "1"):
            return True
        if word in ("false", "no", "off", "0"):
            return False
    elif not isinstance(value, bool):
        try:
            read = kind(value)
        except (TypeError, ValueError):
            read = None
        if read is not None and (kind is not float or math.isfinite(read)):
            return read
    raise PluginError(plugin, "", f"{name} is {value!r}, wanted {kind.__name__} such as {default!r}")


def checked_refusals(given: Any, n: int, plugin: str, hook: str) -> list[Refusals]:
    """The refusals of one plugin, under its name; those that refuse nobody are left out."""
    if given is None:
        return []
    several = given if isinstance(given, list | tuple) else (given,)
    kept = []
    for refusals in several:
        if not isinstance(refusals, Refusals):
            raise PluginError(plugin, hook, f"gave {_kind(refusals)}, wanted Refusals")
        mask = _array(refusals.mask, n, plugin, hook, "mask")
        if mask.dtype != np.bool_:
            raise PluginError(plugin, hook, f"its mask has the type {mask.dtype}, wanted bool")
        if not isinstance(refusals.reason, str) or not refusals.reason.strip():
            raise PluginError(plugin, hook, "gave no reason for its refusals")
        for name in ("need", "have"):
            amount = getattr(refusals, name)
            if amount is not None and _array(amount, n, plugin, hook, name).dtype.kind not in "iu":
                raise PluginError(plugin, hook, f"its column {name!r} has the type {amount.dtype}, wanted integers")
        if mask.any():
            kept.append(replace(refusals, plugin=plugin))
    return kept


def checked_scores(given: Any, n: int, plugin: str, hook: str) -> Scores | None:
    """The scores of one plugin, under its name."""
    if given is None:
        return None
    if not isinstance(given, Scores):
        raise PluginError(plugin, hook, f"gave {_kind(given)}, wanted Scores")
    values = _array(given.values, n, plugin, hook, "scores")
    if values.dtype.kind not in "fiub":
        raise PluginError(plugin, hook, f"its scores have the type {values.dtype}, wanted floats")
    weight = given.weight
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight) or weight < 0:
        raise PluginError(plugin, hook, f"its weight is {weight!r}, wanted a number >= 0")
    values = values.astype(np.float64, copy=False)
    # The negation also finds NaN, which compares with nothing.
    wrong = np.flatnonzero(~((values >= 0.0) & (values <= 1.0)))
    if len(wrong):
        at = int(wrong[0])
        raise PluginError(plugin, hook, f"its score of node {at} of {n} is {values[at]}, wanted 0.0 to 1.0")
    return Scores(sealed(values), float(weight), plugin)


def checked_standing(given: Any, n: int, plugin: str) -> Ints | Floats:
    """Where a strategy sees each node."""
    standing = _array(given, n, plugin, "standing", "standing")
    if standing.dtype.kind not in "iuf" or np.isnan(standing).any():
        raise PluginError(plugin, "standing", "has entries that are no numbers")
    return standing


def checked_terms(given: Any, plugin: str, hook: str) -> tuple[Term, ...]:
    """The terms of one plugin."""
    if given is None:
        return ()
    if not isinstance(given, Terms):
        raise PluginError(plugin, hook, f"gave {_kind(given)}, wanted Terms")
    for term in given.terms:
        if not isinstance(term, Term):
            raise PluginError(plugin, hook, f"has a term that is {_kind(term)}, wanted Term")
        for wish in (term, *term.otherwise):
            _check_wish(wish, plugin, hook)
        if not term.hard and not (math.isfinite(term.weight) and term.weight >= 0):
            raise PluginError(plugin, hook, f"the weight of a term is {term.weight!r}, wanted a number >= 0")
    return given.terms


def _check_wish(wish: Any, plugin: str, hook: str) -> None:
    if not isinstance(wish, Term):
        raise PluginError(plugin, hook, f"has a choice that is {_kind(wish)}, wanted Term")
    said = [name for name in ("service", "label", "node") if getattr(wish, name) not in ("", ("", ""))]
    if len(said) > 1:
        raise PluginError(plugin, hook, f"has a term with {' and '.join(said)}, wanted one of them")
    if wish.most and not (wish.avoid and wish.is_about_tasks and wish.most > 0):
        raise PluginError(plugin, hook, f"has a term with most={wish.most}, wanted 1 or more, and avoid")


def checked_plan(given: Any, groups: Sequence[Group], view: ClusterView, plugin: str) -> Plan:
    """A plan whose placements are well formed, are of these groups, and fit when taken in order."""
    if not isinstance(given, Plan):
        raise PluginError(plugin, "place", f"gave {_kind(given)}, wanted Plan")
    left = {group.id: group.count for group in groups}
    for placement in given.placements:
        if not isinstance(placement, Placement):
            raise PluginError(plugin, "place", f"has a placement that is {_kind(placement)}, wanted Placement")
        if placement.group not in left:
            raise PluginError(plugin, "place", f"places the group {placement.group!r}, which it was not given")
        _check_indices(placement, len(view.nodes), plugin)
        left[placement.group] -= placement.total
        if left[placement.group] < 0:
            raise PluginError(
                plugin, "place", f"places {-left[placement.group]} tasks too many of the group {placement.group}"
            )
    if given.proof is not None:
        checked_proof(given.proof, plugin, "place")
    misfit = view.misfit(given)
    if misfit is not None:
        raise PluginError(plugin, "place", f"its plan does not fit: {misfit}")
    return given


def checked_proof(given: Any, plugin: str, hook: str) -> Proof:
    """Numbers that are numbers, in the order that they claim: bound <= value <= start."""
    if not isinstance(given, Proof):
        raise PluginError(plugin, hook, f"gave a proof that is {_kind(given)}, wanted Proof")
    bound = given.value if given.bound is None else given.bound
    if not all(map(math.isfinite, (bound, given.value, given.start))) or not bound <= given.value <= given.start:
        raise PluginError(
            plugin,
            hook,
            f"its proof of {given.goal} has bound {given.bound}, value {given.value} and start {given.start}, "
            "wanted bound <= value <= start",
        )
    return given


def checked_moves(given: Any, view: ClusterView, plugin: str) -> Moves:
    """Moves of tasks and to nodes that exist, each task at most once, with numbers that are numbers."""
    if not isinstance(given, Moves):
        raise PluginError(plugin, "rebalance", f"gave {_kind(given)}, wanted Moves")
    moved = set()
    for move in given.moves:
        task = view.task(move.task)
        if task is None or view.nodes.index(task.node_id) is None:
            raise PluginError(plugin, "rebalance", f"moves the task {move.task!r}, which is on no node")
        if view.nodes.index(move.to) is None:
            raise PluginError(plugin, "rebalance", f"moves the task {move.task} to {move.to!r}, which is no node")
        if move.task in moved:
            raise PluginError(plugin, "rebalance", f"moves the task {move.task} twice")
        moved.add(move.task)
    for name in ("imbalance_before", "imbalance_after", "bound"):
        if not math.isfinite(getattr(given, name)):
            raise PluginError(plugin, "rebalance", f"{name} is {getattr(given, name)}")
    return given


def checked_options(given: Mapping[str, Any], known: Mapping[str, Any], plugins: Sequence[str]) -> dict[str, Any]:
    """{"plugin.option": value}: what is given, converted, over the defaults `known`."""
    options = dict(known)
    for name, value in given.items():
        if name not in known:
            owner = name.partition(".")[0]
            if owner not in plugins:
                loaded = ", ".join(plugins) or "none"
                raise PluginError(owner, "", f"{name} is set, but that plugin is not in use; in use: {loaded}")
            there = ", ".join(option for option in known if option.startswith(f"{owner}.")) or "none"
            raise PluginError(owner, "", f"has no option {name}; there are: {there}")
        options[name] = converted(value, known[name], name.partition(".")[0], name)
    return options


def _check_indices(placement: Placement, n: int, plugin: str) -> None:
    nodes, counts = placement.nodes, placement.counts
    here = f"its placement of the group {placement.group}"
    for name, array in (("nodes", nodes), ("counts", counts)):
        if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind not in "iu":
            raise PluginError(plugin, "place", f"{here} has {name} that are {_kind(array)}, wanted a row of integers")
    if len(nodes) != len(counts):
        raise PluginError(plugin, "place", f"{here} has {len(nodes)} nodes and {len(counts)} counts")
    if not len(nodes):
        return
    if int(nodes[0]) < 0 or int(nodes[-1]) >= n or not _ascends(nodes):
        raise PluginError(plugin, "place", f"{here} has nodes that are not ascending numbers from 0 to {n - 1}")
    if int(counts.min()) < 1:
        raise PluginError(plugin, "place", f"{here} gives {int(counts.min())} tasks to a node, wanted 1 or more")


def _ascends(nodes: Ints) -> bool:
    return bool((nodes[1:] > nodes[:-1]).all())


def _array(value: Any, n: int, plugin: str, hook: str, name: str) -> np.ndarray[Any, Any]:
    if not isinstance(value, np.ndarray):
        raise PluginError(plugin, hook, f"its {name} is {_kind(value)}, wanted an array")
    if value.shape != (n,):
        raise PluginError(plugin, hook, f"its {name} has the shape {value.shape}, wanted ({n},): one entry per node")
    return value


def _kind(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} of shape {value.shape}"
    return "None" if value is None else f"of the type {type(value).__name__}"
