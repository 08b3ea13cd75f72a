"""What changing commands do to the cluster, and how they end."""

import io
import json
import sys
from pathlib import Path

import pytest
from cli_ground import Ground, a_node, a_service, a_task
from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    Availability,
    GlobalService,
    JobStatus,
    NodeState,
    ReplicatedJob,
    ReplicatedService,
    Secret,
    SecretId,
    SecretSpec,
    TaskState,
    UpdateState,
    UpdateStatus,
    Version,
)
from swarmlab.cli.exits import Exit


def test_service_create_prints_the_id_and_warns(ground: Ground) -> None:
    ground.put(a_node("w1", labels={"disk": "ssd"}))
    words = ("--name", "web", "--replicas", "2", "--constraint", "node.labels.dsk==ssd", "img")
    answer = ground.cli("service", "create", *words)
    (service,) = ground.view.services()
    assert answer == (0, f"{service.id}\n", answer.err)
    assert answer.err == (
        "Warning: constraint node.labels.dsk == ssd: no node has the label node.labels.dsk; "
        "did you mean node.labels.disk?\n"
    )
    assert service.spec.replicated == ReplicatedService(2)


def test_a_secret_is_referred_to_by_its_id(ground: Ground) -> None:
    ground.put(Secret(id=SecretId("s1"), spec=SecretSpec(annotations=Annotations("key"), data=b"x")))
    assert ground.cli("service", "create", "--name", "web", "--secret", "key", "img").code == 0
    (service,) = ground.view.services()
    assert service.spec.task.container.secrets[0].secret_id == "s1"
    answer = ground.cli("service", "create", "--name", "api", "--secret", "kye", "img")
    assert (answer.code, answer.err) == (Exit.NOT_FOUND, 'Error: secret not found: "kye"; did you mean "key"?\n')
    assert len(ground.view.services()) == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("service", "create", "--name", "web", "img"), Exit.CONFLICT, "web"),
        (("service", "create", "--name", "no good", "img"), Exit.INVALID, "no good"),
        (
            ("service", "create", "--name", "x", "--replicas", "-1", "img"),
            Exit.USAGE,
            "'-1', wanted: a whole number >= 0",
        ),
        (("service", "create", "--name", "x", "--constraint", "a=b", "img"), Exit.INVALID, "a=b"),
        (("service", "create", "--name", "x", "IMG WITH BLANKS"), Exit.INVALID, "IMG WITH BLANKS"),
        (("service", "create", "--name", "x"), Exit.USAGE, "the following arguments are required: IMAGE"),
        (("service", "update", "wbe"), Exit.NOT_FOUND, 'service not found: "wbe"; did you mean "web" or "web-x"?'),
        (("service", "rm", "web", "nothing"), Exit.NOT_FOUND, 'service not found: "nothing"'),
        (("service", "scale", "web"), Exit.USAGE, "'web', wanted: SERVICE=N"),
        (("service", "scale", "web=x"), Exit.USAGE, "web: 'x', wanted: a whole number >= 0"),
        (("service", "scale", "web=-3"), Exit.USAGE, "web: '-3', wanted: a whole number >= 0"),
        (("service", "rollback", "web"), Exit.REFUSED, "service web has no previous spec to go back to"),
        (("service", "update", "--rollback", "--image", "x", "web"), Exit.USAGE, "--rollback does not go with --image"),
        (("service", "inspect", "web-"), Exit.CONFLICT, 'service "web-" is ambiguous: it may be web-2-id, web-service'),
        (("node", "inspect", "w9"), Exit.NOT_FOUND, 'node not found: "w9"; did you mean "w1"?'),
        (
            ("node", "update", "w1"),
            Exit.USAGE,
            "nothing to change; give --availability, --role",
        ),
        (("node", "rm", "w1"), Exit.REFUSED, "w1"),
        (("node", "stop", "w9"), Exit.NOT_FOUND, "w9"),
        (("node", "start", "w1"), Exit.REFUSED, "runs already"),
        (("explain", "web.7"), Exit.NOT_FOUND, 'task not found: "web.7"'),
        (("stack", "ps", "none"), Exit.NOT_FOUND, 'stack not found: "none"'),
        (("secret", "inspect", "none"), Exit.NOT_FOUND, 'secret not found: "none"'),
        (("secret", "create", "x", "/no/file"), Exit.INVALID, "/no/file: No such file or directory"),
        (("service", "create", "--wait", "--detach", "img"), Exit.USAGE, "--wait and --detach exclude each other"),
    ],
)
def test_how_commands_fail(ground: Ground, words: tuple[str, ...], code: Exit, message: str) -> None:
    other = replace(a_service("web-x"), id="web-2-id")
    ground.put(a_node("w1"), a_service("web", 2), other)
    answer = ground.cli(*words)
    assert message in answer.err
    assert answer.err.startswith("Error: ")
    assert (answer.code, answer.out) == (code, "")


def test_service_update_scale_rollback_rm(ground: Ground) -> None:
    ground.put(a_service("web", 2))
    assert ground.cli("service", "scale", "web=5").out == "web scaled to 5\n"
    assert ground.view.services()[0].spec.replicated == ReplicatedService(5)
    assert ground.cli("service", "update", "--image", "img:2", "--env-add", "A=1", "web").code == 0
    assert ground.view.services()[0].spec.task.container.image == "img:2"
    assert ground.cli("service", "rollback", "web").code == 0
    assert ground.view.services()[0].spec.task.container.image == "img:1"
    assert ground.cli("service", "update", "--rollback", "web").code == 0
    assert ground.view.services()[0].spec.task.container.env == ("A=1",)
    assert ground.cli("service", "rm", "web").out == "web\n"
    assert ground.view.services() == ()


def test_nothing_is_scaled_when_one_of_them_cannot_be(ground: Ground) -> None:
    ground.put(a_service("web", 2))
    assert ground.cli("service", "scale", "web=5", "api=2").code == Exit.NOT_FOUND
    assert ground.view.services()[0].spec.replicated == ReplicatedService(2)


def test_node_update(ground: Ground) -> None:
    ground.put(a_node("w1", labels={"a": "1", "b": "2"}))
    words = ("--availability", "drain", "--label-add", "c=3", "--label-rm", "a")
    assert ground.cli("node", "update", *words, "w1").out == f"{ground.view.nodes()[0].id}\n"
    spec = ground.view.nodes()[0].spec
    assert spec.availability is Availability.DRAIN
    assert spec.annotations.labels == {"b": "2", "c": "3"}
    assert ground.cli("node", "update", "--availability", "active", "w1").code == 0
    assert ground.view.nodes()[0].spec.availability is Availability.ACTIVE


def test_node_rm(ground: Ground) -> None:
    ground.put(a_node("w1"), a_node("w2", NodeState.DOWN))
    assert ground.cli("node", "rm", "w2").out == "w2\n"
    assert ground.cli("node", "rm", "--force", "w1").out == "w1\n"
    assert ground.view.nodes() == ()


def test_secret_create_from_a_file_and_from_standard_input(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_bytes(b"\x00\x01")
    answer = ground.cli("secret", "create", "-l", "a=1", "key", str(tmp_path / "key"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped")))
    assert ground.cli("config", "create", "--template-driver", "golang", "conf").code == 0
    secret, config = ground.view.secrets()[0], ground.view.configs()[0]
    assert (answer.out, secret.spec.data, secret.spec.annotations.labels) == (f"{secret.id}\n", b"\x00\x01", {"a": "1"})
    assert (config.spec.data, config.spec.templating.name) == (b"piped", "golang")
    assert ground.cli("secret", "rm", "key").out == "key\n"
    assert ground.cli("config", "rm", "conf").out == "conf\n"


STACK = """\
services:
  web:
    image: img
    secrets: [key]
    deploy: {replicas: REPLICAS}
  api:
    image: img
secrets:
  key: {file: key.txt}
configs:
  page: {content: hello}
"""


@pytest.fixture
def stack_file(tmp_path: Path) -> Path:
    (tmp_path / "key.txt").write_text("secret")
    file = tmp_path / "stack.yml"
    file.write_text(STACK.replace("REPLICAS", "2"))
    return file


def deploy(ground: Ground, file: Path, *words: str) -> list[str]:
    answer = ground.cli("stack", "deploy", "-c", str(file), *words, "s")
    assert answer.code == 0, answer.err
    return answer.lines


def test_stack_deploy_changes_only_what_changed(ground: Ground, stack_file: Path) -> None:
    assert deploy(ground, stack_file) == [
        "Created secret s_key",
        "Created config s_page",
        "Created service s_api",
        "Created service s_web",
    ]
    versions = {service.id: service.meta.version for service in ground.view.services()}
    assert deploy(ground, stack_file) == ["Unchanged service s_api", "Unchanged service s_web"]
    assert {service.id: service.meta.version for service in ground.view.services()} == versions
    stack_file.write_text(STACK.replace("REPLICAS", "3"))
    assert deploy(ground, stack_file) == ["Unchanged service s_api", "Updated service s_web"]


def test_a_forced_update_does_not_come_back_at_the_next_deploy(ground: Ground, stack_file: Path) -> None:
    deploy(ground, stack_file)
    assert ground.cli("service", "update", "--force", "s_web").code == 0
    assert deploy(ground, stack_file) == ["Unchanged service s_api", "Unchanged service s_web"]


def test_stack_prune_removes_what_the_file_no_longer_has(ground: Ground, stack_file: Path) -> None:
    deploy(ground, stack_file)
    ground.put(a_service("s_other"))
    stack_file.write_text("services: {api: {image: img}}\n")
    assert deploy(ground, stack_file) == ["Unchanged service s_api"]
    assert deploy(ground, stack_file, "--prune") == ["Unchanged service s_api", "Removed service s_web"]
    assert [service.spec.annotations.name for service in ground.view.services()] == ["s_api", "s_other"]


def test_data_of_secrets_and_configs_never_changes(ground: Ground, stack_file: Path) -> None:
    deploy(ground, stack_file)
    (stack_file.parent / "key.txt").write_text("other")
    answer = ground.cli("stack", "deploy", "-c", str(stack_file), "s")
    assert (answer.code, answer.err) == (
        Exit.CONFLICT,
        "Error: secret s_key is there with other data; data never changes, give it a new name\n",
    )
    (stack_file.parent / "key.txt").write_text("secret")
    stack_file.write_text(stack_file.read_text().replace("hello", "bye"))
    answer = ground.cli("stack", "deploy", "-c", str(stack_file), "s")
    assert (answer.code, "config s_page is there with other data" in answer.err) == (Exit.CONFLICT, True)


def test_stack_reading_and_rm(ground: Ground, stack_file: Path) -> None:
    deploy(ground, stack_file)
    ground.put(a_service("alone"))
    assert ground.cli("stack", "ls").lines == ["NAME   SERVICES", "s      2"]
    assert json.loads(ground.cli("stack", "ls", "-o", "json").out) == [{"name": "s", "services": 2}]
    assert ground.cli("stack", "services", "-o", "name", "s").lines == ["s_api", "s_web"]
    web = ground.view.by_name(type(a_service("x")), "s_web")
    ground.put(a_task(web, 1))
    assert ground.cli("stack", "ps", "-o", "name", "s").lines == ["s_web.1.s_web1-task-0123456789abc"]
    assert ground.cli("stack", "rm", "s").lines == [
        "Removed service s_api",
        "Removed service s_web",
        "Removed secret s_key",
        "Removed config s_page",
    ]
    assert [service.spec.annotations.name for service in ground.view.services()] == ["alone"]


def test_a_service_of_that_name_outside_of_the_stack_is_left_alone(ground: Ground, stack_file: Path) -> None:
    ground.put(a_service("s_web"))
    answer = ground.cli("stack", "deploy", "-c", str(stack_file), "s")
    assert (answer.code, answer.err) == (
        Exit.CONFLICT,
        "Error: service s_web is there already and does not belong to stack s\n",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("s",), "-c FILE is wanted, once"),
        (("-c", "a", "-c", "b", "s"), "-c FILE is wanted, once"),
        (("-c", "a", "no good"), "stack name 'no good', wanted"),
    ],
)
def test_bad_deploys(ground: Ground, words: tuple[str, ...], message: str) -> None:
    answer = ground.cli("stack", "deploy", *words)
    assert (answer.code, message in answer.err) == (Exit.USAGE, True)


def test_a_malformed_stack_file(ground: Ground, tmp_path: Path) -> None:
    file = tmp_path / "bad.yml"
    file.write_text("services:\n  web:\n    image: img\n    deploy: {replicas: x}\n")
    answer = ground.cli("stack", "deploy", "-c", str(file), "s")
    assert (answer.code, answer.err) == (
        Exit.INVALID,
        f"Error: {file}:4: services.web.deploy.replicas: 'x', wanted: a whole number >= 0\n",
    )


def test_wait_ends_at_the_timeout_with_the_reason(ground: Ground) -> None:
    ground.put(a_service("web", 2), a_node("w1"))
    service = ground.view.services()[0]
    ground.put(a_task(service, 1, ground.view.nodes()[0]), a_task(service, 2, None, TaskState.PENDING))
    answer = ground.cli("service", "scale", "web=2", "--wait", "--timeout", "200ms")
    assert answer.code == Exit.TIMED_OUT
    assert answer.err == (
        "web: 1 of 2 tasks run\n"
        "Error: not at rest after 200ms: web: 1 of 2 tasks run\n"
        "  web.2 (web2-task-0123456789abc): no node fits\n"
    )


def test_wait_tells_how_the_last_task_of_a_late_slot_ended(ground: Ground) -> None:
    ground.put(a_service("web", 1), a_node("w1"))
    service, node = ground.view.services()[0], ground.view.nodes()[0]
    failed = a_task(service, 1, node, TaskState.FAILED, TaskState.SHUTDOWN, id="old", err="task: non-zero exit (3)")
    ground.put(failed, a_task(service, 1, node, TaskState.READY, TaskState.READY))
    answer = ground.cli("service", "scale", "web=1", "--wait", "-q", "--timeout", "200ms")
    assert answer.code == Exit.TIMED_OUT
    assert answer.err.splitlines()[1:] == [
        "  web.1 (web1-task-0123456789abc): ready on w1; the last one failed: task: non-zero exit (3)"
    ]


def test_wait_tells_what_holds_up_a_task_on_its_node(ground: Ground) -> None:
    ground.put(a_service("web", 1), a_node("w1"))
    service, node = ground.view.services()[0], ground.view.nodes()[0]
    ground.put(a_task(service, 1, node, TaskState.PREPARING, err="engine not reachable"))
    answer = ground.cli("service", "scale", "web=1", "--wait", "-q", "--timeout", "200ms")
    assert answer.err.splitlines()[1:] == ["  web.1 (web1-task-0123456789abc): preparing on w1: engine not reachable"]


@pytest.mark.parametrize("mode", ["replicated", "global", "job"])
def test_wait_ends_when_nothing_replaces_what_ended(ground: Ground, mode: str) -> None:
    modes: dict[str, dict[str, object]] = {
        "global": {"global_": GlobalService()},
        "job": {"replicated_job": ReplicatedJob(total_completions=1)},
        "replicated": {},
    }
    node = a_node("w1")
    ground.put(replace(a_service("web", 1, **modes[mode]), job_status=JobStatus()), node)
    service = ground.view.services()[0]
    iteration = Version(1) if mode == "job" else None  # that of the next update
    slot = 1 if mode == "replicated" else 0
    ended = a_task(service, slot, node, TaskState.FAILED, TaskState.SHUTDOWN, err="kaput", job_iteration=iteration)
    ground.put(ended)
    words = ("update", "web", "--label-add", "a=b") if mode == "global" else ("scale", "web=1")
    answer = ground.cli("service", *words, "--wait", "-q", "--timeout", "5s")
    assert answer.code == Exit.ERROR
    assert "the restart policy replaces no more of them\n" in answer.err
    assert answer.err.endswith(f"({ended.id}) failed: kaput\n")


def test_wait_goes_on_while_a_slot_has_never_had_a_task(ground: Ground) -> None:
    ground.put(a_service("web", 2), a_node("w1"))
    service, node = ground.view.services()[0], ground.view.nodes()[0]
    ground.put(a_task(service, 1, node, TaskState.FAILED, TaskState.SHUTDOWN, err="kaput"))
    answer = ground.cli("service", "scale", "web=2", "--wait", "-q", "--timeout", "150ms")
    assert answer.code == Exit.TIMED_OUT


def test_wait_returns_at_once_when_everything_runs(ground: Ground) -> None:
    ground.put(a_service("web", 1), a_node("w1"))
    service = ground.view.services()[0]
    ground.put(a_task(service, 1, ground.view.nodes()[0]))
    assert ground.cli("service", "scale", "web=1", "--wait", "-q") == (0, "web scaled to 1\n", "")
    assert ground.cli("service", "scale", "web=1", "--detach=false").err == "web: 1 of 1 tasks run\n"


def test_nobody_waits_for_services_that_were_behind_before(ground: Ground) -> None:
    paused = UpdateStatus(state=UpdateState.PAUSED, message="paused, why")
    ground.put(replace(a_service("web", 0), update_status=paused), a_service("big", 2), a_node("w1"))
    assert ground.cli("node", "update", "--label-add", "a=b", "--wait", "-q", "w1").code == Exit.OK


def test_wait_for_removal(ground: Ground) -> None:
    ground.put(a_service("web", 1), a_node("w1"), a_node("w2", NodeState.DOWN))
    service = ground.view.services()[0]
    w1, w2 = ground.view.nodes()
    ground.put(a_task(service, 1, w1), a_task(service, 2, w2))
    answer = ground.cli("service", "rm", "web", "--wait", "--timeout", "150ms")
    assert (answer.code, answer.out) == (Exit.TIMED_OUT, "web\n")
    assert "not at rest after 150ms: web: 1 task left" in answer.err


def test_a_stale_version_is_a_conflict(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    ground.put(a_service("web", 1))
    stale = replace(ground.view.services()[0], meta=replace(ground.view.services()[0].meta, version=Version(1)))

    async def read(*_: object) -> object:
        return stale

    monkeypatch.setattr("swarmlab.cli.service.find_service", read)
    answer = ground.cli("service", "update", "--label-add", "a=b", "web")
    assert (answer.code, answer.err) == (Exit.CONFLICT, answer.err)
    assert "out of sequence" in answer.err
