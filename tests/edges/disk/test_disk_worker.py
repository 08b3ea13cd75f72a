"""A worker's accepted tasks."""

import random
import stat
import subprocess
import sys

import pytest
from disk_loop import edit

from swarmlab.api import (
    ContainerSpec,
    ContainerStatus,
    NotFound,
    StateError,
    Task,
    TaskSpec,
    TaskState,
    TaskStatus,
)
from swarmlab.edges.disk import WorkerState

WEB = Task(id="t1", slot=3, spec=TaskSpec(container=ContainerSpec(image="web:1", env=("A=b",))))
DB = Task(id="t2", service_id="s1")
RUNNING = TaskStatus(state=TaskState.RUNNING, timestamp=7, container=ContainerStatus(container_id="c", pid=4))
ACCEPTED = TaskStatus(state=TaskState.ACCEPTED)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "worker" / "tasks.db"


def loaded(path):
    state = WorkerState(path)
    try:
        return state.load()
    finally:
        state.close()


def test_a_new_one_is_empty_and_private(path):
    assert loaded(path) == ()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_tasks_and_states_are_there_after_a_restart(path):
    state = WorkerState(path)
    state.put_task(DB)
    state.put(WEB, ACCEPTED)
    state.put_status("t1", RUNNING)
    state.put(Task(id="t3"), ACCEPTED)
    state.drop("t3")
    state.drop("never")
    state.close()
    assert loaded(path) == ((WEB, RUNNING), (DB, None))


def test_a_newer_form_of_a_task_keeps_its_status(path):
    state = WorkerState(path)
    state.put(DB, RUNNING)
    newer = Task(id="t2", service_id="s1", desired_state=TaskState.SHUTDOWN)
    state.put_task(newer)
    assert state.load() == ((newer, RUNNING),)
    state.put(DB, ACCEPTED)
    assert state.load() == ((DB, ACCEPTED),)
    state.close()


def test_a_status_alone_does_not_write_the_task_again(path):
    state = WorkerState(path)
    state.put(WEB, ACCEPTED)
    edit(path, "UPDATE tasks SET task = X'01'")
    state.put(WEB, RUNNING)
    state.close()
    # Had it been written again, the damage would be gone.
    with pytest.raises(StateError, match=r"tasks.db is damaged: task t1 does not match its checksum"):
        loaded(path)


def test_many_records_are_written_together(path):
    """Whatever happened to the tasks, after it each is there or is not."""
    state = WorkerState(path)
    state.put(WEB, ACCEPTED)
    state.put(DB, ACCEPTED)
    state.write({"t1": (WEB, RUNNING), "t2": None, "t3": (Task(id="t3"), ACCEPTED), "t4": None})
    state.write({})
    assert state.load() == ((WEB, RUNNING), (Task(id="t3"), ACCEPTED))
    state.close()


def test_of_many_records_all_are_written_or_none(path):
    state = WorkerState(path)
    state.put(WEB, ACCEPTED)
    edit(path, "CREATE TRIGGER odd BEFORE INSERT ON tasks WHEN NEW.id = 't3' BEGIN SELECT raise(ABORT, 'full'); END")
    with pytest.raises(StateError, match="full"):
        state.write({"t1": None, "t2": (DB, ACCEPTED), "t3": (Task(id="t3"), ACCEPTED)})
    assert state.load() == ((WEB, ACCEPTED),)
    state.close()


def test_what_was_loaded_counts_as_written(path):
    state = WorkerState(path)
    state.put(WEB, ACCEPTED)
    state.close()
    state = WorkerState(path)
    ((task, _),) = state.load()
    assert task is not WEB
    edit(path, "UPDATE tasks SET task = X'01'")
    state.put(WEB, RUNNING)
    with pytest.raises(StateError):
        state.load()
    state.close()


def test_a_status_of_a_task_that_is_not_there(path):
    state = WorkerState(path)
    with pytest.raises(NotFound, match="holds no task t9"):
        state.put_status("t9", RUNNING)
    state.put(WEB, RUNNING)
    state.drop("t1")
    # Put again after a drop, it is written whole.
    state.put(WEB, RUNNING)
    assert state.load() == ((WEB, RUNNING),)
    state.close()


def test_one_process_at_a_time(path):
    state = WorkerState(path)
    with pytest.raises(StateError, match="worker is in use by process"):
        WorkerState(path)
    state.close()
    assert loaded(path) == ()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE tasks SET status = X'00'", "damaged: the status of task t1 does not match its checksum"),
        ("UPDATE tasks SET task = X'81', task_checksum = 1220369467", "damaged: task t1"),
        ("DROP TABLE tasks", "cannot be used: no such table: tasks"),
        ("PRAGMA user_version = 9", "written by a later version: it has schema 9"),
        ("PRAGMA application_id = 9", "is a database of another program"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused(path, statement, words):
    state = WorkerState(path)
    state.put(WEB, RUNNING)
    state.close()
    edit(path, statement)
    with pytest.raises(StateError, match=words):
        loaded(path)


def test_a_full_disk_is_told(path):
    state = WorkerState(path)
    state.put(DB, ACCEPTED)
    (pages,) = state._connection.execute("PRAGMA page_count").fetchone()
    state._connection.execute(f"PRAGMA max_page_count = {pages}")
    large = Task(id="t9", spec=TaskSpec(container=ContainerSpec(image="x" * 50_000)))
    with pytest.raises(StateError, match=r"tasks.db cannot be used: database or disk is full"):
        state.put(large, ACCEPTED)
    assert state.load() == ((DB, ACCEPTED),)
    # The next status still goes through, and the task is not taken for written.
    state.put_status("t2", RUNNING)
    with pytest.raises(StateError):
        state.put(large, ACCEPTED)
    state.close()
    assert loaded(path) == ((DB, RUNNING),)


WRITER = """
import sys
from swarmlab.api import Task, TaskState, TaskStatus
from swarmlab.edges.disk import WorkerState
state = WorkerState(sys.argv[1])
state.load()
number = int(sys.argv[2])
while True:
    number += 1
    task = Task(id=f"t{number:06}")
    for reached in (TaskState.ACCEPTED, TaskState.STARTING, TaskState.RUNNING):
        state.put(task, TaskStatus(state=reached))
        print(task.id, int(reached), flush=True)
"""


def test_kill_9_loses_no_task_and_no_status(path):
    rng = random.Random(5)
    told: dict[str, int] = {}
    for round_number in range(8):
        command = [sys.executable, "-c", WRITER, str(path), str(round_number * 1000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            lines = [writer.stdout.readline() for _ in range(rng.randrange(1, 60))]
            writer.kill()
            rest = writer.stdout.read()
        lines += rest[: rest.rfind("\n") + 1].splitlines()
        told |= {key: int(reached) for key, reached in map(str.split, lines)}
        there = {task.id: int(status.state) for task, status in loaded(path)}
        assert all(there[key] >= reached for key, reached in told.items())
