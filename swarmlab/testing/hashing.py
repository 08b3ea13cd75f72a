"""The same decisions in processes that order their sets differently."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from swarmlab.api import Value
from swarmlab.plugin import Host
from swarmlab.testing.cases import Case
from swarmlab.testing.trace import trace_of

#: Two values of PYTHONHASHSEED under which small sets of texts come in different orders.
SEEDS = ("1", "4242")


class Order(Value, frozen=True, kw_only=True):
    """What the other process is to do."""

    strategy: str
    plugins: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = {}
    cases: tuple[Case, ...] = ()


def differing_hash(
    strategy: str, plugins: Sequence[str], parameters: Mapping[str, Any], cases: Sequence[Case]
) -> tuple[str, Case | None]:
    """What differs between two processes, in a sentence, and the case with the fewest tasks that shows it; or nothing.

    What the other process cannot run, such as a class that only this one has, is told as broken: nothing was shown.
    """
    order = Order(strategy=strategy, plugins=tuple(plugins), parameters=parameters, cases=tuple(cases))
    told = []
    for seed in SEEDS:
        done = subprocess.run(
            [sys.executable, "-c", "from swarmlab.testing.hashing import main; main()"],
            input=msgspec.json.encode(order),
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=False,
        )
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
            return f"another process could not run it: {lines[-1]}", None
        told.append(done.stdout.decode().split())
    differ = [case for case, one, other in zip(cases, *told, strict=True) if one != other]
    if not differ:
        return "", None
    least = min(differ, key=lambda case: len(str(case)))
    return f"PYTHONHASHSEED={SEEDS[0]} and {SEEDS[1]} give different decisions: does a set, or hash(), decide?", least


def main() -> None:
    """Read an order from standard input; print one digest for each case."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    host = Host.load(order.strategy, order.plugins, order.parameters, strict=True)
    for case in order.cases:
        text = "\n".join(trace_of(case.desk(host)))
        sys.stdout.write(f"{hashlib.sha256(text.encode()).hexdigest()}\n")
