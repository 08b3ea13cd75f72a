"""The live view, frame by frame."""

import pytest
from cli_ground import NOW, a_node, a_service, a_task
from rich.console import Console

from swarmlab.api import (
    ContainerSpec,
    Create,
    Instant,
    LabEvent,
    NodeState,
    ResourceRequirements,
    Resources,
    TaskSpec,
    TaskState,
)
from swarmlab.cli.live import Picture, frame
from swarmlab.store import EMPTY, Snapshot, apply


def a_view(*objects: object) -> Snapshot:
    return apply(EMPTY, [[Create(one)] for one in objects], NOW, 7).snapshot


def a_picture(view: Snapshot, events: int = 3) -> Picture:
    story = [
        LabEvent(
            index=n, at=Instant(NOW + n), component="scheduler", name="placed", fields=f'{{"service":"web","n":{n}}}'
        )
        for n in range(events)
    ]
    return Picture(view, story, "rebalance", "process", ["In a second terminal:", "  swarmlab node ls"], 75.4)


def drawn(picture: Picture, width: int = 100, height: int = 30) -> list[str]:
    console = Console(width=width, height=height, color_system=None, force_terminal=True)
    with console.capture() as capture:
        console.print(frame(picture, console))
    return [line.rstrip() for line in capture.get().splitlines()]


def busy_view(nodes: int = 3, services: int = 2) -> Snapshot:
    reserved = ResourceRequirements(reservations=Resources(250_000_000, 64 << 20))
    workers = [a_node(f"w{n}", NodeState.DOWN if n == 3 else NodeState.READY) for n in range(1, nodes + 1)]
    web, api = a_service("web", 3), a_service("api", 2, task=TaskSpec(container=ContainerSpec(), resources=reserved))
    tasks = [
        a_task(web, 1, workers[0]),
        a_task(web, 2, workers[1], TaskState.PREPARING),
        a_task(web, 3, workers[2]),
        a_task(web, 3, workers[1], TaskState.RUNNING, TaskState.SHUTDOWN, id="leaving"),
        a_task(api, 1, workers[0]),
        a_task(api, 2, None, TaskState.PENDING, err="no suitable node (insufficient resources on 2 nodes)"),
    ]
    others = [a_service(f"s{n}", 0) for n in range(services - 2)]
    return a_view(*workers, web, api, *others, *tasks)


def test_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarmlab.cli.live.local_time", lambda instant: "12:00:00")
    assert drawn(a_picture(busy_view()), 80, 24) == [
        "swarmlab  strategy rebalance  executor process  version 7  up 1:15   Ctrl-C sto…",
        "In a second terminal:",
        "  swarmlab node ls",
        "",
        "NODE   STATUS   RESERVED         TASKS",
        "─────────────────────────────────────────────────────",
        "w1     ready    0.25 CPU 64MiB   2       api █  web █",
        "w2     ready    -                1       web ░▒",
        "w3     down     -                0       web ▒",
        "",
        "SERVICE   MODE         RUNNING   UPDATE",
        "───────────────────────────────────────",
        "█ api     replicated   1/2",
        "█ web     replicated   1/3",
        "pending: api x1: no suitable node (insufficient resources on 2 nodes)",
        "╭─ events ─────────────────────────────────────────────────────────────────────╮",
        "│ 12:00:00 scheduler  placed service=web n=0                                   │",
        "│ 12:00:00 scheduler  placed service=web n=1                                   │",
        "│ 12:00:00 scheduler  placed service=web n=2                                   │",
        "│                                                                              │",
        "│                                                                              │",
        "│                                                                              │",
        "╰──────────────────────────────────────────────────────────────────────────────╯",
    ]


@pytest.mark.parametrize("height", [15, 16, 20, 24, 40, 80])
@pytest.mark.parametrize(("nodes", "services"), [(3, 2), (4, 8), (60, 40)])
def test_a_frame_is_never_taller_or_wider_than_its_screen(height: int, nodes: int, services: int) -> None:
    lines = drawn(a_picture(busy_view(nodes, services), events=100), 80, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= 80


def test_an_empty_cluster_says_what_to_do_next() -> None:
    lines = drawn(a_picture(a_view(a_node("w1")), events=0))
    assert "no services yet" in lines
    assert "  swarmlab node ls" in lines
