"""Stock Docker Engines join a swarmlab manager, beside a worker of swarmlab's own."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from interop.hosts import Host, Hosts, until
from interop.lab import Lab
from interop.steps import Steps

IMAGE = "busybox:latest"
CREATE = ("service", "create", "--wait", "--timeout", "60s", "--stop-grace-period", "1s")
#: The busybox of Debian dies by its own time limit of wget.
GET = ("timeout", "3", "wget", "-qO-")


class Stage(NamedTuple):
    """A swarmlab manager, two stock engines and one swarmlab worker, of one swarm."""

    hosts: Hosts
    manager: Lab
    worker: Lab
    engines: tuple[Host, Host]
    steps: Steps


@contextlib.contextmanager
def stage(steps: Steps) -> Iterator[Stage]:
    """The four of them, joined."""
    steps.title("stock Docker Engines join a swarmlab manager")
    with Hosts("manager", "engine1", "engine2", "worker", "stranger") as hosts:
        steps.step(
            "machines with addresses of their own: " + ", ".join(f"{each.name} {each.address}" for each in hosts)
        )
        manager, worker = (
            Lab(hosts["manager"], steps, flags=("--tick", "200")),
            Lab(hosts["worker"], steps, executor="docker"),
        )
        engines = hosts["engine1"], hosts["engine2"]
        hosts.start_engines("engine1", "engine2", "worker")
        version = engines[0].docker("version", "--format", "{{.Server.Version}}")
        steps.checked(True, f"stock Docker Engines {version} on {', '.join(engine.name for engine in engines)}")
        steps.step("swarmlab swarm init")
        manager.start()
        manager.show("swarm", "init", "--availability", "drain")
        token = manager("swarm", "join-token", "-q", "worker")
        for engine in engines:
            steps.step(f"docker swarm join on {engine.name}, a stock engine")
            docker(steps, engine, "swarm", "join", "--token", token, manager.address)
            check_active(steps, engine)
        steps.step("swarmlab swarm join on worker, with swarmlab's own docker executor")
        worker.start()
        worker.show("swarm", "join", "--token", token, manager.address)
        yield Stage(hosts, manager, worker, engines, steps)


def docker(steps: Steps, host: Host, *words: str, check: bool = True, seconds: float = 60) -> str:
    """What `docker WORDS` prints there, told."""
    return steps.shown(f"{host.name}: docker {' '.join(words)}", host.docker(*words, check=check, seconds=seconds))


def check_active(steps: Steps, engine: Host) -> None:
    """It belongs to a swarm as a worker, by its own word."""
    words = ("info", "--format", "Swarm: {{.Swarm.LocalNodeState}}, Is Manager: {{.Swarm.ControlAvailable}}")
    steps.checked(docker(steps, engine, *words) == "Swarm: active, Is Manager: false", f"{engine.name} is in the swarm")


def both_kinds_of_workers_are_ready(stage: Stage) -> None:
    """Stock engines and swarmlab's own worker are told apart by nothing but their names."""
    stage.steps.step("swarmlab node ls shows both kinds of workers")
    wanted = dict.fromkeys(("manager", "engine1", "engine2", "worker"), "ready")
    until(lambda: stage.manager.node_states() == wanted, what="four nodes ready")
    stage.manager.show("node", "ls")


def strangers_are_refused(stage: Stage) -> None:
    """A wrong token, a wrong root, and a stock engine that would be a manager: each is told why, and stays outside."""
    stage.steps.step("what is refused: a wrong token, a wrong root, a stock engine as a manager")
    manager, stranger, steps = stage.manager, stage.hosts["stranger"], stage.steps
    stranger.start_engine()
    token = manager("swarm", "join-token", "-q", "worker")
    head, version, digest, secret = token.split("-")
    before = set(manager.nodes())
    wrong = {
        "-".join((head, version, digest, "0" * len(secret))): "InvalidArgument",
        "-".join((head, version, f"{digest[:-1]}{'10'[digest[-1] == '1']}", secret)): "fingerprint",
        manager("swarm", "join-token", "-q", "manager"): "speaks its own Raft",
    }
    for one, reason in wrong.items():
        said = docker(steps, stranger, "swarm", "join", "--token", one, manager.address, check=False)
        steps.checked(reason in said, f"refused: {reason}")
        until(lambda: stranger.docker("info", "--format", "{{.Swarm.LocalNodeState}}") == "inactive", what="inactive")
    stranger.stop_engine()
    manager.show("node", "ls")
    # The refused manager had its certificate by then, as a manager of its own kind would have.
    [left] = [node["id"] for name, node in manager.nodes().items() if name not in before]
    until(lambda: bool(manager("node", "rm", left)), what="the node of the refused one is not in the way")
    steps.checked(set(manager.nodes()) == before, "its node is removed: nothing is left of it")
    said = manager.show("node", "promote", stage.engines[0].name, check=False)
    steps.checked("it can only be a worker" in said, "nor is one promoted that is a worker already")


def replicas_spread_over_both_kinds(stage: Stage) -> None:
    """Three replicas run on three workers of both kinds; an update puts new ones in their place."""
    manager, steps = stage.manager, stage.steps
    steps.step("swarmlab service create --replicas 3: one task on each worker")
    manager.show(*CREATE, "--name", "web", "--replicas", "3", IMAGE, "sleep", "1000")
    manager.show("service", "ps", "web")
    found = manager.running("web")
    steps.checked(len(found) == 3 and len(set(found.values())) == 3, "one task on each of the three workers")
    for host in (*stage.engines, stage.hosts["worker"]):
        names = docker(steps, host, "ps", "--format", "{{.Names}} {{.Image}} {{.Status}}")
        steps.checked(names.startswith("web."), f"a container of web runs on {host.name}")
    steps.step("swarmlab service update, and scale")
    manager("service", "update", "--env-add", "A=1", "--update-parallelism", "3", "--wait", "web")
    after = manager.running("web")
    steps.checked(len(after) == 3 and not set(after) & set(found), "three new tasks in place of the old ones")
    manager.show("service", "scale", "--wait", "web=6")
    steps.checked(len(manager.running("web")) == 6, "six tasks run")
    manager.gone("web")
    until(lambda: not any(host.docker("ps", "-q") for host in stage.engines), what="no container is left")
    steps.checked(True, "removed: no container is left")


def secrets_configs_and_logs(stage: Stage) -> None:
    """A stock engine gets secrets and configs as files, and its output comes back while it is followed."""
    manager, steps = stage.manager, stage.steps
    steps.step("a secret and a config reach a stock engine; swarmlab service logs -f")
    for kind, text in (("secret", "hush"), ("config", "hello")):
        file = manager.host.home / kind
        file.write_text(f"{text}\n")
        manager.show(kind, "create", f"a-{kind}", str(file))
    script = "cat /run/secrets/a-secret /a-config; while true; do echo tick; sleep 1; done"
    given = ("--secret", "a-secret", "--config", "a-config", *manager.on(stage.engines[0]))
    manager.show(*CREATE, "--name", "reader", *given, IMAGE, "sh", "-c", script)
    following = manager.follow("service", "logs", "-f", "reader", log="logs")
    log = manager.host.home / "logs"
    until(lambda: log.read_text().count("tick") >= 3, what="lines that come while they are followed")
    following.terminate()
    following.wait()
    lines = [line.partition("|")[2].strip() for line in log.read_text().splitlines()]
    steps.shown("manager: swarmlab service logs -f reader", "\n".join(log.read_text().splitlines()[:4]))
    steps.checked(lines[:3] == ["hush", "hello", "tick"], "secret and config are files of the task")
    manager("service", "rm", "reader")
    until(lambda: manager("secret", "rm", "a-secret") and manager("config", "rm", "a-config"), what="not in use")


def failures_come_back(stage: Stage) -> None:
    """The end of a task on a stock engine is seen as what it is: COMPLETE, FAILED with its code, REJECTED."""
    manager, steps = stage.manager, stage.steps
    steps.step("a task that ends, one that fails, one whose image is not there")
    there = ("service", "create", "--restart-condition", "none", *manager.on(stage.engines[0]))
    manager(*there, "--name", "ends", IMAGE, "true")
    manager(*there, "--name", "fails", IMAGE, "sh", "-c", "exit 3")
    manager(*there, "--name", "absent", "nosuchimage:1", "true")
    for service, state in (("ends", "complete"), ("fails", "failed"), ("absent", "rejected")):
        until(lambda service=service, state=state: manager.states(service) == {state}, what=f"{service} is {state}")
    shown = manager.show("service", "ps", "ends", "fails", "absent")
    steps.checked("task: non-zero exit (3)" in shown, "the exit code of the failed one")
    steps.checked("No such image: nosuchimage:1" in shown, "why the other was rejected")
    manager("service", "rm", "ends", "fails", "absent")


def host_ports(stage: Stage) -> None:
    """A port of the host reaches the task of a stock engine from another host; one that the engine chose is told."""
    manager, steps, engine = stage.manager, stage.steps, stage.engines[0]
    steps.step("a published port of the host")
    ports = ("-p", "published=8080,target=80,mode=host", "-p", "target=81,mode=host")
    script = "echo served > /tmp/index.html; httpd -p 81 -h /tmp; exec httpd -f -p 80 -h /tmp"
    manager.show(*CREATE, "--name", "site", *ports, *manager.on(engine), IMAGE, "sh", "-c", script)
    manager.show("service", "ps", "site")
    [task] = manager.tasks("site")
    published = {port["target_port"]: port["published_port"] for port in task["status"]["port_status"]["ports"]}
    steps.checked(published[80] == 8080 and published[81] > 0, f"the engine told its ports: {published}")
    for port in published.values():
        url = f"http://{engine.address}:{port}/"
        got = steps.shown(f"engine2: wget -qO- {url}", stage.engines[1].run("busybox", "wget", "-qO-", url))
        steps.checked(got.strip() == "served", f"port {port} answers another host")
    manager.gone("site")


def overlay_between_engines(stage: Stage) -> None:
    """Tasks and plain containers on an attachable overlay reach each other across engines, by name and address."""
    manager, steps, (one, other) = stage.manager, stage.steps, stage.engines
    steps.step("an attachable overlay network between two stock engines")
    manager.show("network", "create", "--attachable", "span")
    manager.show("network", "ls")
    script = "echo over > /tmp/index.html; exec httpd -f -p 80 -h /tmp"
    on = ("--network", "span", "--endpoint-mode", "dnsrr")
    manager.show(*CREATE, "--name", "far", *on, *manager.on(other), IMAGE, "sh", "-c", script)
    manager.show(*CREATE, "--name", "near", *on, *manager.on(one), IMAGE, "sleep", "1000")
    near = one.docker("ps", "-q", "--filter", "label=com.docker.swarm.service.name=near")
    [task] = manager.tasks("far")
    address = task["networks"][0]["addresses"][0].partition("/")[0]
    for host in (address, "far", "tasks.far"):
        until(lambda host=host: "over" in one.docker("exec", near, *GET, f"http://{host}/"), what=host)
        steps.checked(True, f"near on {one.name} reaches far on {other.name} as {host}")
    steps.step("docker run --network on an engine attaches a plain container")
    run = ("run", "--rm", "--network", "span", IMAGE, *GET, "http://far/")
    steps.checked(docker(steps, one, *run) == "over", "a plain container reaches the service")
    docker(steps, other, "run", "-d", "--name", "plain", "--network", "span", IMAGE, "sleep", "1000")
    until(lambda: "1 packets received" in one.docker("exec", near, "ping", "-c1", "-W2", "plain"), what="its name")
    steps.checked(True, f"a task on {one.name} reaches the plain container on {other.name} by its name")
    other.docker("rm", "-f", "plain")
    manager("service", "rm", "near", "far")
    until(lambda: manager("network", "rm", "span"), what="the network is free again")
    until(lambda: "span" not in one.docker("network", "ls", "--format", "{{.Name}}"), what="gone from the engine")
    steps.checked(True, "network rm, and the engines drop it")


def root_rotation(stage: Stage) -> None:
    """Every node renews its certificate under a new root, and no task is restarted."""
    manager, steps = stage.manager, stage.steps
    steps.step("every certificate renewed: full rotation of the root while engines run tasks")
    manager(*CREATE, "--name", "steady", "--replicas", "3", IMAGE, "sleep", "1000")
    before, old = manager.running("steady"), manager("swarm", "ca")
    certificates = [certificate(engine) for engine in stage.engines]
    token = manager("swarm", "join-token", "-q", "worker")
    new = manager("swarm", "ca", "--rotate", seconds=100).rpartition("-----BEGIN")[2]
    steps.checked(new not in old, "the swarm has another root")
    for engine, certificate_before in zip(stage.engines, certificates, strict=True):
        until(lambda engine=engine: new in (swarm_files(engine) / "swarm-root-ca.crt").read_text(), what="trusted")
        steps.checked(certificate(engine) != certificate_before, f"{engine.name} trusts it and has another certificate")
    steps.checked(manager("swarm", "join-token", "-q", "worker") != token, "new join tokens")
    both_kinds_of_workers_are_ready(stage)
    steps.checked(manager.running("steady") == before, "no task was restarted")
    manager.gone("steady")


def swarm_files(engine: Host) -> Path:
    """Where the engine keeps its certificates."""
    return engine.home / "data" / "swarm" / "certificates"


def certificate(engine: Host) -> str:
    """Its certificate, PEM."""
    return (swarm_files(engine) / "swarm-node.crt").read_text()


def manager_restart(stage: Stage) -> None:
    """The manager's process goes and comes; engines come back to it and no task is restarted."""
    manager, steps = stage.manager, stage.steps
    steps.step("the manager is killed and started again")
    manager(*CREATE, "--name", "calm", "--replicas", "3", IMAGE, "sleep", "1000")
    before = manager.running("calm")
    manager.stop(9)
    manager.start()
    until(lambda: set(manager.node_states().values()) == {"ready"}, what="all nodes are back")
    manager.show("node", "ls")
    steps.checked(manager.running("calm") == before, "no task was restarted")
    manager("service", "scale", "--wait", "calm=4", seconds=90)
    steps.checked(len(manager.running("calm")) == 4, "and new ones run")
    manager.gone("calm")


def drain_and_restart(stage: Stage) -> None:
    """A drained engine gives up its tasks; one that restarts gets new ones."""
    manager, steps, (one, other) = stage.manager, stage.steps, stage.engines
    steps.step("drain one engine, restart the other")
    manager(*CREATE, "--name", "moving", "--replicas", "3", "--restart-delay", "0s", IMAGE, "sleep", "1000")
    one_id, other_id = manager.node_id(one), manager.node_id(other)
    manager.show("node", "update", "--availability", "drain", one_id)
    until(lambda: len(found := manager.running("moving")) == 3 and one_id not in found.values(), what="drained")
    until(lambda: not one.docker("ps", "-q"), what="no container on the drained engine")
    steps.checked(True, f"{one.name} has no task any more, three tasks run elsewhere")
    manager("node", "update", "--availability", "active", one_id)
    before = {task for task, node in manager.running("moving").items() if node == other_id}
    other.stop_engine()
    other.start_engine()
    until(
        lambda: len(found := manager.running("moving")) == 3 and not before & set(found), what="three after the restart"
    )
    check_active(steps, other)
    manager.show("service", "ps", "moving")
    steps.checked(
        manager.node_states()[other.name] == "ready", f"{other.name} is back by itself, its tasks are new ones"
    )
    manager.gone("moving")


def leave_and_remove(stage: Stage) -> None:
    """An engine leaves, its tasks move, its node is removed; a removed one that is still there is shut out."""
    manager, steps, (one, other) = stage.manager, stage.steps, stage.engines
    steps.step("docker swarm leave, swarmlab node rm")
    manager("swarm", "update", "--dispatcher-heartbeat", "1s")
    manager(*CREATE, "--name", "last", "--replicas", "3", "--restart-delay", "0s", IMAGE, "sleep", "1000")
    one_id = manager.node_id(one)
    docker(steps, one, "swarm", "leave")
    until(lambda: manager.node_states()[one.name] == "down", what="the node that left is down")
    until(lambda: len(found := manager.running("last")) == 3 and one_id not in found.values(), what="its task moved")
    manager.show("node", "rm", one_id)
    steps.step("swarmlab node rm --force of an engine that is still there")
    manager.show("node", "rm", "--force", manager.node_id(other))
    until(lambda: manager.node_states() == {"manager": "ready", "worker": "ready"}, what="two nodes are left")
    until(lambda: len(set(manager.running("last").values())) == 1, what="all tasks on the worker that is left")
    manager.show("node", "ls")
    docker(steps, other, "swarm", "leave")
    steps.step("the engine that left joins again")
    docker(steps, one, "swarm", "join", "--token", manager("swarm", "join-token", "-q", "worker"), manager.address)
    check_active(steps, one)
    until(lambda: manager.node_states()[one.name] == "ready", what="ready again")
    steps.checked(manager.node_id(one) != one_id, "as a new node")


CHAPTERS: tuple[Callable[[Stage], None], ...] = (
    both_kinds_of_workers_are_ready,
    replicas_spread_over_both_kinds,
    secrets_configs_and_logs,
    failures_come_back,
    host_ports,
    overlay_between_engines,
    root_rotation,
    manager_restart,
    drain_and_restart,
    strangers_are_refused,
    leave_and_remove,
)
