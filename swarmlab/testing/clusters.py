"""Clusters for hypothesis: `@given(cases())`. Needs hypothesis, which swarmlab itself does not."""

from typing import TYPE_CHECKING

from swarmlab.testing.cases import Case, Machine, Wanted
from swarmlab.testing.drawing import with_running

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy


def cases(most_nodes: int = 8, most_services: int = 4, most_tasks: int = 9) -> "SearchStrategy[Case]":
    """Clusters within these bounds, hypothesis making them smaller where a test fails. What runs has room.

    Raises ImportError, which says what to install, where hypothesis is missing.
    """
    try:
        from hypothesis import strategies as st
    except ImportError as error:
        raise ImportError("swarmlab.testing.cases() needs hypothesis: pip install hypothesis") from error

    machine = st.builds(
        Machine,
        cpus=st.integers(0, 6),
        memory_mib=st.sampled_from((0, 256, 1024, 4096)),
        gpus=st.sampled_from((0, 0, 2)),
        zone=st.sampled_from("abc"),
        ready=st.sampled_from((True, True, True, False)),
    )
    wanted = st.builds(
        Wanted,
        count=st.integers(0, most_tasks),
        cpus=st.integers(0, 2),
        memory_mib=st.sampled_from((0, 128, 512)),
        gpus=st.sampled_from((0, 0, 1)),
        zone=st.sampled_from(("", "", "a", "b")),
        spread=st.booleans(),
        max_replicas=st.sampled_from((0, 0, 1, 2)),
        port=st.sampled_from((0, 0, 0, 8000, 8001)),
    )

    @st.composite
    def case(draw: "DrawFn") -> Case:
        machines = tuple(draw(st.lists(machine, max_size=most_nodes)))
        services: list[Wanted] = []
        for one in draw(st.lists(wanted, max_size=most_services)):
            wish = [draw(st.integers(0, 3)) for _ in machines]
            services.append(with_running(one, machines, services, wish))
        return Case(machines, tuple(services))

    return case()
