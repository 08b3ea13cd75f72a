"""swarmlab's worker joins a stock Docker manager and works for it."""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from interop.hosts import Host, Hosts, until
from interop.lab import PORT, Lab
from interop.steps import Steps

IMAGE = "busybox:latest"
CREATE = ("service", "create", "--detach", "--no-resolve-image", "--stop-grace-period", "1s")
THERE = ("--constraint", "node.hostname==worker")


class Stage(NamedTuple):
    """A stock manager, and a swarmlab worker whose tasks are containers of an Engine that is in no swarm."""

    hosts: Hosts
    stock: Host
    worker: Lab
    steps: Steps

    def docker(self, *words: str, check: bool = True) -> str:
        """What `docker WORDS` prints on the manager, told."""
        return self.steps.shown(f"docker: docker {' '.join(words)}", self.stock.docker(*words, check=check))

    def on_worker(self, *words: str) -> str:
        """What `docker WORDS` prints on the Engine of the worker's host."""
        return self.hosts["worker"].docker(*words)

    def containers(self, service: str) -> list[str]:
        """The running containers of that service there, sorted."""
        return sorted(self.on_worker("ps", "-q", "--filter", f"name={service}.").split())

    def node(self) -> dict[str, Any]:
        """The worker's node, as the stock manager knows it."""
        [node] = json.loads(self.stock.docker("node", "inspect", "worker"))
        return dict(node)

    def tasks(self, service: str) -> list[str]:
        """'state of the task, its error' of each task of the service, the newest first."""
        rows = self.stock.docker("service", "ps", "--format", "{{.CurrentState}},{{.Error}}", "--no-trunc", service)
        return [
            f"{state.split()[0]} {error}".strip()
            for state, _, error in (row.partition(",") for row in rows.splitlines())
        ]

    def wait_running(self, service: str, count: int) -> None:
        """Wait until so many of its tasks run."""
        until(lambda: self.tasks(service).count("Running") == count, what=f"{count} tasks of {service}")

    def wait(self, service: str, *wanted: str) -> None:
        """Wait until those are the tasks of the service."""
        until(lambda: sorted(self.tasks(service)) == sorted(wanted), what=f"{service}: {', '.join(wanted)}")


@contextlib.contextmanager
def stage(steps: Steps) -> Iterator[Stage]:
    """The two of them, joined."""
    steps.title("swarmlab's worker joins a stock Docker manager")
    with Hosts("docker", "worker") as hosts:
        stock, worker = hosts["docker"], Lab(hosts["worker"], steps, executor="docker")
        hosts.start_engines("docker", "worker")
        steps.step("docker swarm init on a stock engine")
        stage = Stage(hosts, stock, worker, steps)
        stage.docker("swarm", "init", "--advertise-addr", stock.address)
        token = stock.docker("swarm", "join-token", "-q", "worker")
        steps.step("swarmlab swarm join with its token")
        worker.start()
        worker.show("swarm", "join", "--token", token, f"{stock.address}:{PORT}")
        yield stage


def worker_is_ready(stage: Stage) -> None:
    """The stock manager shows the worker as Ready, with what its machine has."""
    steps = stage.steps
    steps.step("the real docker node ls")
    until(lambda: stage.node()["Status"]["State"] == "ready", what="Ready")
    steps.checked("Ready" in stage.docker("node", "ls", "--filter", "name=worker"), "swarmlab's worker is Ready")
    stage.docker("node", "ls")
    description = stage.node()["Description"]
    steps.checked(description["Platform"] == {"Architecture": "x86_64", "OS": "linux"}, "its platform is known")
    steps.checked(description["Resources"]["NanoCPUs"] > 0, f"and its resources: {description['Resources']}")
    status = stage.worker.show("swarm", "status")
    steps.checked(f"{stage.stock.address}:{PORT}" in status, "it knows the stock manager")


def service_runs(stage: Stage) -> None:
    """A service of docker's runs on the worker, is updated, scaled and removed."""
    steps = stage.steps
    steps.step("docker service create runs on swarmlab's worker")
    stage.docker(*CREATE, "--name", "web", "--replicas", "2", *THERE, IMAGE, "sleep", "1000")
    stage.wait("web", "Running", "Running")
    stage.docker("service", "ps", "web")
    names = steps.shown("worker: docker ps", stage.on_worker("ps", "--format", "{{.Names}} {{.Image}} {{.Status}}"))
    steps.checked(names.count("web.") == 2, "two containers, made by swarmlab's docker executor")
    steps.step("docker service update and scale")
    stage.docker("service", "update", "--quiet", "--env-add", "COLOR=green", "--update-monitor", "1s", "web")
    colors = [stage.on_worker("exec", each, "sh", "-c", "echo $COLOR") for each in stage.containers("web")]
    steps.checked(colors == ["green", "green"], "both tasks have the new environment")
    stage.docker("service", "scale", "--detach", "web=3")
    until(lambda: len(stage.containers("web")) == 3, what="three containers")
    stage.docker("service", "rm", "web")
    until(lambda: not stage.on_worker("ps", "-a", "-q"), what="no container is left")
    steps.checked(True, "removed: no container is left")


def states_come_back(stage: Stage) -> None:
    """The ends of tasks are seen by the stock manager as its own worker's are."""
    steps = stage.steps
    steps.step("a task that ends, one that fails, one whose image is not there")
    once = (*CREATE, "--restart-condition", "none", *THERE)
    stage.docker(*once, "--name", "ends", IMAGE, "true")
    stage.docker(*once, "--name", "fails", IMAGE, "sh", "-c", "exit 3")
    stage.docker(*once, "--name", "absent", "nosuchimage:1", "true")
    stage.wait("ends", "Complete")
    stage.wait("fails", 'Failed "task: non-zero exit (3)"')
    until(lambda: stage.tasks("absent")[0].startswith("Rejected"), what="absent: Rejected")
    for service in ("ends", "fails", "absent"):
        stage.docker("service", "ps", "--no-trunc", "--format", "{{.Name}}: {{.CurrentState}} {{.Error}}", service)
    steps.checked("nosuchimage:1" in stage.tasks("absent")[0], "why it was rejected")
    stage.docker("service", "rm", "ends", "fails", "absent")


def secrets_configs_and_logs(stage: Stage) -> None:
    """Secrets and configs arrive, and docker service logs -f gets the lines."""
    steps = stage.steps
    steps.step("a secret, a config, docker service logs -f")
    for kind, text in (("secret", "hush"), ("config", "hello")):
        file = stage.stock.home / kind
        file.write_text(f"{text}\n")
        stage.docker(kind, "create", f"a-{kind}", str(file))
    script = "cat /run/secrets/a-secret /a-config; while true; do echo tick; sleep 1; done"
    given = ("--secret", "a-secret", "--config", "a-config")
    stage.docker(*CREATE, "--name", "reader", *given, *THERE, IMAGE, "sh", "-c", script)
    stage.wait("reader", "Running")
    following = stage.stock.start("docker", "service", "logs", "-f", "--raw", "reader", log="logs")
    log = stage.stock.home / "logs"
    until(lambda: log.read_text().count("tick") >= 3, what="lines that come while they are followed")
    following.terminate()
    following.wait()
    lines = steps.shown("docker: docker service logs -f --raw reader", log.read_text()).splitlines()
    steps.checked(lines[:3] == ["hush", "hello", "tick"], "secret, config and log lines")
    stage.docker("service", "rm", "reader")
    until(lambda: stage.stock.docker("secret", "rm", "a-secret") == "a-secret", what="not in use")
    stage.stock.docker("config", "rm", "a-config")


def ports_and_networks(stage: Stage) -> None:
    """A host port works; a task on an overlay network is not given to a worker that has none."""
    steps = stage.steps
    steps.step("a published port of the host")
    script = "echo served > /tmp/index.html; exec httpd -f -p 80 -h /tmp"
    port = ("--publish", "published=8080,target=80,mode=host")
    stage.docker(*CREATE, "--name", "site", *port, *THERE, IMAGE, "sh", "-c", script)
    stage.wait("site", "Running")
    url = f"http://{stage.hosts['worker'].address}:8080/"
    until(lambda: stage.stock.run("busybox", "wget", "-qO-", url).strip() == "served", what="the port answers")
    shown = stage.docker("service", "ps", "--format", "{{.Name}} {{.CurrentState}} {{.Ports}}", "site")
    steps.checked("*:8080->80/tcp" in shown, "port 8080 of the worker answers, and the manager knows it")
    steps.step("a task on an overlay network is not given to swarmlab's worker")
    stage.docker("network", "create", "--driver", "overlay", "span")
    stage.docker(*CREATE, "--name", "netted", "--network", "span", "--endpoint-mode", "dnsrr", "--replicas", "2", IMAGE,
                 "sleep", "1000")  # fmt: skip
    stage.wait("netted", "Running", "Running")
    where = stage.docker("service", "ps", "--format", "{{.Node}}", "netted").split()
    steps.checked(where == ["docker", "docker"], "both tasks are on the stock engine")
    stage.docker("service", "rm", "site", "netted")
    until(lambda: stage.stock.docker("network", "rm", "span") == "span", what="the network is free")


def node_process_restarts(stage: Stage) -> None:
    """The node's process goes and comes: the tasks run on meanwhile, and the manager sees the same ones."""
    steps = stage.steps
    steps.step("swarmlab's node process is killed and started again, its tasks run on")
    stage.docker(*CREATE, "--name", "calm", "--replicas", "2", *THERE, IMAGE, "sleep", "1000")
    stage.wait("calm", "Running", "Running")
    before = stage.containers("calm")
    stage.worker.stop(9)
    stage.worker.start()
    stage.docker("service", "scale", "--detach", "calm=3")
    stage.wait("calm", "Running", "Running", "Running")
    after = stage.containers("calm")
    steps.checked(set(before) < set(after), "the same two containers, and a third one")
    steps.step("drain, and active again")
    stage.docker("node", "update", "--availability", "drain", "worker")
    until(lambda: not stage.containers("calm"), what="no container")
    stage.docker("node", "update", "--availability", "active", "worker")
    stage.wait_running("calm", 3)
    stage.docker("service", "rm", "calm")


def root_rotation(stage: Stage) -> None:
    """docker swarm ca --rotate ends, with the swarmlab worker's certificate renewed and its tasks untouched."""
    steps = stage.steps
    steps.step("docker swarm ca --rotate while swarmlab's worker runs a task")
    stage.docker(*CREATE, "--name", "steady", *THERE, IMAGE, "sleep", "1000")
    stage.wait("steady", "Running")
    before, files = stage.containers("steady"), stage.worker.state / "certificates"
    old = (files / "swarm-node.crt").read_text()
    root = stage.stock.docker("swarm", "ca", "--rotate", "--quiet", seconds=100)
    until(lambda: root in (files / "swarm-root-ca.crt").read_text(), what="the worker trusts the new root")
    steps.checked((files / "swarm-node.crt").read_text() != old, "swarmlab's worker has a certificate of the new root")
    until(lambda: stage.node()["Status"]["State"] == "ready", what="Ready")
    steps.checked(stage.containers("steady") == before, "its task was not restarted")
    stage.docker("service", "rm", "steady")


def promotion_is_refused(stage: Stage) -> None:
    """A stock manager that promotes the worker gets no second manager, loses no quorum, and can take it back."""
    steps = stage.steps
    steps.step("docker node promote: swarmlab's worker stays a worker, and says why")
    stage.docker(*CREATE, "--name", "kept", *THERE, IMAGE, "sleep", "1000")
    stage.wait("kept", "Running")
    before = stage.containers("kept")
    stage.docker("node", "promote", "worker")
    until(lambda: "Raft" in stage.worker("swarm", "status"), what="the reason")
    stage.worker.show("swarm", "status")
    stage.docker("node", "ls")
    steps.checked(stage.node()["Status"]["State"] == "ready", "it is Ready and runs its task")
    steps.checked(stage.containers("kept") == before, "the same container as before")
    said = stage.docker("node", "ls", "--filter", "role=manager", "--format", "{{.Hostname}} {{.ManagerStatus}}")
    steps.checked("docker Leader" in said, "the stock manager leads on, alone")
    steps.step("the way back: leave, join with the worker token; the manager token is refused")
    stage.worker.show("swarm", "leave")
    stage.docker("node", "rm", "--force", "worker")
    address = f"{stage.stock.address}:{PORT}"
    token = stage.stock.docker("swarm", "join-token", "-q", "manager")
    said = stage.worker.show("swarm", "join", "--token", token, address, check=False)
    steps.checked("stock ones" in said, "refused: a manager token")
    for left in stage.stock.docker("node", "ls", "-q", "--filter", "role=manager").split():
        if left != stage.stock.docker("info", "--format", "{{.Swarm.NodeID}}"):
            stage.docker("node", "rm", "--force", left)
    stage.worker.show("swarm", "join", "--token", stage.stock.docker("swarm", "join-token", "-q", "worker"), address)
    until(lambda: stage.node()["Status"]["State"] == "ready", what="Ready")
    stage.wait_running("kept", 1)
    steps.checked(True, "Ready, and the task runs again")
    stage.docker("service", "rm", "kept")


def worker_leaves(stage: Stage) -> None:
    """swarmlab swarm leave: its containers are gone, the node goes down and can be removed."""
    steps = stage.steps
    steps.step("swarmlab swarm leave, docker node rm")
    stage.stock.docker("swarm", "update", "--dispatcher-heartbeat", "1s")
    stage.docker(*CREATE, "--name", "moves", IMAGE, "sleep", "1000")
    stage.worker.show("swarm", "leave")
    steps.checked(not stage.on_worker("ps", "-a", "-q"), "no container is left on its engine")
    until(lambda: stage.node()["Status"]["State"] == "down", what="Down")
    stage.docker("node", "ls")
    stage.docker("node", "rm", "worker")
    until(lambda: stage.tasks("moves")[0].startswith("Running"), what="the task runs on the stock engine")
    steps.checked("worker" not in stage.stock.docker("node", "ls", "--format", "{{.Hostname}}"), "the node is removed")


CHAPTERS: tuple[Callable[[Stage], None], ...] = (
    worker_is_ready,
    service_runs,
    states_come_back,
    secrets_configs_and_logs,
    ports_and_networks,
    node_process_restarts,
    root_rotation,
    promotion_is_refused,
    worker_leaves,
)
