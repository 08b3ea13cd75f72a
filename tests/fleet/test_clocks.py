"""Clocks that are wrong or jump: nothing that was agreed ends by it."""

import ast
import time
from pathlib import Path

import pytest
from daemon.swarm_ground import Swarm, a_service

import swarmlab
from swarmlab.api import MINUTE, Instant, InvalidSpec, NodeRole, TaskState
from swarmlab.edges.driver import LiveClock
from swarmlab.edges.tls.joining import join

HOUR = 60 * MINUTE
#: Modules that read the wall clock, and what for; in none of them does it decide who leads, lives or restarts.
READ_THE_WALL_CLOCK = {
    "swarmlab/edges/docker/events.py": "since when the Engine is asked for events, whose clock is the same one",
    "swarmlab/edges/driver.py": "where the instants of a process begin; from there on the monotonic clock counts",
    "swarmlab/edges/tls/front.py": "whether a certificate that is shown has ended",
}


def test_live_instants_do_not_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of the wall clock, either way, is none of theirs."""
    clock = LiveClock()
    before = clock()
    for step in (-HOUR, HOUR):
        real = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda real=real, step=step: real() + step)
        after = clock()
        assert before <= after < before + MINUTE
        before = after


def test_who_reads_the_wall_clock_is_known() -> None:
    """Of all that runs in a node process."""
    root = Path(swarmlab.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        name = f"swarmlab/{path.relative_to(root).as_posix()}"
        if name.startswith(("swarmlab/cli/", "swarmlab/bench/")) or name.endswith("_pb2.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                word = f"{node.value.id}.{node.attr}"
                if word in ("time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "date.today"):
                    found.add(name)
    assert found == READ_THE_WALL_CLOCK.keys()


@pytest.mark.parametrize("minutes", [-5, 5])
async def test_a_node_whose_clock_differs_may_join(tmp_path: Path, minutes: int) -> None:
    """Roots and certificates begin early enough for clocks five minutes behind."""
    async with Swarm(tmp_path) as swarm:
        await swarm.init("m1")

        def now() -> Instant:
            return Instant(time.time_ns() + minutes * MINUTE)

        credentials = await join([swarm.addr("m1")], swarm.token(NodeRole.WORKER), now=now)
        assert credentials.check(now()).role is NodeRole.WORKER
        with pytest.raises(InvalidSpec, match="not now"):
            credentials.check(Instant(time.time_ns() - 26 * HOUR))


async def test_a_clock_that_is_set_ends_no_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of managers and workers alike, an hour forth and two back: no session, lead, node or task is lost."""
    async with Swarm(tmp_path) as swarm:
        await swarm.three()
        async with swarm.client("m1") as client:
            await client.create_service(a_service(4))
        await swarm.until(lambda: len(swarm.running("m1")) == 4, "four tasks run")
        tasks, leader = swarm.running("m1"), swarm.leader
        told = {name: len(swarm.events(name)) for name in swarm.processes}
        real = time.time_ns

        def all_run() -> bool:
            return all(task.status.state is TaskState.RUNNING for task in swarm.view("m1").tasks())

        for step in (HOUR, -HOUR):
            # Not `time.time` as well: gRPC reckons deadlines by it and waits for them by the true clock.
            monkeypatch.setattr(time, "time_ns", lambda step=step: real() + step)
            # What is asked and done meanwhile goes through every manager and to every worker.
            for number, name in enumerate(("m1", "m2", "m3")):
                async with swarm.client(name) as client:
                    await client.create_service(a_service(1, f"s{step}{number}".replace("-", "b")))
            await swarm.until(
                lambda: all(task.status.state.name == "RUNNING" for task in swarm.view("m1").tasks()), "all run"
            )
        assert swarm.leader == leader
        assert tasks.items() <= swarm.running("m1").items()
        later = {event for name in swarm.processes for event in swarm.events(name)[told[name] :]}
        assert not later & {"session-lost", "leader-lost", "node-down", "node-disconnected", "state-lost"}, later
