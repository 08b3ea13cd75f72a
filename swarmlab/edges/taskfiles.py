"""Secrets and configs of tasks as files in a private place, in memory where the machine offers that."""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

from swarmlab.agent.exec import Dependencies
from swarmlab.api import Config, ExecutorError, FileTarget, Secret, Task, TaskId, Value
from swarmlab.edges.template import Tree, expand

#: A file system in memory that every Linux has.
MEMORY = Path("/dev/shm")  # noqa: S108 - a private directory is made in it
SECRETS = PurePosixPath("/run/secrets")
#: Who may read where a reference is silent; docker's default.
DEFAULT_MODE = 0o444
#: {bit of Go's os.FileMode: bit of a Unix mode}
_HIGH_BITS = {1 << 23: 0o4000, 1 << 22: 0o2000, 1 << 20: 0o1000}


class TaskFile(Value, frozen=True, kw_only=True):
    """One secret or config, ready to be written."""

    #: `secret db_password`, for errors.
    title: str
    secret: bool
    #: Absolute path under which the task knows it.
    target: PurePosixPath
    data: bytes
    uid: int = 0
    gid: int = 0
    mode: int = DEFAULT_MODE


def unix_mode(go_mode: int) -> int:
    """The Unix mode of Go's os.FileMode."""
    return (go_mode & 0o777) | sum(unix for go, unix in _HIGH_BITS.items() if go_mode & go)


def private_place(kind: str, cluster: str, node: str) -> Path:
    """A directory name for the files of that node's tasks: in memory, else below the temporary directory."""
    root = MEMORY if os.access(MEMORY, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    return root / f"swarmlab-{os.getuid()}" / f"{kind}-{cluster}-{node}"


def task_files(task: Task, dependencies: Dependencies, data: Tree) -> tuple[TaskFile, ...]:
    """The files that `task` refers to. A final `ExecutorError` where one is not on this node or is not a file name."""
    container = task.spec.container
    if container is None:
        return ()
    secrets = {secret.id: secret for secret in dependencies.secrets}
    configs = {config.id: config for config in dependencies.configs}
    payloads = _Payloads(task, data)
    for secret_reference in container.secrets:
        payloads.add(
            f"secret {secret_reference.secret_name}",
            secret_reference.file or FileTarget(name=secret_reference.secret_name),
            secrets.get(secret_reference.secret_id),
        )
    for config_reference in container.configs:
        if config_reference.runtime is None:
            payloads.add(
                f"config {config_reference.config_name}",
                config_reference.file or FileTarget(name=config_reference.config_name),
                configs.get(config_reference.config_id),
            )
    return payloads.files()


class _Payloads:
    """Secrets and configs of one task by the name of their file, as templates of payloads see them."""

    def __init__(self, task: Task, data: Tree) -> None:
        self._data = data
        self._found: list[tuple[str, FileTarget, Secret | Config]] = []
        container = task.spec.container
        self._env = dict(entry.partition("=")[::2] for entry in (container.env if container else ()))

    def add(self, title: str, target: FileTarget, found: Secret | Config | None) -> None:
        """Take a reference and what it refers to."""
        if found is None:
            raise ExecutorError(f"{title}: not on this node; it was removed or is not sent with this task")
        if not target.name or ".." in PurePosixPath(target.name).parts:
            raise ExecutorError(f"{title}: file name {target.name!r}, wanted: a name or a path without '..'")
        self._found.append((title, target, found))

    def files(self) -> tuple[TaskFile, ...]:
        """All of them with their payloads expanded."""
        return tuple(
            TaskFile(
                title=title,
                secret=isinstance(found, Secret),
                target=(SECRETS if isinstance(found, Secret) else PurePosixPath("/")) / target.name,
                data=self._payload(title, found),
                uid=_number(title, "uid", target.uid),
                gid=_number(title, "gid", target.gid),
                mode=unix_mode(target.mode) or DEFAULT_MODE,
            )
            for title, target, found in self._found
        )

    def _payload(self, title: str, found: Secret | Config) -> bytes:
        templating = found.spec.templating
        if templating is None or not templating.name:
            return found.spec.data
        if templating.name != "golang":
            raise ExecutorError(f"{title}: templating {templating.name!r}, wanted: golang")
        functions = {
            "env": lambda name: self._env.get(name, ""),
            "secret": lambda name: self._raw(title, name, Secret),
            "config": lambda name: self._raw(title, name, Config),
        }
        try:
            return expand(found.spec.data.decode(), self._data, title, functions).encode()
        except UnicodeDecodeError as error:
            raise ExecutorError(f"{title}: a template that is not UTF-8") from error

    def _raw(self, title: str, name: str, kind: type[Secret] | type[Config]) -> str:
        """The payload of the file `name` as it was stored; templates in it are not expanded again."""
        for _, target, found in self._found:
            if target.name == name and isinstance(found, kind):
                return found.spec.data.decode(errors="replace")
        raise ExecutorError(
            f"{title}: its template wants the {kind.__name__.lower()} {name!r}, which this task has not"
        )


class TaskFiles:
    """The private directories of one node's tasks below `root`.

    A task's directory is entered by its owner alone. Nothing of it is ever logged.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        #: Open as long as this object claims the place, with a lock that a kill -9 ends too.
        self._claim = -1

    def directory(self, task_id: TaskId) -> Path:
        """Where the files of that task lie, if it has any."""
        return self.root / task_id

    def write(self, task_id: TaskId, files: Sequence[TaskFile], owner: tuple[int, int] | None = None) -> list[Path]:
        """Write the task's files anew, each as an own file; their paths in the order of `files`.

        With `owner` they lie as the task names them below `secrets` and `configs`, readable for that user alone; else
        each has the owner and mode that the reference asks for, to be mounted one by one.
        """
        self.remove(task_id)
        if not files:
            return []
        directory = self.directory(task_id)
        paths = []
        try:
            self._make_root()
            directory.mkdir(mode=0o700)
            for number, file in enumerate(files):
                path = directory / str(number) if owner is None else directory / _place(file)
                for folder in reversed(path.relative_to(directory).parents[:-1]):
                    (directory / folder).mkdir(mode=0o700, exist_ok=True)
                if owner is None:
                    self._write(path, file, file.uid, file.gid, file.mode)
                else:
                    self._write(path, file, *owner, 0o400)
                paths.append(path)
            if owner is not None and owner != (os.getuid(), os.getgid()):
                for folder in [directory, *(path for path in directory.rglob("*") if path.is_dir())]:
                    os.chown(folder, *owner)
        except OSError as error:
            self.remove(task_id)
            raise ExecutorError(f"cannot write the secrets and configs of the task: {error}") from error
        except ExecutorError:
            self.remove(task_id)
            raise
        return paths

    def _make_root(self) -> None:
        """Make the directories above the tasks', and see that nobody else laid them for us in a public place."""
        for path in (self.root.parent, self.root):
            path.mkdir(mode=0o711, parents=True, exist_ok=True)
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
                raise ExecutorError(f"{path}: wanted: a directory of user {os.getuid()} that nobody else can write to")

    def _write(self, path: Path, file: TaskFile, uid: int, gid: int, mode: int) -> None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            raise ExecutorError(f"{file.title}: another file of this task is {file.target} too") from None
        with os.fdopen(descriptor, "wb") as out:
            out.write(file.data)
            if (uid, gid) != (os.getuid(), os.getgid()):
                if os.getuid() == 0:
                    os.fchown(descriptor, uid, gid)
                elif not mode & 0o004:
                    raise ExecutorError(
                        f"{file.title}: owner {uid}:{gid} with mode {mode:04o} wanted, and this worker is not root"
                    )
            os.fchmod(descriptor, mode)

    def remove(self, task_id: TaskId) -> None:
        """Delete the files of that task; none: nothing."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.directory(task_id))

    def claim(self) -> None:
        """Hold this place until `release`, and delete those beside it of its kind that nobody holds any more.

        For executors whose tasks end with the worker: what a killed one left is of no use to anybody.
        """
        try:
            with self._parent_locked():
                self._make_root()
                if self._claim < 0:
                    self._claim = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
                    fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for path in sorted(self.root.parent.glob(self.root.name.partition("-")[0] + "-*")):
                    with contextlib.suppress(BlockingIOError, FileNotFoundError), _locked(path, fcntl.LOCK_NB):
                        shutil.rmtree(path)
        except BlockingIOError as error:
            self.release()
            raise ExecutorError(f"{self.root} is held by another worker: this node runs already") from error
        except OSError as error:
            raise ExecutorError(f"cannot use {self.root}: {error}") from error

    @contextlib.contextmanager
    def _parent_locked(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            while True:
                self._make_root()
                with contextlib.suppress(FileNotFoundError):  # the last of other nodes has just removed it
                    stack.enter_context(_locked(self.root.parent))
                    break
            yield

    def release(self) -> None:
        """Hold it no longer."""
        if self._claim >= 0:
            os.close(self._claim)
            self._claim = -1

    def keep(self, tasks: Collection[TaskId]) -> None:
        """Delete the files of all tasks but these, and the directory itself when it is empty and not claimed."""
        if not self.root.is_dir():
            return
        for path in sorted(self.root.iterdir()):
            if path.name not in tasks:
                self.remove(TaskId(path.name))
        for path in () if self._claim >= 0 else (self.root, self.root.parent):
            with contextlib.suppress(OSError):  # another task or node has files there
                path.rmdir()


@contextlib.contextmanager
def _locked(directory: Path, flags: int = 0) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
        yield
    finally:
        os.close(descriptor)


def _place(file: TaskFile) -> PurePosixPath:
    """Where a file lies for a task without a file system of its own, below its directory."""
    if file.secret:
        inner = file.target.relative_to(SECRETS) if file.target.is_relative_to(SECRETS) else file.target
        return PurePosixPath("secrets") / str(inner).lstrip("/")
    return PurePosixPath("configs") / str(file.target).lstrip("/")


def _number(title: str, what: str, text: str) -> int:
    if text and not text.isdecimal():
        raise ExecutorError(f"{title}: {what} {text!r}, wanted: a number")
    return int(text or 0)
