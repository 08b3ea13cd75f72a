"""Both directions: stock Docker Engines join a swarmlab manager, and swarmlab's workers join a stock Docker manager.

`make interop` runs it from nothing and prints each step; the tests run the same steps. Needs root, for its own hosts.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hosts import Host, Hosts, missing, until

SWARMLAB = str(Path(sys.executable).with_name("swarmlab"))
PORT = 2377


class Lab:
    """A host that runs swarmlab's node."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.state = host.home / "state"
        self._process: Any = None

    def start(self, *flags: str) -> None:
        """Start the node's process, and wait until it answers."""
        address = ("--listen-addr", f"{self.host.address}:{PORT}", "--advertise-addr", self.host.address)
        words = ("daemon", "--state-dir", str(self.state), "--hostname", self.host.name, *address, *flags)
        self._process = self.host.start(SWARMLAB, *words, log="swarmlab.log")
        until(lambda: (self.state / "swarmlab.sock").exists(), what=f"the socket of {self.host.name}")

    def __call__(self, *words: str, check: bool = True, seconds: float = 60) -> str:
        """What `swarmlab WORDS` prints here."""
        socket = {"SWARMLAB_SOCKET": str(self.state / "swarmlab.sock")}
        return self.host.run(SWARMLAB, *words, check=check, env=socket, seconds=seconds).strip()

    def json(self, *words: str) -> Any:
        """The same with `-o json`, read."""
        return json.loads(self(*words, "-o", "json"))


class Steps:
    """Prints what is done, what came of it, and when."""

    def __init__(self, say: Callable[[str], object] = print) -> None:
        self._say = say
        self._start = time.monotonic()
        self._number = 0

    def step(self, text: str) -> None:
        """A new step."""
        self._number += 1
        self._say(f"\n[{self._number}] {text}  ({time.monotonic() - self._start:.1f} s)")

    def shown(self, text: str) -> str:
        """What a command printed."""
        for line in text.splitlines():
            self._say(f"    {line}")
        return text

    def checked(self, holds: bool, text: str) -> None:
        """A fact that has to hold."""
        if not holds:
            raise AssertionError(text)
        self._say(f"    ok: {text}")


def running_on(lab: Lab, service: str) -> dict[str, int]:
    """{node id: running tasks of the service}, by the manager's word."""
    found: dict[str, int] = {}
    for task in lab.json("service", "ps", service):
        if task["status"]["state"] == "running":
            found[task["node_id"]] = found.get(task["node_id"], 0) + 1
    return found


def engines_join_swarmlab(steps: Steps) -> None:
    """A swarmlab manager, two stock engines and one swarmlab worker."""
    with Hosts("manager", "engine1", "engine2", "worker") as hosts:
        steps.step("hosts with addresses of their own: " + ", ".join(f"{host.name} {host.address}" for host in hosts))
        manager, worker = Lab(hosts["manager"]), Lab(hosts["worker"])
        engines = (hosts["engine1"], hosts["engine2"])
        for host in (*engines, hosts["worker"]):
            host.start_engine()
            host.import_busybox()
        steps.step("swarmlab swarm init")
        manager.start("--executor", "process")
        steps.shown(manager("swarm", "init", "--availability", "drain"))
        token = manager("swarm", "join-token", "-q", "worker")
        for engine in engines:
            steps.step(f"docker swarm join on {engine.name}, a stock engine")
            steps.shown(engine.docker("swarm", "join", "--token", token, f"{hosts['manager'].address}:{PORT}"))
            info = engine.docker("info", "--format", "{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}")
            steps.checked(info == "active false", "docker info says Swarm: active, Is Manager: false")
        steps.step("swarmlab swarm join on worker, with swarmlab's own docker executor")
        worker.start("--executor", "docker")
        steps.shown(worker("swarm", "join", "--token", token, f"{hosts['manager'].address}:{PORT}"))
        until(
            lambda: sum(node["status"]["state"] == "ready" for node in manager.json("node", "ls")) == 4,
            what="four nodes ready",
        )
        steps.shown(manager("node", "ls"))

        steps.step("swarmlab service create --replicas 3 on both kinds of workers")
        create = ("service", "create", "--wait", "--timeout", "60s")
        steps.shown(manager(*create, "--name", "web", "--replicas", "3", "busybox:latest", "sleep", "1000"))
        steps.shown(manager("service", "ps", "web"))
        until(lambda: sum(running_on(manager, "web").values()) == 3, what="three tasks running")
        steps.checked(len(running_on(manager, "web")) == 3, "one task on each of the three workers")
        for engine in engines:
            steps.shown(engine.docker("ps", "--format", "{{.Names}} {{.Image}} {{.Status}}"))

        steps.step("a secret and a config reach a stock engine, and its logs come back")
        for kind, text in (("secret", "hush"), ("config", "hello")):
            file = hosts["manager"].home / kind
            file.write_text(f"{text}\n")
            manager(kind, "create", f"a-{kind}", str(file))
        script = "cat /run/secrets/a-secret /a-config; sleep 1000"
        engine_id = engines[0].docker("info", "--format", "{{.Swarm.NodeID}}")
        given = ("--secret", "a-secret", "--config", "a-config", "--constraint", f"node.id=={engine_id}")
        manager(*create, "--name", "reader", *given, "busybox:latest", "sh", "-c", script)
        until(lambda: "hello" in manager("service", "logs", "reader"), what="the log of the task")
        logs = steps.shown(manager("service", "logs", "reader"))
        steps.checked("hush" in logs and "hello" in logs, "secret and config are files of the task")

        steps.step("a task that fails, an image that is not there")
        manager("service", "create", "--name", "fails", "--restart-condition", "none", "--constraint",
                f"node.id=={engine_id}", "busybox:latest", "sh", "-c", "exit 3")  # fmt: skip
        manager("service", "create", "--name", "absent", "--restart-condition", "none", "--constraint",
                f"node.id=={engine_id}", "nosuchimage:1", "true")  # fmt: skip
        until(lambda: states(manager, "fails") == {"failed"}, what="FAILED with its exit code")
        until(lambda: states(manager, "absent") == {"rejected"}, seconds=90, what="REJECTED without its image")
        steps.shown(manager("service", "ps", "fails"))
        steps.shown(manager("service", "ps", "absent"))

        steps.step("certificates: full rotation of the root while engines run")
        before = manager("swarm", "ca")
        manager("swarm", "ca", "--rotate", seconds=180)
        steps.checked(manager("swarm", "ca") != before, "the cluster has another root")
        steps.checked(sum(running_on(manager, "web").values()) == 3, "and no task was restarted")

        steps.step("drain one engine, restart the other, remove the first")
        manager("node", "update", "--availability", "drain", engine_id)
        until(lambda: engine_id not in running_on(manager, "web"), what="drained")
        engines[1].stop_engine()
        engines[1].start_engine()
        until(lambda: sum(running_on(manager, "web").values()) == 3, seconds=90, what="three tasks after the restart")
        steps.shown(manager("service", "ps", "web"))
        steps.shown(engines[0].docker("swarm", "leave"))
        until(lambda: state_of(manager, engine_id) == "down", seconds=90, what="the node that left is down")
        steps.shown(manager("node", "rm", engine_id))
        steps.shown(manager("node", "ls"))
        steps.checked(len(manager.json("node", "ls")) == 3, "three nodes are left")


def states(lab: Lab, service: str) -> set[str]:
    """The states of the service's tasks."""
    return {task["status"]["state"] for task in lab.json("service", "ps", service)}


def state_of(lab: Lab, node: str) -> str:
    """The state of a node."""
    [state] = [each["status"]["state"] for each in lab.json("node", "ls") if each["id"] == node]
    return str(state)


def swarmlab_joins_docker(steps: Steps) -> None:
    """A stock manager, and a swarmlab worker."""
    with Hosts("docker", "worker") as hosts:
        stock, worker = hosts["docker"], Lab(hosts["worker"])
        steps.step("docker swarm init on a stock engine")
        for host in hosts:
            host.start_engine()
            host.import_busybox()
        stock.docker("swarm", "init", "--advertise-addr", stock.address)
        token = stock.docker("swarm", "join-token", "-q", "worker")
        steps.step("swarmlab swarm join")
        worker.start("--executor", "docker")
        steps.shown(worker("swarm", "join", "--token", token, f"{stock.address}:{PORT}"))
        until(lambda: stock.docker("node", "ls", "--format", "{{.Status}}").split() == ["Ready", "Ready"], what="Ready")
        steps.shown(stock.docker("node", "ls"))
        steps.step("docker service create runs a task on swarmlab's worker")
        there = ("--constraint", "node.hostname==worker")
        stock.docker("service", "create", "-d", "--no-resolve-image", "--name", "web", *there, "busybox:latest",
                     "sh", "-c", "echo it runs; sleep 1000")  # fmt: skip
        until(lambda: "Running" in stock.docker("service", "ps", "web", "--format", "{{.CurrentState}}"), 60, "RUNNING")
        steps.shown(stock.docker("service", "ps", "web"))
        steps.shown(hosts["worker"].docker("ps", "--format", "{{.Names}} {{.Image}} {{.Status}}"))
        steps.step("docker service logs asks swarmlab's worker for the lines")
        until(lambda: "it runs" in stock.docker("service", "logs", "web"), what="the log of the task")
        steps.shown(stock.docker("service", "logs", "web"))
        steps.step("docker service rm stops it")
        stock.docker("service", "rm", "web")
        until(lambda: not hosts["worker"].docker("ps", "-q"), what="no container is left")
        steps.checked(True, "the container is gone")


def main() -> int:
    """Both directions, step by step."""
    lacking = missing()
    if lacking:
        print(f"interop: this machine lacks {lacking}", file=sys.stderr)
        return 3
    steps = Steps(lambda text: print(text, flush=True))
    engines_join_swarmlab(steps)
    swarmlab_joins_docker(steps)
    print("\nboth directions work")
    return 0


if __name__ == "__main__":
    sys.exit(main())
