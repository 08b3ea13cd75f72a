"""Percentiles, and when many tasks came to their states."""

from msgspec.structs import replace

from swarmlab.api import Change, ChangeKind, Service, Task, TaskState, TaskStatus
from swarmlab.bench.arrivals import Arrivals
from swarmlab.bench.latency import latencies
from swarmlab.store import EMPTY, Committed


def test_latencies() -> None:
    assert latencies([number / 1000 for number in range(100, 0, -1)]) == {"latency_p50_ms": 51, "latency_p99_ms": 100}
    assert latencies([0.002]) == {"latency_p50_ms": 2, "latency_p99_ms": 2}
    assert latencies([]) == {"latency_p50_ms": 0, "latency_p99_ms": 0}


def test_arrivals_are_those_of_the_last_task() -> None:
    """A state that was skipped counts as reached; tasks that ended, and other objects, do not count."""
    arrivals = Arrivals(2)

    def note(**states: TaskState) -> None:
        changes = [
            Change(ChangeKind.UPDATED, replace(Task(id=key), status=TaskStatus(state=state)))  # type: ignore[arg-type]
            for key, state in states.items()
        ]
        arrivals.note(Committed(EMPTY, (*changes, Change(ChangeKind.CREATED, Service()))))

    note(a=TaskState.ASSIGNED, b=TaskState.FAILED)
    assert arrivals.at == {}
    note(b=TaskState.READY)
    assert list(arrivals.at) == [TaskState.ASSIGNED]
    note(a=TaskState.RUNNING)
    assert not arrivals.complete.is_set()
    note(b=TaskState.RUNNING)
    assert list(arrivals.at) == [TaskState.ASSIGNED, TaskState.READY, TaskState.RUNNING]
    assert list(arrivals.at.values()) == sorted(arrivals.at.values())
    assert arrivals.complete.is_set()
