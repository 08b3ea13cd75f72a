"""Three swarmlab managers change their leader while stock engines run tasks."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import NamedTuple

from interop.engines_join import CREATE, IMAGE, check_active, docker
from interop.hosts import Host, Hosts, until
from interop.lab import Lab
from interop.steps import Steps

#: Elections take 2 to 4 s, not 10 to 20.
FLAGS = ("--tick", "200")


class Stage(NamedTuple):
    """Three swarmlab managers and two stock engines."""

    hosts: Hosts
    managers: tuple[Lab, ...]
    engines: tuple[Host, Host]
    steps: Steps

    def leader(self) -> Lab:
        """The manager that leads, by the word of those that run."""
        [address] = {each.json("swarm", "status").get("leader_addr") for each in self.managers if each.runs}
        [leader] = [each for each in self.managers if each.address == address]
        return leader

    def containers(self) -> set[str]:
        """The ids of the containers that run on the engines."""
        return {container for engine in self.engines for container in engine.docker("ps", "-q", "--no-trunc").split()}


@contextlib.contextmanager
def stage(steps: Steps) -> Iterator[Stage]:
    """The five of them, joined, with tasks that run on the engines."""
    steps.title("three swarmlab managers change their leader under stock engines")
    with Hosts("m1", "m2", "m3", "engine1", "engine2") as hosts:
        managers = tuple(Lab(hosts[name], steps, flags=FLAGS) for name in ("m1", "m2", "m3"))
        engines = hosts["engine1"], hosts["engine2"]
        hosts.start_engines("engine1", "engine2")
        first = managers[0]
        steps.step("three managers")
        for each in managers:
            each.start()
        first("swarm", "init", "--availability", "drain")
        token = first("swarm", "join-token", "-q", "manager")
        for each in managers[1:]:
            each.show("swarm", "join", "--availability", "drain", "--token", token, first.address)
        steps.step("two stock engines, which join at different managers")
        token = first("swarm", "join-token", "-q", "worker")
        for engine, manager in zip(engines, managers[1:], strict=True):
            docker(steps, engine, "swarm", "join", "--token", token, manager.address)
            check_active(steps, engine)
        first.show(*CREATE, "--name", "steady", "--replicas", "4", IMAGE, "sleep", "1000")
        first.show("node", "ls")
        yield Stage(hosts, managers, engines, steps)


def leader_is_killed(stage: Stage) -> None:
    """A leader that is killed: another one leads, engines find it, no task is restarted, new ones run."""
    steps, leader = stage.steps, stage.leader()
    steps.step(f"kill -9 of the leader, {leader.host.name}")
    containers, tasks = stage.containers(), leader.running("steady")
    leader.stop(signal.SIGKILL)
    other = next(each for each in stage.managers if each.runs)
    until(lambda: stage.leader().runs, what="another leader")
    after = stage.leader()
    steps.checked(True, f"{after.host.name} leads")
    after("service", "scale", "--wait", "--timeout", "60s", "steady=6", seconds=90)
    until(
        lambda: [other.node_states()[each.name] for each in stage.engines] == ["ready", "ready"], what="engines ready"
    )
    other.show("node", "ls")
    check_untouched(stage, other, containers, tasks)
    leader.start()
    until(lambda: set(other.node_states().values()) == {"ready"}, what="the old leader is back")
    other("service", "scale", "--wait", "steady=4")


def leader_stops(stage: Stage) -> None:
    """A leader that stops in order hands over; what was said before is known to the next one."""
    steps, leader = stage.steps, stage.leader()
    steps.step(f"the leader, {leader.host.name}, stops in order")
    containers, tasks = stage.containers(), leader.running("steady")
    leader.stop()
    until(lambda: stage.leader().runs, what="another leader")
    after = stage.leader()
    after("node", "update", "--label-add", "seen=yes", after.node_id(stage.engines[0]))
    steps.checked(True, f"{after.host.name} leads, and takes commands")
    until(
        lambda: [after.node_states()[each.name] for each in stage.engines] == ["ready", "ready"], what="engines ready"
    )
    check_untouched(stage, after, containers, tasks)
    leader.start()
    until(lambda: set(after.node_states().values()) == {"ready"}, what="it is back")


def leader_is_cut_off(stage: Stage) -> None:
    """A leader without a network: the others go on, and it follows them once its network is back."""
    steps, leader = stage.steps, stage.leader()
    steps.step(f"the wire of the leader, {leader.host.name}, is pulled")
    containers, tasks = stage.containers(), leader.running("steady")
    stage.hosts.cut(leader.host)
    others = [each for each in stage.managers if each is not leader]

    def new_leader() -> str:
        [address] = {each.json("swarm", "status")["leader_addr"] for each in others}
        return str(address)

    until(lambda: new_leader() not in ("", leader.address), what="another leader")
    after = next(each for each in others if each.address == new_leader())
    steps.checked(True, f"{after.host.name} leads")
    after("service", "scale", "--wait", "--timeout", "60s", "steady=5", seconds=90)
    check_untouched(stage, after, containers, tasks)
    stage.hosts.cut(leader.host, cut=False)
    until(lambda: leader.json("swarm", "status")["leader_addr"] == after.address, what="it follows")
    steps.checked(len(leader.running("steady")) == 5, f"{leader.host.name} knows what it missed")
    until(lambda: set(leader.node_states().values()) == {"ready"}, what="all nodes ready")
    leader("service", "scale", "--wait", "steady=4")


def check_untouched(stage: Stage, manager: Lab, containers: set[str], tasks: dict[str, str]) -> None:
    """The same containers and tasks run as before; more may."""
    kept = containers <= stage.containers() and tasks.items() <= manager.running("steady").items()
    stage.steps.checked(kept, f"{len(tasks)} tasks run as before: 0 restarts")
    ended = [task["id"] for task in manager.tasks("steady") if task["status"]["state"] in ("failed", "orphaned")]
    stage.steps.checked(not ended, "none failed")


CHAPTERS: tuple[Callable[[Stage], None], ...] = (leader_is_killed, leader_stops, leader_is_cut_off)
