"""A fleet: real node processes, each on a host of its own where root makes some, else all on the loopback."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Self

from interop.hosts import Host, Hosts, run, tool

from swarmlab.api import (
    KINDS,
    Annotations,
    ContainerSpec,
    DaemonState,
    DaemonStatus,
    Node,
    NodeRole,
    NodeState,
    Reachability,
    ReplicatedService,
    RestartCondition,
    RestartPolicy,
    ServiceSpec,
    StoreObject,
    SwarmlabError,
    Task,
    TaskSpec,
    TaskState,
    UpdateConfig,
    seconds,
)
from swarmlab.daemon.manager_part import opened_log
from swarmlab.daemon.recovery import whole_view
from swarmlab.daemon.state import StateDirectory
from swarmlab.edges.grpc.client import Client
from swarmlab.store import Snapshot

SWARMLAB = (sys.executable, "-m", "swarmlab")
PORT = 2377
#: For what comes in a second or two unless it is broken, however busy the machine is.
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.15
#: An election takes one to two seconds.
TICKS = ("--tick", "100", "--election-tick", "10")
MANAGERS, WORKERS = ("m1", "m2", "m3"), ("w1", "w2", "w3")


def lacks_hosts() -> str:
    """What this machine lacks for hosts of their own; empty where nothing is missing."""
    if os.geteuid() != 0:
        return "root"
    return ", ".join(name for name in ("ip", "nsenter", "iptables", "mount") if not tool(name))


def a_service(name: str, marker: str, replicas: int) -> ServiceSpec:
    """Plain processes `sleep MARKER`, whose pids can be found; stop-first, at once."""
    return ServiceSpec(
        annotations=Annotations(name=name),
        task=TaskSpec(
            container=ContainerSpec(image="any", command=("sleep", marker), stop_grace_period=seconds(1)),
            restart=RestartPolicy(condition=RestartCondition.ANY, delay=seconds(0.1)),
        ),
        update=UpdateConfig(parallelism=1),
        replicated=ReplicatedService(replicas=replicas),
    )


def programs(marker: str) -> frozenset[int]:
    """The pids of the processes `sleep MARKER` on this machine, whichever host they are on."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile
                if (entry / "cmdline").read_bytes() == b"sleep\0" + marker.encode() + b"\0":
                    found.add(int(entry.name))
    return frozenset(found)


class Member:
    """A node process, or the place of one."""

    def __init__(self, name: str, home: Path, host: Host | None, flags: Iterable[str]) -> None:
        self.name = name
        self.home = home
        self.host = host
        self.flags = tuple(flags)
        self.state_dir = home / "state"
        self.log = home / "daemon.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.node_id = ""
        self.addr = ""

    @property
    def socket(self) -> Path:
        """The local socket."""
        return self.state_dir / "swarmlab.sock"

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self.process is not None and self.process.poll() is None

    def words(self, *command: str) -> list[str]:
        """The command, on this node's host."""
        return self.host.words(*command) if self.host is not None else list(command)

    def start(self) -> None:
        """Start the process, and do not wait for it."""
        assert not self.runs, f"{self.name} runs"
        listen = f"{self.host.address}:{PORT}" if self.host is not None else "127.0.0.1:0"
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.words(
                    *SWARMLAB, "daemon", "--state-dir", str(self.state_dir), "--hostname", self.name,
                    "--listen-addr", listen, *TICKS, *self.flags,
                ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """SIGKILL, as a loss of power but for the disk."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and wait until it is over."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.name} did not end by signal {number}\n{self.tail()}") from None

    def cli(self, *words: str, text: str = "", check: bool = True) -> str:
        """What `swarmlab WORDS` prints on this node; with `check`, once it succeeds."""
        done = subprocess.run(
            self.words(*SWARMLAB, *words),
            input=text,
            env={**os.environ, "SWARMLAB_SOCKET": str(self.socket)},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        told = done.stdout + ("" if check else done.stderr)
        assert not check or done.returncode == 0, f"{self.name}: {words}: {done.stdout}{done.stderr}\n{self.tail()}"
        return told.strip()

    async def status(self) -> DaemonStatus | None:
        """What the process says of itself; None where none answers."""
        try:
            async with Client(self.socket, timeout=5) as client:
                return await client.node_process()
        except SwarmlabError:
            return None

    async def is_at(self, *states: DaemonState) -> bool:
        """Whether the process answers, and is at one of these states."""
        status = await self.status()
        return status is not None and status.state in states

    def tail(self, lines: int = 25) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    async def left_behind(self) -> Snapshot:
        """The state that the manager's log holds, all of it applied; the process does not run."""
        assert not self.runs, f"{self.name} runs"
        state = StateDirectory(self.state_dir)
        try:
            with opened_log(state, None) as recovered:
                assert recovered is not None, f"{self.name} has no log"
                return whole_view(recovered)
        finally:
            state.release()


class Fleet:
    """Managers that take no tasks, and workers with the process executor.

    As a context: left, no process, host, mount or file of it is there any more.

    Args:
        managers, workers: Their names. The first manager founds the swarm.
        init: Further flags of `swarm init`.
        apart: Hosts of their own, which can be cut off; else all is on the loopback.
        logs: A directory that takes the logs in the end.
    """

    def __init__(
        self,
        managers: Iterable[str] = MANAGERS,
        workers: Iterable[str] = WORKERS,
        *,
        init: Iterable[str] = (),
        apart: bool | None = None,
        logs: Path | None = None,
    ) -> None:
        self._managers, self._workers = tuple(managers), tuple(workers)
        self._init = tuple(init)
        self._apart = not lacks_hosts() if apart is None else apart
        self._logs = logs
        self._stack = contextlib.ExitStack()
        self._mounts: list[Path] = []
        self.hosts: Hosts | None = None
        self.members: dict[str, Member] = {}

    def __enter__(self) -> Self:
        try:
            self._place()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        self._stack.close()

    def _place(self) -> None:
        names = (*self._managers, *self._workers)
        if self._apart:
            self.hosts = self._stack.enter_context(Hosts(*names))
            homes = {name: self.hosts[name].home for name in names}
        else:
            folder = Path(tempfile.mkdtemp(prefix="swlf-"))
            self._stack.callback(shutil.rmtree, folder)
            homes = {name: folder / name for name in names}
            for home in homes.values():
                home.mkdir(mode=0o700)
        self._stack.callback(self._unmount)
        for name, home in homes.items():
            executor = "sim" if name in self._managers else "process"
            host = self.hosts[name] if self.hosts is not None else None
            self.members[name] = Member(name, home, host, ("--executor", executor))
        self._stack.callback(self._end)

    def _end(self) -> None:
        """Workers first: managers that end would be mourned."""
        for member in reversed(self.members.values()):
            with contextlib.suppress(AssertionError):
                member.stop()
            if self._logs is not None and member.log.exists():
                shutil.copy(member.log, self._logs / f"{member.name}.log")

    def _unmount(self) -> None:
        for point in self._mounts:
            run("umount", str(point))

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    @property
    def managers(self) -> tuple[Member, ...]:
        """The managers that were founded or joined as such."""
        return tuple(self.members[name] for name in self._managers)

    @property
    def workers(self) -> tuple[Member, ...]:
        """The workers."""
        return tuple(self.members[name] for name in self._workers)

    def small_disk(self, name: str, megabytes: int) -> None:
        """Give a node that was not started yet a state directory of that size."""
        point = self.members[name].state_dir
        point.mkdir(mode=0o700)
        run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(point))
        self._mounts.append(point)

    async def found(self) -> None:
        """Start all, found the swarm, join it, and wait until it is whole."""
        for member in self.members.values():
            member.start()
        for member in self.members.values():
            await self.until(lambda member=member: member.status(), f"{member.name} answers")
        first = self.managers[0]
        first.cli("swarm", "init", "--availability", "drain", *self._init)
        await self.introduce(first)
        for role, members in (("manager", self.managers[1:]), ("worker", self.workers)):
            token = first.cli("swarm", "join-token", "-q", role)
            flags = ("--availability", "drain") if role == "manager" else ()
            # All at once would only wait for each other's changes of the group.
            for member in members:
                member.cli("swarm", "join", *flags, "--token", token, first.addr)
                await self.introduce(member)
        await self.until(self.is_whole, "the fleet is whole")

    async def introduce(self, member: Member) -> None:
        """Note who a member is now."""
        status = await member.status()
        assert status is not None, f"{member.name} does not answer\n{member.tail()}"
        member.node_id, member.addr = status.node_id, status.advertise_addr

    async def mended(self) -> None:
        """Heal whatever a test before left broken, and remove its services and configs."""
        self.heal()
        for member in self.members.values():
            status = await member.status() if member.runs else None
            if status is None or status.error:
                member.stop()
                member.start()
        for name, node in (await self.nodes()).items():
            if name in self._managers and node.spec.desired_role is NodeRole.WORKER:
                (await self.leader()).cli("node", "promote", name)
        await self.until(self.is_whole, "the fleet is whole again")
        await self._clear()

    # What is seen of it

    @contextlib.asynccontextmanager
    async def client(self, *names: str) -> AsyncIterator[Client]:
        """A client of the first of these managers that knows a leader; of any, where none is named."""
        member = await self.knowing(*names)
        async with Client(member.socket, timeout=10) as client:
            yield client

    async def knowing(self, *names: str) -> Member:
        """The first of these managers that answers and knows a leader."""
        found: list[Member] = []

        async def look() -> bool:
            for name in names or self._managers:
                status = await self.members[name].status()
                if status is not None and status.leader_addr:
                    found.append(self.members[name])
                    return True
            return False

        await self.until(look, f"a manager of {names or self._managers} knows a leader")
        return found[0]

    async def leader(self, *names: str) -> Member:
        """Who leads, as a majority of all managers says; asked of those, or of all, and one of those."""
        found: list[Member] = []

        async def look() -> bool:
            said: Counter[str] = Counter()
            for name in names or self._managers:
                status = await self.members[name].status()
                if status is not None and status.leader_addr:
                    said[status.leader_addr] += 1
            for addr, number in said.items():
                leader = next(member for member in self.managers if member.addr == addr)
                if 2 * number > len(self._managers) and leader.runs and leader.name in (names or self._managers):
                    found.append(leader)
                    return True
            return False

        await self.until(look, "a leader")
        return found[0]

    async def nodes(self, *names: str) -> dict[str, Node]:
        """{hostname: its node}"""
        async with self.client(*names) as client:
            return {node.description.hostname: node for node in await client.list_nodes() if node.description}

    async def tasks(self, *names: str) -> tuple[Task, ...]:
        """All of them."""
        async with self.client(*names) as client:
            return await client.list_tasks()

    async def is_whole(self) -> bool:
        """Every node is ready, every manager answers, and each of them knows who leads."""
        for member in self.managers:
            status = await member.status()
            if status is None or status.state is not DaemonState.ACTIVE or not status.leader_addr:
                return False
        nodes = await self.nodes()
        return all(
            node.status.state is NodeState.READY
            and (node.manager_status is None or node.manager_status.reachability is Reachability.REACHABLE)
            for node in nodes.values()
        ) and {name for name, node in nodes.items() if node.manager_status is not None} == set(self._managers)

    async def until(
        self, holds: Callable[[], Awaitable[object]], what: str, patience: float = PATIENCE_SECONDS
    ) -> None:
        """Wait until it holds; what a manager refuses meanwhile is no answer."""
        end = time.monotonic() + patience
        trouble = ""
        while time.monotonic() < end:
            try:
                if await holds():
                    return
                trouble = ""
            except SwarmlabError as error:
                trouble = f": {error}"
            await asyncio.sleep(LOOK_SECONDS)
        logs = [f"{member.name}: {await member.status()}\n{member.tail()}" for member in self.members.values()]
        raise AssertionError("\n".join((f"{what}: it did not come within {patience:g} s{trouble}", *logs)))

    # Services

    async def deploy(self, name: str, marker: str, replicas: int) -> dict[str, str]:
        """A service of plain processes; {task: its node} once all of them run."""
        async with self.client() as client:
            await client.create_service(a_service(name, marker, replicas))
        found: dict[str, str] = {}

        async def all_run() -> bool:
            found.clear()
            found.update(running(await self.tasks(), marker))
            return len(found) == replicas

        await self.until(all_run, f"{replicas} tasks of {name} run")
        return found

    async def _clear(self) -> None:
        """Remove all services and configs, and wait until no task is left."""
        async with self.client() as client:
            for service in await client.list_services():
                await client.remove_service(service.id)
            configs = [config.id for config in await client.list_configs()]
            for some in zip_longest(*[iter(configs)] * 32):
                await asyncio.gather(*(client.remove_config(each) for each in some if each is not None))

        async def are_gone() -> bool:
            return not await self.tasks()

        await self.until(are_gone, "no task is left")

    async def states_agree(self) -> None:
        """Wait until every manager has come to the same version, kill all, and see that their logs say the same."""

        async def are_level() -> bool:
            versions = set()
            for member in self.managers:
                async with Client(member.socket, timeout=5) as client:
                    versions.add((await client.status()).version)
            return len(versions) == 1

        await self.until(are_level, "all managers know the same version")
        # All at once: the death of one is news for the others.
        for member in self.managers:
            assert member.process is not None
            member.process.kill()
        for member in self.managers:
            member.kill()
        states = {member.name: _contents(await member.left_behind()) for member in self.managers}
        for member in self.managers:
            member.start()
        first, *others = states
        for other in others:
            odd = {each for each in states[first] | states[other] if states[first].get(each) != states[other].get(each)}
            told = [f"{each}: {states[first].get(each)} and {states[other].get(each)}" for each in sorted(odd)]
            assert not told, f"{first} and {other} hold different states: {told}"
        await self.until(self.is_whole, "the fleet is whole after all managers were killed")

    # Trouble

    def cut(self, name: str, *others: str) -> None:
        """Pull the wire of a host; with others, drop what comes to it from them, and what comes to them from it."""
        assert self.hosts is not None, "nodes on the loopback cannot be cut off"
        host = self.hosts[name]
        if not others:
            self.hosts.cut(host)
        for other in others:
            for one, two in ((host, self.hosts[other]), (self.hosts[other], host)):
                one.run(tool("iptables"), "-A", "INPUT", "-s", two.address, "-j", "DROP")

    def heal(self) -> None:
        """Put all wires in again."""
        if self.hosts is None:
            return
        for host in self.hosts:
            self.hosts.cut(host, cut=False)
            host.run(tool("iptables"), "-F", "INPUT")


def _contents(view: Snapshot) -> dict[str, StoreObject]:
    """{id: object} of all kinds."""
    return {each.id: each for kind in KINDS for each in view.all(kind)}


async def untouched(fleet: Fleet, marker: str, tasks: Mapping[str, str], pids: frozenset[int]) -> None:
    """The same tasks run on the same nodes as the same processes, and there are no others."""
    everything = await fleet.tasks()
    assert {task.id: task.node_id for task in everything} == tasks == running(everything, marker)
    assert programs(marker) == pids


def running(tasks: Iterable[Task], marker: str) -> dict[str, str]:
    """{task with that marker that runs and is to run: its node}"""
    return {
        task.id: task.node_id
        for task in tasks
        if task.status.state is TaskState.RUNNING
        and task.desired_state is TaskState.RUNNING
        and task.spec.container is not None
        and task.spec.container.command == ("sleep", marker)
    }


def doubled(tasks: Iterable[Task]) -> Mapping[tuple[str, int], int]:
    """{(service, slot): tasks} of the slots in which more than one task is to run."""
    wanted = Counter((task.service_id, task.slot) for task in tasks if task.desired_state is TaskState.RUNNING)
    return {place: number for place, number in wanted.items() if number > 1}
