"""Where strategies and plugins come from: entry points and files. The one part of this room that touches the world."""

import importlib.metadata
import importlib.util
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
from msgspec import field

from swarmlab.api import PluginError, UnknownPlugin, Value
from swarmlab.plugin import hookspecs
from swarmlab.plugin.checks import checked_strategy_class
from swarmlab.plugin.strategy import Strategy

#: Entry points of this group name modules whose registration hooks are asked.
GROUP = "swarmlab"
#: Environment variable that names the distributions, or the entry points, that are imported.
ALLOWED = "SWARMLAB_PLUGINS"
#: What pluggy leaves on a function that `hookimpl` marked.
_MARK = "swarmlab_impl"


#: Plugins that every cluster hears.
USUAL = ("affinity",)


class Catalog(Value, frozen=True, gc=True):
    """All that can be asked for by name."""

    #: {name: (class, origin)}, by name.
    strategies: Mapping[str, tuple[type[Strategy], str]] = field(default_factory=dict)
    #: {name: (module or object, origin)}, by name.
    plugins: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    #: {entry point: why it could not be loaded}; what they would have offered is missing above.
    broken: Mapping[str, str] = field(default_factory=dict)
    #: {entry point: why it was not asked}; nobody's fault.
    left_out: Mapping[str, str] = field(default_factory=dict)


def installed() -> Catalog:
    """What the installed distributions offer through the entry point group "swarmlab", each module for itself.

    A module that cannot be imported, that breaks the contract, or that offers a name which is taken, is left out whole
    and noted in `broken`: one bad distribution keeps nobody else from working. Where the environment variable
    SWARMLAB_PLUGINS is set, only the distributions or entry points that it names (between commas) are imported, and
    what swarmlab itself ships.
    """
    catalog = Catalog()
    broken: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        called = f"{point.name} = {point.value}"
        if not _allowed(point):
            left_out[called] = f"{ALLOWED} does not name it"
            continue
        try:
            catalog = _joined(catalog, point.value, point.load())
        except PluginError as error:
            broken[called] = str(error)
        except Exception as error:
            broken[called] = told(error)
    return Catalog(_sorted(catalog.strategies), _sorted(catalog.plugins), broken, left_out)


def offered(modules: Mapping[str, Any], broken: Mapping[str, str] | None = None) -> Catalog:
    """The catalog of these modules, {origin: module}, asked one after the other.

    Raises:
        PluginError: Two modules offer the same name, or what is offered is no strategy.
    """
    catalog = Catalog()
    for origin, module in modules.items():
        catalog = _joined(catalog, origin, module)
    return Catalog(_sorted(catalog.strategies), _sorted(catalog.plugins), dict(broken or {}))


def _joined(catalog: Catalog, origin: str, module: Any) -> Catalog:
    """The catalog with what one module offers, all or nothing."""
    strategies, plugins = dict(catalog.strategies), dict(catalog.plugins)
    manager = pluggy.PluginManager("swarmlab")
    manager.add_hookspecs(hookspecs)
    registered(manager, module, origin)
    for given in asked(manager, "swarmlab_register_strategies", origin):
        for offer in given:
            _add(strategies, checked_strategy_class(offer, origin).name, offer, origin, "strategy")
    for given in asked(manager, "swarmlab_register_plugins", origin):
        for name, offer in given.items():
            _add(plugins, name, offer, origin, "plugin")
    return Catalog(strategies, plugins)


def _sorted(table: Mapping[str, tuple[Any, str]]) -> dict[str, tuple[Any, str]]:
    return dict(sorted(table.items()))


def _allowed(point: importlib.metadata.EntryPoint) -> bool:
    listed = os.environ.get(ALLOWED)
    own = point.dist.name if point.dist is not None else ""
    if listed is None or own == "swarmlab":
        return True
    return bool({own, point.name} & {name.strip() for name in listed.split(",")} - {""})


def registered(manager: pluggy.PluginManager, plugin: Any, name: str) -> None:
    """Register `plugin`; raises PluginError where a hook is unknown, or has arguments that its spec does not know."""
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(name, "", f"is not a valid plugin: {' '.join(str(error).split())}") from error
    except ValueError as error:
        raise PluginError(name, "", f"cannot be loaded twice: {error}") from error


def asked(manager: pluggy.PluginManager, hook: str, origin: str) -> list[Any]:
    """What the one plugin of `manager` answers to a hook without arguments."""
    try:
        return list(getattr(manager.hook, hook)())
    except Exception as error:
        raise PluginError(origin, hook, f"raised {told(error)}") from error


def strategy_class(spec: str, catalog: Catalog) -> tuple[type[Strategy], str]:
    """The class, and its origin, that `spec` names: a strategy's name, or "./file.py:Class".

    Raises:
        UnknownPlugin: There is none of that name.
        PluginError: The file is missing or raises, has no such class, or the class is no strategy.
    """
    if not is_file(spec):
        offer: tuple[type[Strategy], str] = named(spec, catalog.strategies, "strategy", catalog)
        return offer
    path, name = _parted(spec)
    module = imported(path)
    if name:
        found = _member(module, path, name)
    else:
        classes = [value for value in vars(module).values() if _is_strategy(value, module)]
        if len(classes) != 1:
            seen = ", ".join(value.__name__ for value in classes) or "none"
            raise PluginError(path, "", f"wanted one strategy in the file, found {seen}; name it: {path}:CLASS")
        found = classes[0]
    cls = checked_strategy_class(found, spec)
    if cls.name in catalog.strategies:
        other = catalog.strategies[cls.name][1]
        raise PluginError(spec, "", f"its name {cls.name!r} is taken by the strategy of {other}; give it another name")
    return cls, path


def plugin_object(spec: str, catalog: Catalog) -> tuple[Any, str]:
    """The plugin, and its name, that `spec` names: a plugin's name, "./file.py", or "./file.py:member".

    A class is made into an object, without arguments. Raises as `strategy_class`.
    """
    if is_file(spec):
        path, name = _parted(spec)
        module = imported(path)
        plugin: Any = _member(module, path, name) if name else module
        name = name or Path(path).stem
    else:
        plugin, _ = named(spec, catalog.plugins, "plugin", catalog)
        name = spec
    if isinstance(plugin, type):
        try:
            plugin = plugin()
        except Exception as error:
            raise PluginError(name, "", f"its constructor raised {told(error)}") from error
    return plugin, name


def with_usual(plugins: Sequence[str]) -> tuple[str, ...]:
    """The names asked for, and those that every cluster hears: what users say in labels must not go unheard."""
    return (*(name for name in USUAL if name not in plugins), *plugins)


def is_strategy(spec: str, catalog: Catalog) -> bool:
    """Whether `spec` names a strategy; else it names a plugin. A file with both is meant for its strategy.

    Raises as `strategy_class`.
    """
    if not is_file(spec):
        named(spec, {**catalog.strategies, **catalog.plugins}, "strategy or plugin", catalog)
        return spec in catalog.strategies
    path, name = _parted(spec)
    module = imported(path)
    if name:
        found = _member(module, path, name)
        return isinstance(found, type) and issubclass(found, Strategy)
    return any(_is_strategy(value, module) for value in vars(module).values())


def hooks_of(plugin: Any) -> tuple[str, ...]:
    """The hooks that a plugin answers, by name."""
    return tuple(name for name in dir(plugin) if hasattr(getattr(plugin, name, None), _MARK))


def is_file(spec: str) -> bool:
    """It is the path of a file, perhaps with a class, and not a name."""
    return spec.partition(":")[0].endswith(".py") or "/" in spec


def named(name: str, table: Mapping[str, Any], what: str, catalog: Catalog) -> Any:
    """The entry of that name. Raises UnknownPlugin with near names, and with what could not be loaded."""
    if name in table:
        return table[name]
    near = get_close_matches(name, table, n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    broken = "".join(f"; {point} could not be loaded: {why}" for point, why in catalog.broken.items())
    broken += "".join(f"; {point} was left out: {why}" for point, why in catalog.left_out.items())
    raise UnknownPlugin(
        name, f"there is no {what} of that name{hint or '.'} There are: {', '.join(table) or 'none'}{broken}", near
    )


def imported(path: str) -> ModuleType:
    """The module of that file, under a name of its own."""
    file = Path(path)
    if not file.is_file():
        folder = file.parent
        near = get_close_matches(file.name, sorted(p.name for p in folder.glob("*.py")), n=3) if folder.is_dir() else []
        hint = f"; did you mean {' or '.join(str(folder / name) for name in near)}?" if near else ""
        raise PluginError(path, "", f"there is no such file{hint}")
    name = f"swarmlab_file_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PluginError(path, "", "is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # Dataclasses and pickles look their module up.
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise PluginError(path, "", f"raised on import: {told(error, path)}") from error
    return module


def told(error: BaseException, path: str = "") -> str:
    """An exception in one line, with the last line of `path`, or of any file, that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if path and Path(frame.filename).name == Path(path).name] or frames
    at = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        at = f" ({Path(error.filename or path).name}, line {error.lineno})"
        return f"{type(error).__name__}: {error.msg}{at}"
    return f"{type(error).__name__}: {error}{at}"


def _parted(spec: str) -> tuple[str, str]:
    path, _, name = spec.rpartition(":") if ".py:" in spec else (spec, "", "")
    return path, name


def _member(module: ModuleType, path: str, name: str) -> Any:
    if hasattr(module, name):
        return getattr(module, name)
    own = ((key, value) for key, value in vars(module).items() if isinstance(value, type))
    classes = sorted(key for key, value in own if value.__module__ == module.__name__)
    near = get_close_matches(name, classes, n=3, cutoff=0.4)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise UnknownPlugin(f"{path}:{name}", f"the file has no {name}{hint}", near)


def _is_strategy(value: object, module: ModuleType) -> bool:
    return isinstance(value, type) and issubclass(value, Strategy) and value.__module__ == module.__name__


def _add(table: dict[str, tuple[Any, str]], name: str, offer: Any, origin: str, what: str) -> None:
    if name in table:
        other = table[name][1]
        raise PluginError(origin, "", f"its {what} {name!r} has the name of one of {other}; one of them must go")
    table[name] = (offer, origin)
