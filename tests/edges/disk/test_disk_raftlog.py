"""The disk of a replicated manager: a write is there whole or not at all, in order, and a failure is told."""

import random
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from disk_loop import Calls, edit
from msgspec.structs import replace

from swarmlab.api import Changes, Config, ConfigSpec, Create, Instant, NodeId, StateError, Task, TaskId
from swarmlab.edges.disk import KeyFile, RaftLog
from swarmlab.node import Image, RaftMember, Recovered, Replica, ReplicaConfig, Roster, Write, alone, founding
from swarmlab.raft import EntryKind, HardState, LogEntry, Membership, RaftId, SnapshotMeta
from swarmlab.store import CommitAtOnce, Store

ME = RaftMember(RaftId(2**62 + 5), NodeId("n1"), "10.0.0.1:2377")


def entry(index, term=1, data=b"data", kind=EntryKind.NORMAL):
    return LogEntry(index, term, kind, data)


def a_view(*keys):
    store = Store(CommitAtOnce(), lambda: Instant(1))
    for key in keys:
        store.propose(Changes.atomic(Create(Task(id=TaskId(key)))), lambda _: None)
    return store.view


def an_image(index, *keys):
    return Image(SnapshotMeta(index, 1, Membership((ME.raft_id,))), Roster((ME,), (RaftId(3),)), a_view(*keys))


def same(one, other):
    assert one._replace(image=None) == other._replace(image=None)
    assert one.image[:2] == other.image[:2]
    assert (one.image.view.version, one.image.view.tasks()) == (other.image.view.version, other.image.view.tasks())


class Open:
    """A log as its process has it."""

    def __init__(self, directory, **options):
        self.calls = Calls()
        self.log = RaftLog(directory, self.calls.call_soon, **options)
        if self.log.recovered is None:
            self.log.begin(founding(ME))
        self.answers = []

    def write(self, *entries, hard_state=None, image=None):
        self.log.write(Write(hard_state, tuple(entries), image), self.answers.append)

    def save(self, image):
        self.log.save(image, self.answers.append)

    def settle(self, count):
        """Wait until so many answers have come in all."""
        self.calls.run_until(lambda: len(self.answers) >= count)
        return self.answers


def left(directory, **options):
    """What the next process finds."""
    log = RaftLog(directory, lambda _: None, **options)
    log.close()
    return log.recovered


def test_a_new_directory_knows_nobody_until_it_is_told(tmp_path):
    directory = tmp_path / "manager"
    assert left(directory) is None
    log = RaftLog(directory, lambda _: None)
    log.begin(founding(ME, a_view("a")))
    log.close()
    same(left(directory), founding(ME, a_view("a")))
    for path in directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_writes_are_there_in_order_and_later_ones_replace(tmp_path):
    opened = Open(tmp_path)
    opened.write(entry(2), entry(3), entry(4), hard_state=HardState(1, ME.raft_id, 1))
    opened.write(entry(3, 2, b"other", EntryKind.CONFIG), hard_state=HardState(2, RaftId(7), 2))
    opened.write(entry(4, 2))
    assert opened.settle(3) == [None, None, None]
    opened.log.close()
    expected = (entry(2), entry(3, 2, b"other", EntryKind.CONFIG), entry(4, 2))
    same(left(tmp_path), Recovered(ME, founding(ME).image, HardState(2, RaftId(7), 2), expected))


def test_many_writes_wait_for_the_disk_together(tmp_path):
    opened = Open(tmp_path)
    for index in range(2, 502):
        opened.write(entry(index))
    opened.settle(500)
    assert opened.log.writes == 500
    assert opened.log.syncs < 250
    opened.log.close()
    assert len(left(tmp_path).entries) == 500


def test_a_snapshot_takes_the_place_of_what_it_covers_while_writes_go_on(tmp_path):
    opened = Open(tmp_path)
    opened.write(*(entry(index) for index in range(2, 12)))
    opened.save(an_image(8, *(f"t{number:04}" for number in range(1200))))
    opened.write(entry(12))
    opened.settle(3)
    opened.log.close()
    found = left(tmp_path)
    same(found, Recovered(ME, an_image(8, *(f"t{n:04}" for n in range(1200))), HardState(1, 0, 8), found.entries))
    assert [each.index for each in found.entries] == [9, 10, 11, 12]


def test_a_snapshot_that_was_not_finished_leaves_nothing_behind(tmp_path):
    opened = Open(tmp_path)
    opened.save(an_image(5, *(f"t{number:04}" for number in range(2000))))
    opened.log.close()
    same(left(tmp_path), founding(ME))
    with sqlite3.connect(tmp_path / "raft.db") as connection:
        assert connection.execute("SELECT count(DISTINCT generation) FROM snapshot").fetchone() == (1,)
    connection.close()
    opened = Open(tmp_path)
    opened.save(an_image(1, "x"))
    opened.settle(1)
    opened.log.close()
    assert [task.id for task in left(tmp_path).image.view.tasks()] == ["x"]


def test_an_image_of_the_leader_replaces_everything_and_ends_a_snapshot_under_way(tmp_path):
    opened = Open(tmp_path)
    opened.write(entry(2), entry(3))
    opened.save(an_image(3, *(f"t{number:04}" for number in range(2000))))
    opened.write(entry(101), hard_state=HardState(4, RaftId(0), 100), image=an_image(100, "theirs"))
    opened.settle(3)
    opened.log.close()
    same(left(tmp_path), Recovered(ME, an_image(100, "theirs"), HardState(4, RaftId(0), 100), (entry(101),)))


def test_one_process_at_a_time(tmp_path):
    opened = Open(tmp_path)
    with pytest.raises(StateError, match=rf"{tmp_path.name} is in use by process \d+$"):
        RaftLog(tmp_path, lambda _: None)
    opened.log.close()
    opened.log.close()
    opened.write(entry(2))
    assert "is closed" in str(opened.answers[0])


def test_a_full_disk_is_told_to_all_and_nothing_acknowledged_is_lost(tmp_path):
    opened = Open(tmp_path)
    opened.write(entry(2))
    opened.settle(1)
    connection = opened.log._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    opened.write(entry(3, data=bytes(50_000)))
    opened.settle(2)
    assert "raft.db could not be written: database or disk is full" in str(opened.answers[1])
    assert isinstance(opened.answers[1], StateError)
    # Also where there was room again: nobody knows what the disk has.
    opened.write(entry(3))
    opened.settle(3)
    assert opened.answers[2] is opened.answers[1]
    opened.log.close()
    assert [each.index for each in left(tmp_path).entries] == [2]


def test_a_full_disk_ends_a_snapshot_too(tmp_path):
    opened = Open(tmp_path)
    connection = opened.log._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    store = Store(CommitAtOnce(), lambda: Instant(1))
    configs = [Create(Config(id=f"c{number}", spec=ConfigSpec(data=bytes(9_000)))) for number in range(99)]
    store.propose(Changes.atomic(*configs), lambda _: None)
    opened.save(an_image(1)._replace(view=store.view))
    assert "disk is full" in str(opened.settle(1)[0])
    opened.log.close()
    same(left(tmp_path), founding(ME))


@pytest.fixture
def written(tmp_path):
    """A directory with a snapshot and three entries."""
    opened = Open(tmp_path / "m")
    opened.write(entry(2), entry(3), entry(4), hard_state=HardState(1, ME.raft_id, 3))
    opened.settle(1)
    opened.log.close()
    return tmp_path / "m"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE log SET payload = zeroblob(9) WHERE place = 3", "log entry 3 does not match its checksum"),
        ("UPDATE snapshot SET checksum = 1", "part 0 of the snapshot does not match its checksum"),
        ("DELETE FROM snapshot", "its snapshot has 0 parts of 1"),
        ("DELETE FROM log WHERE place = 3", "log entry 3 is missing: entry 4 stands in its place"),
        ("DELETE FROM log WHERE place = 2", "log entry 2 is missing: entry 3 stands in its place"),
        ("UPDATE log SET place = 5 WHERE place = 4", "log entry 4 stands in the place of 5"),
        ("DROP TABLE log", "cannot be used: no such table: log"),
        ("PRAGMA user_version = 2", "written by a later version: it has schema 2, this version reads up to 1"),
        ("PRAGMA application_id = 5", "is a database of another program"),
    ],
)
def test_a_damaged_or_foreign_file_is_named_and_left_alone(written, statement, words):
    edit(written / "raft.db", statement)
    for _ in range(2):
        with pytest.raises(StateError, match=words) as error:
            RaftLog(written, lambda _: None)
        assert "raft.db" in str(error.value)


def test_a_torn_write_is_as_if_it_had_not_been(tmp_path):
    """The end of SQLite's journal is cut or overwritten, at any byte: what is left is whole."""
    opened = Open(tmp_path / "m")
    for index in range(2, 12):
        opened.write(entry(index, data=bytes([index]) * 300))
        opened.settle(index - 1)
    shutil.copytree(tmp_path / "m", tmp_path / "killed")
    opened.log.close()
    journal = (tmp_path / "killed" / "raft.db-wal").read_bytes()
    rng = random.Random(5)
    found = set()
    for number in range(40):
        torn = tmp_path / f"torn{number}"
        shutil.copytree(tmp_path / "killed", torn)
        cut = rng.randrange(len(journal))
        rest = rng.randbytes(rng.choice((0, 100)))
        (torn / "raft.db-wal").write_bytes(journal[:cut] + rest)
        recovered = left(torn)
        entries = recovered.entries if recovered is not None else ()
        assert [each.index for each in entries] == list(range(2, 2 + len(entries)))
        assert all(each.data == bytes([each.index]) * 300 for each in entries)
        found.add(len(entries))
    assert len(found) > 3


WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
from test_disk_raftlog import Open, entry, an_image
opened = Open(sys.argv[2])
first = index = opened.log.recovered.image.meta.index + len(opened.log.recovered.entries) + 1

def write():
    global index
    mine, index = index, index + 1
    def done(error):
        assert error is None, error
        sys.stdout.write(f"{mine}\\n")
        sys.stdout.flush()
        if mine % 20 == 0:
            opened.log.save(an_image(mine, f"t{mine}"), lambda error: None)
        write()
    from swarmlab.node import Write
    opened.log.write(Write(None, (entry(mine, data=b"%d" % mine),), None), done)

for _ in range(5):
    write()
opened.calls.run_until(lambda: False)
"""


@pytest.mark.timeout(120)
def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path):
    """Killed at any moment, also in the middle of snapshots."""
    rng = random.Random(20261127)
    last = 0
    for number in range(10):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(Path(__file__).parent), str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        with writer:
            for _ in range(rng.randrange(1, 100)):
                last = int(writer.stdout.readline())
            writer.kill()
            rest = writer.stdout.read()
            told = rest[: rest.rfind("\n") + 1].split()
            last = max([last, *map(int, told)])
        recovered = left(tmp_path)
        end = recovered.image.meta.index + len(recovered.entries)
        assert end >= last, f"lost in round {number}"
        assert all(each.data == b"%d" % each.index for each in recovered.entries)
    assert last > 50


# Sealed


def test_what_is_on_the_disk_is_sealed(tmp_path):
    keys = KeyFile(tmp_path / "keys.json")
    opened = Open(tmp_path / "m", seal=keys)
    opened.write(entry(2, data=b"needle-2"), entry(3, data=b"needle-3"))
    opened.save(an_image(2, "needle-4"))
    opened.settle(2)
    opened.log.close()
    assert b"needle" not in b"".join(path.read_bytes() for path in (tmp_path / "m").iterdir())
    again = left(tmp_path / "m", seal=KeyFile(tmp_path / "keys.json"))
    assert [each.data for each in again.entries] == [b"needle-3"]
    with pytest.raises(StateError, match=r"raft\.db: the snapshot is damaged"):
        left(tmp_path / "m")
    with pytest.raises(StateError, match=r"raft\.db: what is written there is damaged, or was sealed with another key"):
        left(tmp_path / "m", seal=KeyFile(tmp_path / "others.json"))


def test_a_new_key_seals_everything_anew_while_writes_go_on(tmp_path):
    keys = KeyFile(tmp_path / "keys.json")
    opened = Open(tmp_path / "m", seal=keys)
    opened.write(*(entry(index, data=b"old") for index in range(2, 800)))
    opened.settle(1)
    stolen = (tmp_path / "keys.json").read_bytes()
    keys.rotate()
    assert keys.rotating
    opened.write(entry(800, data=b"new"))
    opened.log.reseal(opened.answers.append)
    opened.write(entry(801, data=b"newer"))
    assert opened.settle(4) == [None] * 4
    keys.forget_old()
    opened.log.close()
    assert len(left(tmp_path / "m", seal=KeyFile(tmp_path / "keys.json")).entries) == 800
    (tmp_path / "stolen.json").write_bytes(stolen)
    with pytest.raises(StateError, match="was sealed with key 2; the key file has 1"):
        left(tmp_path / "m", seal=KeyFile(tmp_path / "stolen.json"))


def test_a_rotation_that_was_cut_short_is_taken_up_again(tmp_path):
    keys = KeyFile(tmp_path / "keys.json")
    opened = Open(tmp_path / "m", seal=keys)
    opened.write(entry(2))
    opened.settle(1)
    keys.rotate()
    opened.write(entry(3))
    opened.settle(2)
    opened.log.close()
    keys = KeyFile(tmp_path / "keys.json")
    assert keys.rotating
    opened = Open(tmp_path / "m", seal=keys)
    opened.log.reseal(opened.answers.append)
    opened.settle(1)
    keys.forget_old()
    opened.log.close()
    assert len(left(tmp_path / "m", seal=KeyFile(tmp_path / "keys.json")).entries) == 2


# With a replica


class Nowhere:
    """The wire of who is alone."""

    def send(self, message):
        raise AssertionError(message)

    send_image = send

    def know(self, roster):
        self.roster = roster


def test_a_replica_of_one_over_a_real_disk(tmp_path):
    """Commits what the disk has, also after a restart; and after the loss of all other members."""
    for life in range(3):
        opened = Open(tmp_path)
        replica = Replica(ReplicaConfig(), opened.log.recovered, random.Random(life), opened.log, Nowhere())
        store = Store(replica, lambda: Instant(1), replica.snapshot)
        replica.start(store, lambda: None, lambda: None)
        opened.calls.run_until(lambda replica=replica: replica.leads)
        assert len(store.view.tasks()) == 10 * life
        outcomes = []
        for number in range(10):
            store.propose(Changes.atomic(Create(Task(id=TaskId(f"{life}.{number}")))), outcomes.append)
        opened.calls.run_until(lambda outcomes=outcomes: len(outcomes) == 10)
        assert all(outcome.error is None for outcome in outcomes)
        replica.close()
        opened.log.close()
    found = left(tmp_path)
    other = replace(ME, raft_id=RaftId(9), node_id=NodeId("n2"))
    roster = Roster((other, *found.image.roster.members))
    lost = found._replace(image=found.image._replace(roster=roster))
    survivor = alone(lost)
    assert len(survivor.image.view.tasks()) == 30
    assert survivor.image.roster == Roster((ME,), (RaftId(9),))
    assert survivor.image.meta.members == Membership((ME.raft_id,))
    assert survivor.hard_state.term > found.hard_state.term
    log = RaftLog(tmp_path, lambda _: None)
    log.begin(survivor)
    log.close()
    same(left(tmp_path), survivor)
