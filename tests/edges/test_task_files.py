"""Secrets and configs become files that only the task can read."""

import os
import stat
from pathlib import Path

import pytest
from executor_ground import a_config, a_secret, config_reference, secret_reference

from swarmlab.agent.exec import Dependencies
from swarmlab.api import (
    ConfigReference,
    ContainerSpec,
    Driver,
    ExecutorError,
    Platform,
    RuntimeTarget,
    SecretReference,
    Task,
    TaskId,
    TaskSpec,
)
from swarmlab.edges.taskfiles import TaskFile, TaskFiles, private_place, task_files, unix_mode
from swarmlab.edges.template import context

PASSWORD, MOTD = a_secret("password", b"hunter2"), a_config("motd", b"hello")
T1 = TaskId("t1")


def a_task(**spec: object) -> Task:
    return Task(id=T1, spec=TaskSpec(container=ContainerSpec(image="a", **spec)))  # type: ignore[arg-type]


def files_of(task: Task, *found: object) -> tuple[TaskFile, ...]:
    secrets = tuple(one for one in found if type(one).__name__ == "Secret")
    configs = tuple(one for one in found if type(one).__name__ == "Config")
    data = context(task, "host1", Platform())
    return task_files(task, Dependencies(secrets, configs), data)  # type: ignore[arg-type]


def test_a_secret_and_a_config_have_their_usual_places() -> None:
    task = a_task(
        secrets=(secret_reference(PASSWORD, uid="7", gid="8", mode=0o400),),
        configs=(config_reference(MOTD), config_reference(MOTD, name="/etc/motd")),
    )
    seen = [(str(file.target), file.data, file.uid, file.gid, file.mode) for file in files_of(task, PASSWORD, MOTD)]
    assert seen == [
        ("/run/secrets/password", b"hunter2", 7, 8, 0o400),
        ("/motd", b"hello", 0, 0, 0o444),
        ("/etc/motd", b"hello", 0, 0, 0o444),
    ]


def test_a_reference_without_a_file_has_the_name_of_its_secret() -> None:
    task = a_task(secrets=(SecretReference(secret_id=PASSWORD.id, secret_name="password"),))
    assert [str(file.target) for file in files_of(task, PASSWORD)] == ["/run/secrets/password"]


def test_a_config_for_the_engine_is_no_file() -> None:
    task = a_task(configs=(ConfigReference(config_id=MOTD.id, config_name="motd", runtime=RuntimeTarget()),))
    assert files_of(task, MOTD) == ()
    assert files_of(Task(id=T1)) == ()


@pytest.mark.parametrize(
    ("go_mode", "mode"),
    [(0o444, 0o444), (0o777 | 1 << 23, 0o4777), (0o750 | 1 << 22, 0o2750), (0o777 | 1 << 20, 0o1777), (1 << 31, 0)],
)
def test_modes_of_go_are_not_those_of_unix(go_mode: int, mode: int) -> None:
    assert unix_mode(go_mode) == mode


@pytest.mark.parametrize(
    ("payload", "templating", "message"),
    [
        (b"{{.No}}", "golang", "config motd: template {{.No}}: no 'No' in .No"),
        (b"x", "jinja", "config motd: templating 'jinja', wanted: golang"),
        (b"\xff{{.Task.ID}}", "golang", "config motd: a template that is not UTF-8"),
        (
            b'{{secret "other"}}',
            "golang",
            "config motd: its template wants the secret 'other', which this task has not",
        ),
    ],
)
def test_a_payload_that_cannot_be_made(payload: bytes, templating: str, message: str) -> None:
    motd = a_config("motd", payload, templating=Driver(templating))
    with pytest.raises(ExecutorError) as caught:
        files_of(a_task(configs=(config_reference(motd),)), motd)
    assert str(caught.value).startswith(message)


def test_a_payload_inside_a_payload_is_not_expanded_again() -> None:
    inner = a_secret("inner", b"{{.Task.ID}}", templating=Driver("golang"))
    outer = a_config("outer", b'{{secret "inner"}} {{env "A"}}{{env "B"}}', templating=Driver("golang"))
    task = a_task(env=("A=1",), secrets=(secret_reference(inner),), configs=(config_reference(outer),))
    assert [file.data for file in files_of(task, inner, outer)] == [b"t1", b"{{.Task.ID}} 1"]


def test_an_owner_is_a_number() -> None:
    with pytest.raises(ExecutorError, match="secret password: uid 'root', wanted: a number"):
        files_of(a_task(secrets=(secret_reference(PASSWORD, uid="root"),)), PASSWORD)


def test_files_lie_in_memory_and_are_closed_to_others(tmp_path: Path) -> None:
    assert private_place("docker", "c1", "n1") == Path(f"/dev/shm/swarmlab-{os.getuid()}/docker-c1-n1")
    files = TaskFiles(tmp_path / "a" / "b")
    task = a_task(secrets=(secret_reference(PASSWORD, mode=0o440),), configs=(config_reference(MOTD),))
    paths = files.write(T1, files_of(task, PASSWORD, MOTD))
    assert [path.read_bytes() for path in paths] == [b"hunter2", b"hello"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in paths] == [0o440, 0o444]
    assert stat.S_IMODE(files.directory(T1).stat().st_mode) == 0o700


def test_for_one_owner_they_lie_as_the_task_names_them(tmp_path: Path) -> None:
    files = TaskFiles(tmp_path / "a" / "b")
    task = a_task(
        secrets=(secret_reference(PASSWORD), secret_reference(PASSWORD, name="/etc/ssl/key")),
        configs=(config_reference(MOTD, name="/etc/motd"),),
    )
    paths = files.write(T1, files_of(task, PASSWORD, MOTD), (os.getuid(), os.getgid()))
    assert [str(path.relative_to(files.directory(T1))) for path in paths] == [
        "secrets/password",
        "secrets/etc/ssl/key",
        "configs/etc/motd",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o400}
    folders = [path for path in files.directory(T1).rglob("*") if path.is_dir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


def test_two_files_of_one_name_are_an_error_and_nothing_stays(tmp_path: Path) -> None:
    files = TaskFiles(tmp_path / "a" / "b")
    other = a_secret("other", b"x")
    task = a_task(secrets=(secret_reference(PASSWORD), secret_reference(other, name="password")))
    with pytest.raises(ExecutorError, match="secret other: another file of this task is /run/secrets/password too"):
        files.write(T1, files_of(task, PASSWORD, other), (os.getuid(), os.getgid()))
    assert not files.directory(T1).exists()


def test_writing_again_replaces_and_keeping_drops_the_rest(tmp_path: Path) -> None:
    files = TaskFiles(tmp_path / "a" / "b")
    made = files_of(a_task(secrets=(secret_reference(PASSWORD),)), PASSWORD)
    for task_id in (T1, T1, TaskId("t2")):
        files.write(task_id, made)
    files.keep([T1])
    assert [path.name for path in files.root.iterdir()] == ["t1"]
    files.keep([])
    assert not files.root.exists()
    assert not files.root.parent.exists()
    files.keep([])
    files.remove(T1)


def test_what_nobody_holds_any_more_is_deleted_by_the_next_of_its_kind(tmp_path: Path) -> None:
    """Secrets of a worker that was killed and never came back do not stay in memory."""
    made = files_of(a_task(secrets=(secret_reference(PASSWORD),)), PASSWORD)
    living, killed, other = (TaskFiles(tmp_path / name) for name in ("process-c1-n1", "process-c2-n2", "docker-c2-n2"))
    for files in (living, killed):
        files.claim()
    for files in (living, killed, other):
        files.write(T1, made)
    killed.release()  # as its end does, however it comes
    newcomer = TaskFiles(tmp_path / "process-c3-n3")
    newcomer.claim()
    with pytest.raises(ExecutorError, match="process-c3-n3 is held by another worker: this node runs already"):
        TaskFiles(newcomer.root).claim()
    newcomer.keep([])
    newcomer.claim()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["docker-c2-n2", "process-c1-n1", "process-c3-n3"]
    assert living.directory(T1).exists()
    for files in (living, newcomer):
        files.release()
        files.release()


def test_no_files_leave_no_trace(tmp_path: Path) -> None:
    files = TaskFiles(tmp_path / "a" / "b")
    assert files.write(T1, ()) == []
    assert not files.root.exists()


def test_a_place_that_somebody_else_laid_is_refused(tmp_path: Path) -> None:
    made = files_of(a_task(secrets=(secret_reference(PASSWORD),)), PASSWORD)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(ExecutorError, match=f"open: wanted: a directory of user {os.getuid()} that nobody else"):
        TaskFiles(tmp_path / "open" / "node").write(T1, made)
    (tmp_path / "link").symlink_to("/tmp")
    with pytest.raises(ExecutorError, match="link: wanted: a directory"):
        TaskFiles(tmp_path / "link" / "node").write(T1, made)
    with pytest.raises(ExecutorError, match="cannot write the secrets and configs"):
        TaskFiles(Path("/proc/no/such")).write(T1, made)
