"""The house stays as it is drawn: import direction, cores without clock or chance, complete lists."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: Imports point to a smaller number; rooms of one number never import each other.
ROWS = {
    "api": 0,
    "component": 1,
    "store": 2,
    "plugin": 2,
    "metrics": 2,
    "raft": 2,
    "manager": 3,
    "agent": 3,
    "ca": 3,
    "node": 4,
    "edges": 5,
    "sim": 5,
    "daemon": 6,
    "embedded": 7,
    "testing": 8,
    "experiment": 8,
    "bench": 8,
    "cli": 9,
}
#: Rooms whose parts decide: no clock, no chance, no I/O.
CORES = {"api", "component", "store", "plugin", "raft", "manager", "agent", "ca"}
#: Parts of those rooms that do touch the world, and why.
NOT_CORES = {
    "strategies/cpsat.py",  # a program of its own, whose input is a pipe
    "strategies/solver.py",  # runs that program
    "swarmlab/api/proto/generate.py",  # a tool that runs the protobuf compiler
    "swarmlab/plugin/loading.py",  # finds and imports plugin files
}
FORBIDDEN_MODULES = {"asyncio", "socket", "uuid", "threading", "multiprocessing", "subprocess", "secrets"}
#: {module: names of it that a core may use}
RESTRICTED = {"time": set[str](), "random": {"Random"}, "datetime": {"timedelta", "UTC", "timezone", "datetime"}}
FORBIDDEN_CALLS = {"open", "hash", "id", "input", "print", "breakpoint"}
FORBIDDEN_METHODS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today")}

MODULES = sorted(
    path
    for folder in ("swarmlab", "strategies", "plugins")
    for path in (ROOT / folder).rglob("*.py")
    if not path.name.endswith(("_pb2.py", "_pb2_grpc.py"))
)


def _room(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[1] if parts[0] == "swarmlab" and len(parts) > 2 else parts[0]


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def _is_core(path: Path) -> bool:
    name = path.relative_to(ROOT).as_posix()
    return name not in NOT_CORES and (_room(path) in CORES or _room(path) in ("strategies", "plugins"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_downward(path: Path) -> None:
    """A room imports only what lies below it; strategies and plugins import `swarmlab.plugin` alone."""
    room = _room(path)
    wrong = []
    for line, name in _imports(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] in ("swarmlab_strategies", "swarmlab_plugins", "strategies", "plugins") and room not in (
            "strategies",
            "plugins",
        ):
            wrong.append(f"{line}: {name}: found by name, never imported")
        if parts[0] != "swarmlab" or len(parts) < 2:
            continue
        other = parts[1]
        if room in ("strategies", "plugins"):
            if other != "plugin":
                wrong.append(f"{line}: {name}: only swarmlab.plugin")
        elif room != "swarmlab" and other != room and other in ROWS and ROWS[other] >= ROWS[room]:
            wrong.append(f"{line}: {name}: {room} lies below or beside {other}")
    assert not wrong, "\n".join(sorted(set(wrong)))


@pytest.mark.parametrize(
    "path", [path for path in MODULES if _is_core(path)], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_cores_touch_no_clock_chance_or_io(path: Path) -> None:
    """What decides gets time, chance and messages passed in."""
    tree = ast.parse(path.read_text())
    wrong = []
    for line, name in _imports(tree):
        module, _, member = name.partition(".")
        if module in FORBIDDEN_MODULES:
            wrong.append(f"{line}: import of {name}")
        if module in RESTRICTED and member and member not in RESTRICTED[module]:
            wrong.append(f"{line}: import of {name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
            wrong.append(f"{node.lineno}: call of {node.func.id}()")
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module, member = node.value.id, node.attr
            if module in RESTRICTED and member not in RESTRICTED[module] and module in ("time", "random"):
                wrong.append(f"{node.lineno}: {module}.{member}")
            if (module, member) in FORBIDDEN_METHODS:
                wrong.append(f"{node.lineno}: {module}.{member}")
    assert not wrong, "\n".join(sorted(set(wrong)))


def test_every_room_opens_with_its_card() -> None:
    """Each package says its duty, what it takes and gives, and what it never does."""
    missing = []
    for path in sorted((ROOT / "swarmlab").rglob("__init__.py")):
        if path.parent == ROOT / "swarmlab":
            continue
        words = ast.get_docstring(ast.parse(path.read_text())) or ""
        missing += [
            f"{path.relative_to(ROOT)}: {word}" for word in ("Duty:", "Takes:", "Gives:", "Never:") if word not in words
        ]
    assert not missing, "\n".join(missing)


def test_the_distribution_lists_every_package() -> None:
    """pyproject.toml names the packages one by one, because two top-level folders install under longer names."""
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    present = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "swarmlab").rglob("__init__.py")} | {
        "swarmlab_plugins",
        "swarmlab_strategies",
    }
    assert listed == present


def test_no_catch_all_modules() -> None:
    """A function lives with the noun that it serves."""
    names = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}
    assert not [path for path in MODULES if path.name in names]
