"""What lists show, in every format, and nothing cut off where output is no terminal."""

import json

import pytest
import yaml
from cli_ground import Ground, a_node, a_service, a_task
from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    Availability,
    Config,
    ConfigId,
    ConfigSpec,
    Endpoint,
    GlobalService,
    NodeId,
    NodeState,
    Placement,
    PortConfig,
    PortProtocol,
    PublishMode,
    ReplicatedJob,
    Secret,
    SecretId,
    SecretSpec,
    ServiceId,
    TaskId,
    TaskSpec,
    TaskState,
    Violation,
)
from swarmlab.cli.exits import Exit

W1, W2 = a_node("w1", labels={"zone": "a"}), a_node("w2", NodeState.DOWN)


def test_node_ls(ground: Ground) -> None:
    drained = replace(W2, spec=replace(W2.spec, availability=Availability.DRAIN))
    ground.put(a_node("w10"), drained, W1)
    assert ground.cli("node", "ls").lines == [
        "ID                           HOSTNAME   STATUS   AVAILABILITY   "
        "MANAGER STATUS   CERT EXPIRES   CPUS   MEMORY   ENGINE VERSION",
        "w1-0123456789abcdefghijkl    w1         Ready    Active         "
        "                                4      8GiB     28.2.2",
        "w2-0123456789abcdefghijkl    w2         Down     Drain          "
        "                                4      8GiB     28.2.2",
        "w10-0123456789abcdefghijkl   w10        Ready    Active         "
        "                                4      8GiB     28.2.2",
    ]
    assert ground.cli("node", "ls", "-q").lines == [W1.id, W2.id, "w10-0123456789abcdefghijkl"]
    assert ground.cli("node", "ls", "-o", "name").lines == ["w1", "w2", "w10"]
    assert ground.cli("node", "ls", "-q", "--filter", "status=down").lines == [W2.id]
    assert ground.cli("node", "ls", "-q", "-f", "name=w1", "-f", "name=w2", "-f", "availability=active").lines == [
        W1.id,
        "w10-0123456789abcdefghijkl",
    ]
    assert ground.cli("node", "ls", "-q", "--filter", "node.label=zone=a").lines == [W1.id]


def test_formats_of_a_list_say_the_same(ground: Ground) -> None:
    ground.put(W1)
    as_json = json.loads(ground.cli("node", "ls", "-o", "json").out)
    assert as_json[0]["id"] == W1.id
    assert as_json[0]["spec"] == {
        "annotations": {"labels": {"zone": "a"}},
        "desired_role": "worker",
        "membership": "pending",
        "availability": "active",
    }
    assert as_json[0]["description"]["resources"] == {"nano_cpus": 4_000_000_000, "memory_bytes": 8 << 30}
    assert as_json[0]["meta"]["created_at"] == "2023-11-14T22:13:20.000000000Z"
    assert as_json[0]["status"] == {"state": "ready", "addr": "127.0.0.1"}
    assert [json.loads(line) for line in ground.cli("node", "ls", "-o", "jsonl").lines] == as_json
    assert yaml.safe_load(ground.cli("node", "ls", "-o", "yaml").out) == as_json
    wide = ground.cli("node", "ls", "-o", "wide").lines
    assert "zone=a" in wide[1]
    assert "linux/x86_64" in wide[1]


def test_service_ls(ground: Ground) -> None:
    web = a_service("web", 3, task=TaskSpec(placement=Placement(max_replicas=2)), labels={"team": "a"})
    ports = (
        PortConfig(published_port=8080, target_port=80),
        PortConfig(published_port=8081, target_port=81),
        PortConfig(published_port=53, target_port=53, protocol=PortProtocol.UDP),
        PortConfig(published_port=9000, target_port=90, publish_mode=PublishMode.HOST),
    )
    job = a_service("job", replicated_job=ReplicatedJob(2, 5))
    agent = a_service("agent", global_=GlobalService())
    ground.put(W1, replace(web, endpoint=Endpoint(ports=ports)), job, agent, a_task(web, 1, W1), a_task(agent, 0, W1))
    assert ground.cli("service", "ls").lines == [
        "ID                            NAME    MODE             REPLICAS               IMAGE   PORTS",
        "agent-service-0123456789abc   agent   global           1/1                    img:1",
        "job-service-0123456789abc     job     replicated job   0/2 (0/5 completed)    img:1",
        "web-service-0123456789abc     web     replicated       1/3 (max 2 per node)           "
        "*:8080-8081->80-81/tcp, *:53->53/udp",
    ]
    assert ground.cli("service", "ls", "-q", "--filter", "label=team=a").lines == [web.id]
    assert ground.cli("service", "ls", "-o", "name", "--filter", "mode=global").lines == ["agent"]
    status = json.loads(ground.cli("service", "ls", "-o", "json", "--filter", "name=web").out)[0]["service_status"]
    assert status == {"service_id": web.id, "desired_tasks": 3, "running_tasks": 1, "completed_tasks": 0}


def test_service_ps(ground: Ground) -> None:
    web = a_service("web", 2)
    old = a_task(web, 1, W2, TaskState.FAILED, TaskState.SHUTDOWN, id="old-task", err="task: non-zero exit (1)")
    ground.put(W1, W2, web, old)
    ground.do(lambda: setattr(ground.served.plane, "now", ground.served.plane.now + 1))
    reason = "no suitable node (" + "; ".join(f"reason number {n} of many on 1 node" for n in range(9)) + ")"
    ground.put(a_task(web, 1, W1), a_task(web, 2, None, TaskState.PENDING, err=reason))
    lines = ground.cli("service", "ps", "web").lines
    assert [line.split("   ")[0] for line in lines[1:]] == [
        "web1-task-0123456789abc",
        "old-task",
        "web2-task-0123456789abc",
    ]
    assert lines[2].split()[1:6] == ["\\_", "web.1", "img:1", "w2", "Shutdown"]
    assert lines[2].endswith("task: non-zero exit (1)")
    assert lines[3].endswith(reason)
    assert ground.cli("service", "ps", "web", "-q", "--filter", "node=w1").lines == ["web1-task-0123456789abc"]
    assert ground.cli("service", "ps", "web", "-q", "--filter", "desired-state=shutdown").lines == ["old-task"]
    assert ground.cli("service", "ps", "web", "-o", "name", "--filter", "state=pending").lines == [
        "web.2.web2-task-0123456789abc"
    ]
    assert ground.cli("node", "ps", "w2", "-q").lines == ["old-task"]
    first = json.loads(ground.cli("node", "ps", "w1", "-o", "json").out)[0]
    assert (first["name"], first["node"], first["status"]["state"]) == (
        "web.1.web1-task-0123456789abc",
        "w1",
        "running",
    )


def test_secrets_and_configs(ground: Ground) -> None:
    secret = Secret(id=SecretId("s1"), spec=SecretSpec(annotations=Annotations("key", {"a": "1"}), data=b"x"))
    config = Config(id=ConfigId("c1"), spec=ConfigSpec(annotations=Annotations("conf"), data=b"hello"))
    ground.put(secret, config)
    assert [line.split()[:2] for line in ground.cli("secret", "ls").lines] == [["ID", "NAME"], ["s1", "key"]]
    assert "DRIVER" in ground.cli("secret", "ls").lines[0]
    assert "DRIVER" not in ground.cli("config", "ls").lines[0]
    assert ground.cli("secret", "ls", "-q", "--filter", "label=a=2").lines == []
    assert json.loads(ground.cli("secret", "inspect", "key").out)[0]["spec"] == {
        "annotations": {"name": "key", "labels": {"a": "1"}}
    }
    assert json.loads(ground.cli("config", "inspect", "c1").out)[0]["spec"]["data"] == "aGVsbG8="


def test_inspect_prints_json_unless_asked_otherwise(ground: Ground) -> None:
    web = a_service("web", 2)
    ground.put(web, W1)
    assert json.loads(ground.cli("service", "inspect", "web").out)[0]["spec"]["replicated"] == {"replicas": 2}
    pretty = ground.cli("service", "inspect", "--pretty", "web").out
    assert pretty.startswith("web:\n  id: web-service-0123456789abc\n")
    assert ground.cli("service", "inspect", "-o", "table", "web").out == pretty
    full = json.loads(ground.cli("service", "inspect", "--defaults", "web").out)[0]["spec"]
    assert full["task"]["restart"]["condition"] == "any"
    assert full["update"]["parallelism"] == 1
    assert json.loads(ground.cli("node", "inspect", "w1").out)[0]["description"]["hostname"] == "w1"


def test_events(ground: Ground) -> None:
    assert ground.cli("events").lines == [
        "1970-01-01T00:00:00.000 scheduler placed n=1",
        "1970-01-01T00:00:00.000 scheduler placed n=2",
        "1970-01-01T00:00:00.000 scheduler placed n=3",
    ]
    assert [json.loads(line) for line in ground.cli("events", "-o", "jsonl", "--tail", "1").lines] == [
        {
            "index": 3,
            "at": "1970-01-01T00:00:00.000000003Z",
            "component": "scheduler",
            "name": "placed",
            "fields": {"n": 3},
        }
    ]
    assert ground.cli("events", "--filter", "component=agent").lines == []
    assert ground.cli("events", "--since", "1m").lines == []


def test_explain(ground: Ground) -> None:
    web = a_service("web", 1)
    ground.put(web, a_task(web, 1, None, TaskState.PENDING))
    for word in ("web.1", "web", "web1-task", "web1-task-0123456789abc", "web.1.web1-task-0123456789abc", "WEB.1"):
        assert ground.cli("explain", word).lines == [
            "web.1 web1-task-0123456789abc: pending (pending, wanted running)",
            "  no node fits",
        ]
    assert json.loads(ground.cli("explain", "web.1", "-o", "json").out)[0]["summary"] == "no node fits"


def test_violations(ground: Ground) -> None:
    """Nothing found is exit code 0; what is found has a code of its own, so that a script can tell it from failures."""
    nothing = ground.cli("violations")
    assert (nothing.code, nothing.lines) == (Exit.OK, ["SERVICE   TASK   NODE   TERM   REASON"])
    ground.served.lab.violated = (
        Violation(
            service_id=ServiceId("s"),
            service_name="web",
            task_id=TaskId("t"),
            slot=2,
            node_id=NodeId("n"),
            hostname="w1",
            term="service!=db",
            reason="2 tasks there, at most 0",
        ),
    )
    found = ground.cli("violations")
    assert (found.code, found.lines) == (
        Exit.VIOLATED,
        [
            "SERVICE   TASK    NODE   TERM          REASON",
            "web       web.2   w1     service!=db   2 tasks there, at most 0",
        ],
    )
    assert "1 task breaks a hard affinity term" in found.err
    assert ground.cli("violations", "-o", "name").lines == ["t"]
    assert json.loads(ground.cli("violations", "-o", "json").out)[0]["term"] == "service!=db"


def test_status(ground: Ground) -> None:
    web = a_service("web", 2)
    ground.put(W1, W2, web, a_task(web, 1, W1))
    ground.cli("node", "stop", "w2")
    assert ground.cli("status").lines == [
        "cluster:   c1",
        "strategy:  spread",
        f"version:   {ground.view.version}",
        "nodes:     1 of 2 ready",
        "services:  1",
        "tasks:     1 of 2 run",
        "executor:  sim",
        "state:     kept nowhere, gone with the process",
        "stopped:   w2",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--filter", "stat=x"), "--filter: unknown key 'stat'; did you mean \"status\""),
        (("--filter", "status"), "--filter: 'status', wanted: KEY=VALUE"),
        (("-o", "xml"), "-o/--output: invalid choice: 'xml'"),
    ],
)
def test_bad_listings(ground: Ground, words: tuple[str, ...], message: str) -> None:
    answer = ground.cli("node", "ls", *words)
    assert answer.code == 2
    assert message in answer.err
