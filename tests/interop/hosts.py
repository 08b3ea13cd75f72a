"""Hosts on one machine: a network namespace each, joined by a switch, with a Docker Engine where one is wanted.

Needs root, iproute2 and docker.io. Everything of a host lies below one directory, and goes with it.
"""

import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

#: A network that no machine of a lab is likely to have.
NETWORK = "10.213.77"
START_SECONDS = 60.0
STOP_SECONDS = 15.0
#: For what takes a second or ten, on a machine that does ten other things.
PATIENCE_SECONDS = 100.0
_SEARCH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def missing() -> str:
    """What this machine lacks for hosts of its own; empty where nothing is missing."""
    if os.geteuid() != 0:
        return "root"
    lacking = [name for name in ("ip", "nsenter", "unshare", "dockerd", "docker", "busybox") if not tool(name)]
    return ", ".join(lacking)


def tool(name: str) -> str:
    """Its path; empty where it is not installed."""
    return shutil.which(name, path=_SEARCH) or ""


def run(*words: str, check: bool = True) -> str:
    """What the command printed; an error with all of it when it fails."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(
            f"{' '.join(words)} ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}"
        )
    return done.stdout


class Host:
    """A machine with an address of its own."""

    def __init__(self, name: str, namespace: str, address: str, home: Path) -> None:
        self.name = name
        self.namespace = namespace
        self.address = address
        self.home = home
        self._processes: list[subprocess.Popen[bytes]] = []
        self._engine: subprocess.Popen[bytes] | None = None

    @property
    def docker_host(self) -> str:
        """Where its Engine listens."""
        return f"unix://{self.home}/docker.sock"

    def words(self, *command: str) -> list[str]:
        """The command, as run on this host. `ip netns exec` would hide the control groups from an Engine."""
        return [tool("nsenter"), f"--net=/run/netns/{self.namespace}", *command]

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The variables of a command on this host."""
        return {**os.environ, "PATH": _SEARCH, "DOCKER_HOST": self.docker_host, **(more or {})}

    def run(self, *command: str, check: bool = True, env: Mapping[str, str] | None = None, seconds: float = 60) -> str:
        """What `command` prints on this host.

        Raises:
            RuntimeError: It failed, with all that it printed; or it took longer than `seconds`.
        """
        try:
            done = subprocess.run(
                self.words(*command),
                capture_output=True,
                text=True,
                check=False,
                env=self.environment(env),
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"{self.name}: {' '.join(command)} took more than {seconds:g} s") from error
        if check and done.returncode != 0:
            told = (done.stderr + done.stdout).strip()
            raise RuntimeError(f"{self.name}: {' '.join(command)} ended with {done.returncode}: {told}")
        return done.stdout + ("" if check else done.stderr)

    def start(self, *command: str, log: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """A process on this host, whose output goes to the file `log` in its directory."""
        with (self.home / log).open("ab") as file:
            process = subprocess.Popen(
                self.words(*command),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=self.environment(env),
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def start_engine(self) -> None:
        """Start a Docker Engine, and wait until it answers."""
        for left in self.home.rglob("*.pid"):
            # One that was killed leaves them, and the next start would wait for a process of that number.
            left.unlink()
        self._engine = self.start(
            # A host name of its own, by which the swarm knows the Engine.
            tool("unshare"), "--mount", "--uts", "--propagation", "slave",
            "sh", "-c", 'busybox hostname "$0" && exec "$@"', self.name,
            tool("dockerd"),
            "--data-root", f"{self.home}/data",
            "--exec-root", f"{self.home}/exec",
            "--pidfile", f"{self.home}/dockerd.pid",
            "--host", self.docker_host,
            "--cgroup-parent", f"/{self.namespace}",
            "--shutdown-timeout", "2",
            log="dockerd.log",
            # No registry answers here, and a look-up of its name takes 20 s to fail.
            env={"DOCKER_SERVICE_PREFER_OFFLINE_IMAGE": "1"},
        )  # fmt: skip
        end = time.monotonic() + START_SECONDS
        while "Server Version" not in self.run(tool("docker"), "info", check=False):
            if self._engine.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.name}: dockerd does not come up: {self.tail('dockerd.log')}")
            time.sleep(0.1)

    def stop_engine(self, number: int = signal.SIGTERM) -> None:
        """Stop the Engine by that signal; containers of one that is killed are ended too, as by a loss of power."""
        if self._engine is not None:
            end(self._engine, number)
            self._engine = None
            self._sweep()

    def docker(self, *words: str, check: bool = True, seconds: float = 60) -> str:
        """What the `docker` command prints here."""
        return self.run(tool("docker"), *words, check=check, seconds=seconds).strip()

    def import_busybox(self, image: str = "busybox:latest") -> None:
        """An image without a registry: the static busybox, and a name for each of its applets."""
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for directory in ("bin", "etc", "tmp"):
                (root / directory).mkdir()
            shutil.copy(tool("busybox"), root / "bin" / "busybox")
            for applet in set(run(tool("busybox"), "--list").split()) - {"busybox"}:
                (root / "bin" / applet).symlink_to("busybox")
            archive = root.parent / f"{root.name}.tar"
            try:
                run("tar", "-C", str(root), "-cf", str(archive), ".")
                self.docker("import", str(archive), image)
            finally:
                archive.unlink(missing_ok=True)

    def ended(self) -> list[str]:
        """What was started here and has ended by itself: the command, and its exit code or the negative signal."""
        return [
            f"{' '.join(map(str, process.args[2:5]))} ended with {process.returncode}"  # type: ignore[index]
            for process in self._processes
            if process.poll() is not None
        ]

    def tail(self, log: str, lines: int = 15) -> str:
        """The end of a log of this host; empty where there is none."""
        return "\n".join(_read(self.home / log).splitlines()[-lines:])

    def terminate(self) -> None:
        """Ask all that was started here to end, without waiting for it."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()

    def close(self) -> None:
        """End all that was started here."""
        for process in reversed(self._processes):
            end(process)
        self._sweep()
        _unmount_below(self.home)
        _remove_groups(self.namespace)

    def _sweep(self) -> None:
        """Kill what a killed Engine leaves: its containers, containerd, shims and proxies."""
        _remove_groups(self.namespace)
        running = {process.pid for process in self._processes if process.poll() is None}
        _kill_all(lambda: [pid for pid in _inside(self.namespace) if pid not in running and _is_of_engine(pid)])


def _read(path: Path) -> str:
    """Its text; empty where it is gone."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _is_alive(pid: str) -> bool:
    """Whether the process runs; a zombie does not."""
    state = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return bool(state) and state[0] not in "ZX"


def _inside(namespace: str) -> list[int]:
    """The processes in that network."""
    return [int(word) for word in run(tool("ip"), "netns", "pids", namespace, check=False).split()]


def _is_of_engine(pid: int) -> bool:
    name = Path(_read(Path(f"/proc/{pid}/cmdline")).split("\0")[0]).name
    return name.startswith(("containerd", "docker-proxy", "dockerd"))


def _kill_all(processes: Callable[[], list[int]]) -> None:
    """Kill them until none is left, or they do not die."""
    end_of_patience = time.monotonic() + STOP_SECONDS
    while (left := processes()) and time.monotonic() < end_of_patience:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _remove_groups(namespace: str) -> None:
    """Kill a host's containers, which its control groups hold, and remove the groups."""
    tops = [top for top in Path("/sys/fs/cgroup").glob(f"*/{namespace}") if top.is_dir()]
    groups = [*tops, *(path for top in tops for path in top.rglob("*") if path.is_dir())]
    _kill_all(lambda: [int(word) for group in groups for word in _read(group / "cgroup.procs").split()])
    for group in sorted(groups, key=lambda path: len(path.parts), reverse=True):
        with contextlib.suppress(OSError):
            group.rmdir()


def _unmount_below(folder: Path) -> None:
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((point for point in mounts if point.startswith(f"{folder}/")), reverse=True):
        run("umount", "-l", point, check=False)


def clear_dead() -> None:
    """Take away the hosts of runs that were killed before they could do so themselves."""

    def is_dead(name: str) -> bool:
        match = re.match(r"swl(\d+)x\d+(sw$|h\d+$|-)", name)
        return match is not None and not _is_alive(match[1])

    for name in sorted(path.name for path in Path("/run/netns").glob("swl*") if is_dead(path.name)):
        _kill_all(lambda name=name: _inside(name))  # type: ignore[misc]
        _remove_groups(name)
        run(tool("ip"), "netns", "del", name, check=False)
    for home in Path(tempfile.gettempdir()).glob("swl*"):
        if is_dead(home.name):
            _unmount_below(home)
            shutil.rmtree(home, ignore_errors=True)


def end(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    """End a process and what it started: by that signal, then for sure."""
    for each in (number, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(each)
        try:
            process.wait(STOP_SECONDS)
            break
        except subprocess.TimeoutExpired:
            continue
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


class Hosts:
    """Hosts on one switch. As a context: left, nothing of them is there any more."""

    _numbers = itertools.count()

    def __init__(self, *names: str) -> None:
        self._mark = f"swl{os.getpid()}x{next(self._numbers)}"
        # Sockets lie in it, whose paths may have 107 bytes.
        self._home = Path(tempfile.mkdtemp(prefix=f"{self._mark}-"))
        self._names = names
        self.hosts: dict[str, Host] = {}

    def __enter__(self) -> Self:
        clear_dead()
        try:
            self._switch()
            for number, name in enumerate(self._names, start=1):
                self._add(number, name)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def __iter__(self) -> Iterator[Host]:
        return iter(self.hosts.values())

    @property
    def _switch_namespace(self) -> str:
        return f"{self._mark}sw"

    def _switch(self) -> None:
        ip = tool("ip")
        run(ip, "netns", "add", self._switch_namespace)
        run(ip, "-n", self._switch_namespace, "link", "add", "switch", "type", "bridge")
        run(ip, "-n", self._switch_namespace, "link", "set", "switch", "up")

    def _add(self, number: int, name: str) -> None:
        ip = tool("ip")
        namespace = f"{self._mark}h{number}"
        home = self._home / name
        home.mkdir(mode=0o700)
        run(ip, "netns", "add", namespace)
        run(ip, "-n", namespace, "link", "set", "lo", "up")
        pair = ("type", "veth", "peer", "name", "eth0", "netns", namespace)
        run(ip, "-n", self._switch_namespace, "link", "add", f"port{number}", *pair)
        run(ip, "-n", self._switch_namespace, "link", "set", f"port{number}", "master", "switch", "up")
        address = f"{NETWORK}.{number}"
        run(ip, "-n", namespace, "addr", "add", f"{address}/24", "dev", "eth0")
        run(ip, "-n", namespace, "link", "set", "eth0", "up")
        run(ip, "-n", namespace, "route", "add", "default", "via", f"{NETWORK}.254")
        self.hosts[name] = Host(name, namespace, address, home)

    def start_engines(self, *names: str) -> None:
        """Start Engines on those hosts, all at once, and give each of them the image."""

        def start(host: Host) -> None:
            host.start_engine()
            host.import_busybox()

        with ThreadPoolExecutor(len(names)) as pool:
            for started in [pool.submit(start, self.hosts[name]) for name in names]:
                started.result()

    def cut(self, host: Host, cut: bool = True) -> None:
        """Pull the plug of a host's wire, or put it in again."""
        number = host.address.rpartition(".")[2]
        run(tool("ip"), "-n", self._switch_namespace, "link", "set", f"port{number}", "down" if cut else "up")

    def close(self) -> None:
        """End everything and take it away."""
        for host in self.hosts.values():
            host.terminate()
        for host in self.hosts.values():
            host.close()
        for namespace in (*(host.namespace for host in self.hosts.values()), self._switch_namespace):
            run(tool("ip"), "netns", "del", namespace, check=False)
        shutil.rmtree(self._home, ignore_errors=True)


def until(holds: Callable[[], object], seconds: float = PATIENCE_SECONDS, what: str = "") -> None:
    """Wait until `holds()` is true; what it raised last is told when it never is."""
    end_of_patience = time.monotonic() + seconds
    trouble: Exception | None = None
    while time.monotonic() < end_of_patience:
        try:
            if holds():
                return
            trouble = None
        except (RuntimeError, ValueError, KeyError, IndexError) as error:
            trouble = error
        # A look is often a command, which costs more than the wait.
        time.sleep(0.25)
    raise TimeoutError(f"{what or holds} did not come true within {seconds:g} s{f': {trouble}' if trouble else ''}")
