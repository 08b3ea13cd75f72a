"""Managers in processes of their own, killed while they write: what was acknowledged is on a majority of disks."""

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path
from queue import SimpleQueue

import pytest

from swarmlab.edges.disk import RaftLog
from swarmlab.node import alone

KILLS = 4
NAMES = ("m1", "m2", "m3")

#: One manager: founds or joins, or goes on; while it leads it commits tasks and says which were acknowledged.
MEMBER = """
import asyncio, json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from raft_group import Live, until
from swarmlab.api import NodeId
from swarmlab.node import RaftMember, Roster, founding, joining
from swarmlab.raft import RaftId

folder, name, others = Path(sys.argv[2]), sys.argv[3], sys.argv[4:]

def ticket(of):
    return folder / f"{of}.ticket"

def members(rows):
    return tuple(RaftMember(RaftId(raft_id), NodeId(node), addr) for raft_id, node, addr in rows)

async def main():
    live = Live(folder, name, election_ticks=20)
    if (folder / name / "raft.db").exists():
        await live.start()
    elif not ticket(name).exists() and others:
        await live.start(founding(RaftMember(RaftId(5), NodeId(name), live.addr)))
        await until(lambda: live.replica.leads)
        for other in others:
            joined = await live.admit(other, f"unix:{folder}/{other}.sock")
            rows = [(each.raft_id, each.node_id, each.addr) for each in joined.roster.members]
            ticket(other).with_suffix(".new").write_text(json.dumps([joined.member.raft_id, rows]))
            ticket(other).with_suffix(".new").rename(ticket(other))
            await until(lambda: len(live.replica.voters) == len(live.replica.members()))
    else:
        await until(ticket(name).exists)
        raft_id, rows = json.loads(ticket(name).read_text())
        roster = Roster(members(rows))
        await live.start(joining(roster.get(raft_id), roster))
    number = 0
    while True:
        if live.replica.leads and len(live.replica.voters) == 3:
            keys = [f"{name}-{os.getpid()}-{number + place:06}" for place in range(8)]
            outcomes = await live.propose(*keys)
            number += len(keys)
            ok = [key for key, outcome in zip(keys, outcomes) if outcome.error is None]
            print(json.dumps([name, ok]), flush=True)
        else:
            await asyncio.sleep(0.01)

asyncio.run(main())
"""


class Processes:
    """The three members, and what they say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.acknowledged: set[str] = set()
        self._running: dict[str, tuple[subprocess.Popen[str], threading.Thread]] = {}
        self._said: SimpleQueue[tuple[int, str, list[str]]] = SimpleQueue()

    def start(self, name: str, *others: str) -> None:
        here = str(Path(__file__).parent)
        process = subprocess.Popen(
            [sys.executable, "-c", MEMBER, here, str(self.folder), name, *others],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._running[name] = process, reader
        reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.endswith("\n"):
                self._said.put((process.pid, *json.loads(line)))

    def committing(self, *, after: int = 0) -> tuple[str, int]:
        """The next member that has commits acknowledged, in another process than `after`, and its process."""
        while True:
            pid, name, keys = self._said.get(timeout=60)
            self.acknowledged.update(keys)
            if keys and pid != after:
                return name, pid

    def kill(self, *names: str) -> None:
        for name in names:
            self._running[name][0].kill()
        for name in names:
            process, reader = self._running.pop(name)
            process.wait()
            reader.join()
            assert process.stdout is not None
            process.stdout.close()

    def drain(self) -> None:
        """Hear what is left of those who are dead."""
        while not self._said.empty():
            self.acknowledged.update(self._said.get()[2])


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_leaders_killed_under_load_lose_nothing_that_was_acknowledged(short_path: Path) -> None:
    """Each time another takes over; the dead one comes back from its disk; at the end all power fails at once."""
    members = Processes(short_path)
    for name in NAMES:
        members.start(name, *(NAMES[1:] if name == NAMES[0] else ()))
    try:
        leader, pid = await asyncio.to_thread(members.committing)
        for _ in range(KILLS):
            for _ in range(5):
                leader, pid = await asyncio.to_thread(members.committing)
            members.kill(leader)
            await asyncio.to_thread(members.committing, after=pid)
            members.start(leader)
    finally:
        members.kill(*NAMES)
    members.drain()
    assert len(members.acknowledged) > 100
    held: dict[str, set[str]] = {}
    for name in NAMES:
        log = RaftLog(short_path / name, lambda _: None)
        assert log.recovered is not None
        held[name] = {task.id for task in alone(log.recovered).image.view.tasks()}
        log.close()
    for key in sorted(members.acknowledged):
        holders = [name for name in NAMES if key in held[name]]
        assert len(holders) >= 2, f"{key} was acknowledged, and is on {holders} alone"
