"""The README's samples do what the README says."""

import re
import shlex
from pathlib import Path

import pytest

from swarmlab.plugin import Host
from swarmlab.sim import run_scenario

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def _python_block(marker: str) -> str:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    [block] = [block for block in blocks if marker in block]
    return block


def test_simulated_cluster_in_five_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It runs from the project's folder and prints where the tasks are, and the two moves."""
    monkeypatch.chdir(ROOT)
    sample = _python_block("run_scenario")
    assert len([line for line in sample.splitlines() if line.strip()]) <= 5
    exec(compile(sample, "README.md", "exec"), {})
    assert capsys.readouterr().out == "{'w1': 1, 'w2': 1, 'w3': 1, 'w4': 1} 2\n"


def test_strategy_in_fifteen_lines(tmp_path: Path) -> None:
    """It is at most fifteen lines, loads from a file as it stands, and places a scenario's tasks."""
    sample = _python_block("class Roomiest")
    assert len([line for line in sample.splitlines() if line.strip()]) <= 15
    file = tmp_path / "roomiest.py"
    file.write_text(sample)
    result = run_scenario(ROOT / "examples/scenarios/rejoin.yml", f"{file}:Roomiest", seed=1)
    assert sum(result.tasks["api"].values()) == 6


def test_commands_of_the_samples_exist() -> None:
    """Every `swarmlab` line of a sample parses."""
    from swarmlab.cli.main import build_call

    lines = [
        line.split("#")[0].strip()
        for block in re.findall(r"```\n(.*?)```", README, re.DOTALL)
        for line in block.splitlines()
        if line.startswith("swarmlab")
    ]
    assert len(lines) >= 7
    for line in lines:
        build_call(shlex.split(line)[1:])


def test_tables_name_what_is_shipped() -> None:
    """The table of strategies is that of the host, and the table of hooks that of the hook specifications."""
    strategies = re.findall(r"^\| `([a-z-]+)` \|", README, re.MULTILINE)
    assert sorted(strategies) == sorted(info.name for info in Host.load("spread").strategies())
    hooks = dict(re.findall(r"^\| `(swarmlab_\w+)\(([^)]*)\)` \|", README, re.MULTILINE))
    from swarmlab.plugin import hookspecs

    wanted = {
        name: ", ".join(function.__code__.co_varnames[: function.__code__.co_argcount])
        for name, function in vars(hookspecs).items()
        if name.startswith("swarmlab_")
    }
    assert hooks == wanted


def test_plugin_page_samples_work(tmp_path: Path) -> None:
    """The strategy and the filter of docs/plugins.md load from files and do what their words say."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/plugins.md").read_text(), re.DOTALL)
    strategy, plugin = tmp_path / "one_each.py", tmp_path / "night.py"
    strategy.write_text(blocks[0])
    plugin.write_text(blocks[1])
    result = run_scenario(ROOT / "examples/scenarios/rejoin.yml", f"{strategy}:OneEach", seed=1)
    assert set(result.tasks["api"].values()) == {1}
    host = Host.load("spread", plugins=(str(plugin),), strict=True)
    assert host.strategy.name == "spread"
