"""The durable proposer: there after a restart, together when many come, honest when the disk fails."""

import shutil
import sqlite3
import stat

import pytest
from disk_loop import Kept, edit, ids

from swarmlab.api import (
    KINDS,
    Annotations,
    Changes,
    Config,
    ConfigSpec,
    Create,
    Delete,
    ProposalDropped,
    ProposalUnknown,
    Service,
    ServiceSpec,
    StateError,
    Task,
    Update,
)
from swarmlab.edges.disk.proposer import MAX_ENTRY_BYTES


def reopened(directory, **options):
    """What a new process finds."""
    kept = Kept(directory, **options)
    try:
        return kept.store.view
    finally:
        kept.close()


def test_a_new_directory_is_empty_and_private(tmp_path):
    kept = Kept(tmp_path / "new" / "manager")
    assert kept.store.view.version == 0
    kept.create("t1")
    for path in (tmp_path / "new" / "manager").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE((tmp_path / "new" / "manager").stat().st_mode) == 0o700
    kept.close()


def test_everything_is_there_after_a_restart(tmp_path):
    kept = Kept(tmp_path)
    service = Service(id="s1", spec=ServiceSpec(annotations=Annotations(name="web", labels={"a": "b"})))
    kept.propose(Changes.atomic(Create(service), Create(Task(id="t1", service_id="s1", slot=1))))
    kept.create("t2")
    kept.propose(Changes.atomic(Delete(Task, "t2")))
    stored = kept.store.view.service("s1")
    kept.propose(Changes.atomic(Update(Service(id="s1", meta=stored.meta, spec=ServiceSpec()))))
    before = kept.store.view
    kept.close()
    again = reopened(tmp_path)
    assert again.version == before.version == 4
    for kind in KINDS:
        assert again.all(kind) == before.all(kind)


def test_a_proposal_is_not_committed_before_the_disk_has_it(tmp_path):
    kept = Kept(tmp_path)
    kept.begin(Changes.atomic(Create(Task(id="t1"))))
    assert kept.store.view.version == 0
    kept.calls.run_until(lambda: bool(kept.outcomes))
    with sqlite3.connect(tmp_path / "manager.db") as connection:
        assert connection.execute("SELECT version FROM log").fetchall() == [(1,)]
    connection.close()
    kept.close()


def test_many_in_flight_are_written_together(tmp_path):
    kept = Kept(tmp_path)
    for number in range(300):
        kept.begin(Changes.atomic(Create(Task(id=f"t{number:03}"))))
    kept.calls.run_until(lambda: len(kept.outcomes) == 300)
    assert [outcome.version for outcome in kept.outcomes] == list(range(1, 301))
    assert kept.proposer.written == 300
    assert kept.proposer.writes < 100
    kept.close()
    assert reopened(tmp_path).count(Task) == 300


def test_a_snapshot_takes_the_place_of_the_entries_before_it(tmp_path):
    kept = Kept(tmp_path, snapshot_every=10)
    for number in range(25):
        kept.create(f"t{number:02}")
    kept.close()
    with sqlite3.connect(tmp_path / "manager.db") as connection:
        ((base,),) = connection.execute("SELECT version FROM base").fetchall()
        log = [version for (version,) in connection.execute("SELECT version FROM log ORDER BY version")]
    connection.close()
    assert base == 20
    assert log == list(range(21, 26))
    again = Kept(tmp_path, snapshot_every=10)
    assert len(ids(again)) == 25
    # Counting goes on where it was: the next snapshot follows after five more.
    for number in range(25, 30):
        again.create(f"t{number:02}")
    again.close()
    with sqlite3.connect(tmp_path / "manager.db") as connection:
        assert connection.execute("SELECT version FROM base").fetchall() == [(30,)]
        assert connection.execute("SELECT count(*) FROM log").fetchall() == [(0,)]
    connection.close()
    assert len(reopened(tmp_path).tasks()) == 30


def test_a_snapshot_of_nothing(tmp_path):
    kept = Kept(tmp_path, snapshot_every=2)
    kept.create("t1")
    kept.propose(Changes.atomic(Delete(Task, "t1")))
    kept.close()
    assert reopened(tmp_path).version == 2


def test_a_large_proposal_is_parted_and_there_after_a_restart(tmp_path):
    kept = Kept(tmp_path)
    blob = bytes(500_000)
    names = [f"c{number}" for number in range(7)]
    configs = [Config(id=name, spec=ConfigSpec(annotations=Annotations(name=name), data=blob)) for name in names]
    outcome = kept.propose(Changes.each(map(Create, configs)))
    assert (outcome.version, outcome.refused, outcome.error) == (3, (), None)
    whole = kept.propose(Changes.atomic(*(Create(Config(id=f"d{n}", spec=ConfigSpec(data=blob))) for n in range(4))))
    assert "at most 1572864 are taken" in str(whole.refused[0].error)
    kept.close()
    assert MAX_ENTRY_BYTES == 1_572_864
    assert [config.id for config in reopened(tmp_path).configs()] == names


def test_close_writes_what_was_proposed(tmp_path):
    kept = Kept(tmp_path)
    for number in range(50):
        kept.begin(Changes.atomic(Create(Task(id=f"t{number}"))))
    kept.proposer.close()
    kept.calls.run_all()
    assert len(kept.outcomes) == 50
    assert all(outcome.error is None for outcome in kept.outcomes)
    assert isinstance(kept.create("late").error, ProposalDropped)
    kept.proposer.close()
    assert reopened(tmp_path).count(Task) == 50


def test_answers_after_the_store_was_closed_change_nothing(tmp_path):
    kept = Kept(tmp_path)
    kept.begin(Changes.atomic(Create(Task(id="t1"))))
    kept.close()
    assert isinstance(kept.outcomes[0].error, ProposalUnknown)
    kept.calls.run_all()
    assert kept.store.view.version == 0
    assert len(kept.outcomes) == 1
    # It had been written, as "unknown" allows.
    assert reopened(tmp_path).count(Task) == 1


def test_one_process_at_a_time(tmp_path):
    kept = Kept(tmp_path)
    with pytest.raises(StateError, match=rf"{tmp_path.name} is in use by process \d+$"):
        Kept(tmp_path)
    kept.close()
    reopened(tmp_path)


class Reversed:
    """A seal that can be told from none."""

    def seal(self, payload):
        return payload[::-1]

    def open(self, sealed):
        return sealed[::-1]


def test_payloads_are_sealed(tmp_path):
    kept = Kept(tmp_path, seal=Reversed(), snapshot_every=3)
    for key in ("needle-1", "needle-2", "needle-3", "needle-4"):
        kept.create(key)
    kept.close()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"eldeen" in written
    assert b"needle" not in written
    assert reopened(tmp_path, seal=Reversed()).count(Task) == 4
    with pytest.raises(StateError, match=r"manager.db: "):
        Kept(tmp_path)
    reopened(tmp_path, seal=Reversed())


def full(kept, pages=0):
    """Let the database grow no further, as on a full disk."""
    connection = kept.proposer._log._connection
    (size,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {size + pages}")


def test_a_full_disk_is_told_and_nothing_acknowledged_is_lost(tmp_path):
    kept = Kept(tmp_path)
    kept.create("t1")
    full(kept, pages=1)
    blob = bytes(50_000)
    for number in range(3):
        kept.begin(Changes.atomic(Create(Config(id=f"c{number}", spec=ConfigSpec(data=blob)))))
    kept.calls.run_until(lambda: len(kept.outcomes) == 4)
    assert [type(outcome.error) for outcome in kept.outcomes[1:]] == [ProposalUnknown] * 3
    assert "could not be written: database or disk is full" in str(kept.outcomes[1].error)
    # Afterwards nothing is taken, and the store stands where it was.
    later = kept.create("t2")
    assert isinstance(later.error, ProposalDropped)
    assert "failed before: database or disk is full" in str(later.error)
    assert [str(failure) for failure in kept.failures] == ["database or disk is full"]
    assert ids(kept) == ["t1"]
    assert kept.store.view.version == 1
    kept.close()
    again = Kept(tmp_path)
    assert ids(again) == ["t1"]
    assert again.create("t2").version == 2
    again.close()


def test_an_error_of_the_disk_is_told(tmp_path):
    kept = Kept(tmp_path)
    kept.create("t1")
    edit(tmp_path / "manager.db", "DROP TABLE log")
    outcome = kept.create("t2")
    assert isinstance(outcome.error, ProposalUnknown)
    assert isinstance(outcome.error.__cause__, sqlite3.Error)
    assert isinstance(kept.create("t3").error, ProposalDropped)
    assert ids(kept) == ["t1"]
    kept.close()


def test_a_snapshot_that_cannot_be_written_is_the_end_of_writing(tmp_path):
    kept = Kept(tmp_path, snapshot_every=4)
    for key in ("t1", "t2", "t3"):
        kept.create(key)
    edit(tmp_path / "manager.db", "DROP TABLE snapshot")
    assert kept.create("t4").version == 4
    outcome = kept.create("t5")
    assert isinstance(outcome.error, ProposalDropped)
    assert "no such table: snapshot" in str(outcome.error)
    kept.close()
    edit(tmp_path / "manager.db", "CREATE TABLE snapshot (part INTEGER PRIMARY KEY, payload BLOB, checksum INTEGER)")
    assert reopened(tmp_path).version == 4


@pytest.fixture
def written(tmp_path):
    """A directory with a snapshot of three entries and two more in the log."""
    kept = Kept(tmp_path / "m", snapshot_every=3)
    for number in range(5):
        kept.create(f"task-{number}")
    kept.close()
    return tmp_path / "m"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "UPDATE log SET payload = zeroblob(9) WHERE version = 4",
            "damaged: log entry 4 does not match its checksum",
        ),
        ("UPDATE snapshot SET checksum = 1", "damaged: part 0 of the snapshot does not match its checksum"),
        ("DELETE FROM snapshot", "damaged: its snapshot has 0 parts of 1"),
        ("DELETE FROM log WHERE version = 4", "log entry 5 cannot follow version 3"),
        ("UPDATE base SET version = 2", "log entry 4 cannot follow version 2"),
        ("DROP TABLE log", "cannot be used: no such table: log"),
        ("PRAGMA user_version = 2", "written by a later version: it has schema 2, this version reads up to 1"),
        ("PRAGMA application_id = 5", "is a database of another program"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused_and_left_alone(written, statement, words):
    edit(written / "manager.db", statement)
    with pytest.raises(StateError, match=words) as error:
        Kept(written)
    assert "manager.db" in str(error.value)
    # The claim was given up: the next try says the same and not that the directory is in use.
    with pytest.raises(StateError, match=words):
        Kept(written)


@pytest.mark.parametrize(
    "content", [b"this is no database, whatever it says" * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_file_that_is_no_database(tmp_path, content):
    (tmp_path / "manager.db").write_bytes(content)
    with pytest.raises(StateError, match=r"manager.db is damaged: file is not a database"):
        Kept(tmp_path)
    assert (tmp_path / "manager.db").read_bytes() == content


def test_pages_overwritten(written):
    path = written / "manager.db"
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StateError, match=r"manager.db is damaged: database disk image is malformed"):
        Kept(written)


def test_a_directory_in_place_of_the_file(tmp_path):
    (tmp_path / "manager.db").mkdir()
    with pytest.raises(StateError, match=r"manager.db cannot be written: Is a directory"):
        Kept(tmp_path)


def test_a_copy_of_the_directory_is_a_backup(written, tmp_path):
    shutil.copytree(written, tmp_path / "copy")
    assert reopened(tmp_path / "copy").tasks() == reopened(written).tasks()


def test_a_commit_waits_for_the_disk(tmp_path):
    kept = Kept(tmp_path)
    connection = kept.proposer._log._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    kept.close()
