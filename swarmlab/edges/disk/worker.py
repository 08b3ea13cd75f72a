"""The worker's file: the tasks that it has accepted, and how far they are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from zlib import crc32

import msgspec

from swarmlab.api import NotFound, StateError, Task, TaskId, TaskStatus
from swarmlab.edges.disk.database import checked, open_database, reported, transaction
from swarmlab.edges.disk.directory import Claim, make_directory

#: "swrk" in ASCII.
_APPLICATION = 0x7377726B
_SCHEMA = 1
_TABLES = (
    "CREATE TABLE tasks (id TEXT PRIMARY KEY, task BLOB NOT NULL, task_checksum INTEGER NOT NULL,"
    " status BLOB, status_checksum INTEGER) STRICT",
)
_UPDATE_STATUS = "UPDATE tasks SET status = ?, status_checksum = ? WHERE id = ?"
_Statement = tuple[str, tuple[object, ...]]
_ENCODER = msgspec.msgpack.Encoder()
_TASK = msgspec.msgpack.Decoder(Task)
_STATUS = msgspec.msgpack.Decoder(TaskStatus)


class WorkerState:
    """Accepted tasks in the file `path`, whose directory is made where it is missing; one process uses it at a time.

    A kill loses nothing. A loss of power loses no accepted task either, but may take back the last statuses: those are
    written without waiting for the disk, since the runtime can be asked again.

    Raises:
        StateError: The file is in use, not writable, damaged, or of a later version. From any method: the disk is full,
            or fails.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        make_directory(self._path.parent)
        self._claim = Claim(self._path.with_name(f"{self._path.name}.lock"))
        try:
            self._connection = open_database(self._path, _APPLICATION, _SCHEMA, _TABLES)
        except BaseException:
            self._claim.release()
            raise
        self._wait_for_disk(False)
        #: Tasks as they were last written, so that a new status does not write its task again.
        self._written: dict[str, Task] = {}

    def put_task(self, task: Task) -> None:
        """Accept `task`, or its newer form; on the disk for good when this returns. A status that it has stays."""
        data = _ENCODER.encode(task)
        self._durably(
            (
                "INSERT INTO tasks (id, task, task_checksum) VALUES (?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET task = excluded.task, task_checksum = excluded.task_checksum",
                (task.id, data, crc32(data)),
            )
        )
        self._written[task.id] = task

    def put_status(self, task_id: TaskId, status: TaskStatus) -> None:
        """Note how far the task is.

        Raises:
            NotFound: The task was not accepted, or was dropped.
        """
        data = _ENCODER.encode(status)
        if not self._soon((_UPDATE_STATUS, (data, crc32(data), task_id))):
            raise NotFound(f"{self._path} holds no task {task_id}")

    def put(self, task: Task, status: TaskStatus) -> None:
        """Both at once; waits for the disk only where the task itself is new or changed."""
        self.write({task.id: (task, status)})

    def drop(self, task_id: TaskId) -> None:
        """Forget the task, if it is there."""
        self.write({task_id: None})

    def write(self, records: Mapping[TaskId, tuple[Task, TaskStatus] | None]) -> None:
        """Put these tasks, and forget those that have None, all or nothing.

        Waits for the disk, once, where one of the tasks is new or changed.
        """
        fresh: dict[str, Task] = {}
        statements: list[_Statement] = []
        for task_id, record in records.items():
            if record is None:
                statements.append(("DELETE FROM tasks WHERE id = ?", (task_id,)))
                continue
            task, status = record
            state = _ENCODER.encode(status)
            known = self._written.get(task_id)
            if known is task or known == task:
                statements.append((_UPDATE_STATUS, (state, crc32(state), task_id)))
            else:
                data = _ENCODER.encode(task)
                row = (task_id, data, crc32(data), state, crc32(state))
                statements.append(("INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?, ?)", row))
                fresh[task_id] = task
        if fresh:
            self._durably(*statements)
        elif statements:
            self._soon(*statements)
        for task_id, record in records.items():
            if record is None:
                self._written.pop(task_id, None)
        self._written |= fresh

    def load(self) -> tuple[tuple[Task, TaskStatus | None], ...]:
        """All accepted tasks with their last status, sorted by id.

        Raises:
            StateError: The file is damaged.
        """
        with reported(self._path):
            rows = self._connection.execute("SELECT * FROM tasks ORDER BY id").fetchall()
        found = []
        for task_id, task, task_sum, status, status_sum in rows:
            self._checked(f"task {task_id}", task, task_sum)
            if status is not None:
                self._checked(f"the status of task {task_id}", status, status_sum)
            try:
                found.append((_TASK.decode(task), None if status is None else _STATUS.decode(status)))
            except msgspec.DecodeError as error:
                raise StateError(f"{self._path} is damaged: task {task_id}: {error}") from error
        self._written = {task.id: task for task, _ in found}
        return tuple(found)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
        self._claim.release()

    def _checked(self, what: str, payload: bytes, checksum: int) -> bytes:
        return checked(self._path, what, payload, checksum)

    def _durably(self, *statements: _Statement) -> None:
        with reported(self._path):
            self._wait_for_disk(True)
            try:
                self._execute(statements)
            finally:
                self._wait_for_disk(False)

    def _soon(self, *statements: _Statement) -> int:
        """Written when this returns, but perhaps not yet by the disk; how many rows the last one changed."""
        with reported(self._path):
            return self._execute(statements)

    def _execute(self, statements: Sequence[_Statement]) -> int:
        if len(statements) == 1:
            return self._connection.execute(*statements[0]).rowcount
        with transaction(self._connection):
            return [self._connection.execute(*statement).rowcount for statement in statements][-1]

    def _wait_for_disk(self, wait: bool) -> None:
        self._connection.execute(f"PRAGMA synchronous = {'FULL' if wait else 'NORMAL'}")
