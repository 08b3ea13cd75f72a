"""Decisions written down and compared; what is optional says so."""

import sys
from pathlib import Path

import pytest

from swarmlab.plugin import Host
from swarmlab.testing import CPU, Case, Machine, Wanted, cases, golden, trace_of
from swarmlab.testing.calls import calls

CASE = Case((Machine(), Machine()), (Wanted(count=3, cpus=2),))


def desk(strategy: str = "spread"):
    return CASE.desk(Host.load(strategy, strict=True))


def test_a_trace_holds_the_records_and_where_each_task_is() -> None:
    lines = trace_of(desk())
    assert lines[-3:] == ["s0.001 assigned on n00", "s0.002 assigned on n00", "s0.003 assigned on n01"]
    assert '"record": "placed"' in lines[0]
    assert CPU == 10**9


def test_a_golden_trace_is_compared_byte_for_byte(tmp_path: Path) -> None:
    """It is written when that is asked for, and never otherwise; the first line that differs is shown."""
    file = tmp_path / "kept" / "spread.txt"
    with pytest.raises(AssertionError, match=r"there is no golden trace .* write it with --rewrite"):
        golden(file, desk())
    assert not file.exists()
    golden(file, desk(), rewrite=True)
    golden(file, desk())
    kept = file.read_text()
    file.write_text(kept.replace("s0.003 assigned on n01", "s0.003 assigned on n00"))
    with pytest.raises(AssertionError, match=r"it was\n  s0.003 assigned on n00\nand is\n  s0.003 assigned on n01"):
        golden(file, desk())
    file.write_text(kept + "more\n")
    with pytest.raises(AssertionError, match=r"it was\n  more\nand is\n  \(the end\)"):
        golden(file, desk())


def test_without_hypothesis_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ImportError, match="needs hypothesis: pip install hypothesis"):
        cases()


def test_calls_are_heard_in_order() -> None:
    heard = calls("spread", ["flapping"])
    assert [call.hook for call in heard][-1] == "rebalance"
    assert heard[0].hook == "swarmlab_filter"
    assert {call.plugin for call in heard} == {"flapping", "spread"}
