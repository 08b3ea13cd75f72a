"""The bytes: every kind there and back, damage and later schemas refused."""

import random

import msgspec
import pytest
from store_builders import (
    EMPTY,
    a_service,
    a_task,
    a_view,
    contents,
    create,
    delete,
    named,
    replace,
    taken,
    tried,
    update,
)

from swarmlab.api import (
    KINDS,
    AnyValue,
    BlacklistedCertificate,
    Change,
    ChangeKind,
    Cluster,
    Config,
    ConfigSpec,
    Extension,
    Node,
    NodeStatus,
    Resource,
    Secret,
    Service,
    StateError,
    Task,
    TaskState,
    TaskStatus,
    Update,
    UpdateConfig,
)
from swarmlab.store import CommitAtOnce, Entry, decode_chunks, decode_snapshot, encode_chunks, encode_snapshot, replayed
from swarmlab.store.codec import CHUNK, SCHEMA

WEB = replace(named(Service, "s1", "web").spec, update=UpdateConfig(max_failure_ratio=0.25))
PLAIN = [kind for kind in KINDS if kind not in (Cluster, Node, Service, Extension)]
EVERYTHING = a_view(
    replace(named(Cluster, "cl", "default"), blacklisted_certificates={"n9": BlacklistedCertificate(expiry=5)}),
    replace(named(Node, "n1", "alpha"), status=NodeStatus(state=2, addr="10.0.0.1")),
    Service(id="s1", spec=WEB),
    *(named(kind, f"{KINDS[kind]}-1", KINDS[kind]) for kind in PLAIN),
    named(Extension, "e1", "tool"),
    Config(id="c2", spec=ConfigSpec(data=bytes(range(256)))),
    replace(named(Resource, "r2", "saw"), payload=AnyValue("type", b"\x00\xff")),
    a_task("t2", "s1", 3, "n1", status=TaskStatus(state=TaskState.RUNNING, timestamp=123)),
    # A state that this version does not know is kept.
    a_task("t3", status=TaskStatus(state=TaskState(333))),
)


def test_a_snapshot_there_and_back():
    again = decode_snapshot(encode_snapshot(EVERYTHING))
    assert again.version == EVERYTHING.version
    assert contents(again) == contents(EVERYTHING)
    assert again.tasks_in("s1", 3) == EVERYTHING.tasks_in("s1", 3)
    assert again.by_name(Secret, "SECRET") == EVERYTHING.by_name(Secret, "secret")
    assert again.task("t3").status.state == 333
    assert {kind for kind in KINDS if again.count(kind)} == set(KINDS)


def test_equal_snapshots_give_equal_bytes():
    tasks = [a_task(f"t{number}") for number in range(100)]
    shuffled = random.Random(2).sample(tasks, len(tasks))
    assert encode_snapshot(a_view(*tasks)) == encode_snapshot(a_view(*shuffled))


def test_a_large_table_is_written_in_chunks():
    view = a_view(*(a_task(f"t{number:04}") for number in range(2 * CHUNK + 1)), a_service("s1"))
    chunks = list(encode_chunks(view))
    assert [word for word, _ in chunks] == ["service", "task", "task", "task"]
    assert contents(decode_chunks(view.version, [data for _, data in chunks])) == contents(view)


def test_a_log_leads_to_the_same_snapshots():
    steps = [
        lambda _: create(a_service("s1", "web"), a_task("t1", "s1", 1), a_task("t2", "s1", 2)),
        lambda view: update(replace(view.task("t1"), node_id="n1")),
        lambda _: [*delete(a_task("t2"), a_service("s1")), *create(a_service("s2", "web"))],
    ]
    view = again = EMPTY
    for step in steps:
        applied = tried(view, step(view))
        assert not applied.refused
        view = applied.snapshot
        again, changes = replayed(again, Entry(view, applied.changes).data())
        assert changes == applied.changes
        assert contents(again) == contents(view)
        assert again.tasks_on("n1") == view.tasks_on("n1")
        assert again.by_name(Service, "web") == view.by_name(Service, "web")


def test_an_entry_knows_its_size():
    applied = tried(EMPTY, create(a_task("t1"), a_task("t2")))
    entry = Entry(applied.snapshot, applied.changes)
    assert entry.size() < len(entry.data()) < entry.size() + 20
    assert entry.data() is entry.data()


def test_names_may_be_swapped_in_one_entry():
    view = a_view(a_service("a", "one"), a_service("b", "two"))

    def renamed(key, name):
        return Update(replace(named(Service, key, name), meta=view.service(key).meta))

    swapped = taken(view, [[renamed("a", "spare"), renamed("b", "one"), renamed("a", "two")]])
    changes = tuple(Change(ChangeKind.UPDATED, swapped.service(key), view.service(key)) for key in "ab")
    again, _ = replayed(view, Entry(swapped, changes).data())
    assert (again.by_name(Service, "one").id, again.by_name(Service, "two").id) == ("b", "a")


ENTRY = Entry(*tried(EMPTY, create(a_task("t1")))[:2]).data()


def packed(*parts, version=1):
    return msgspec.msgpack.encode((SCHEMA, version, parts))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not written by the store"),
        (b"\x01", "not written by the store"),
        (b"SQLite format 3", "not written by the store"),
        (ENTRY[:-3], "the log entry after version 0 is damaged"),
        (ENTRY + b"x", "the log entry after version 0 is damaged"),
        (bytes([ENTRY[0], SCHEMA + 1]) + ENTRY[2:], f"of schema {SCHEMA + 1}; this version reads schema {SCHEMA}"),
        (packed((9, "task", {"id": "t1"})), "the log entry after version 0 is damaged"),
        (packed((1, "task", {"id": 5})), "log entry 1 is damaged"),
        (packed((1, "tusk", {"id": "t1"})), "'tusk', which is no kind of object"),
        (packed((1, "task", {"id": "t1"}), version=2), "log entry 2 cannot follow version 0"),
        (packed((2, "task", {"id": "t1"})), "has task t1 updated, which does not fit version 0"),
        (packed((4, "task", "t1")), "removes task t1, which version 0 does not have"),
        (packed((4, "task", 7)), "log entry 1 is damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_entry_is_refused(data, words):
    with pytest.raises(StateError, match=words):
        replayed(EMPTY, data)


def test_a_second_create_in_the_log_is_refused():
    with pytest.raises(StateError, match="has task t1 created, which does not fit version 1"):
        replayed(a_view(a_task("t1")), packed((1, "task", {"id": "t1"}), version=2))


def chunk(word, rows, schema=SCHEMA):
    return msgspec.msgpack.encode((schema, word, rows))


def saved(*chunks):
    return msgspec.msgpack.encode((SCHEMA, 1, chunks))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not written by the store"),
        (encode_snapshot(EVERYTHING)[:-1], "the snapshot is damaged"),
        (saved(b"junk"), "not written by the store"),
        (saved(chunk("task", [{"id": 1}])), "the snapshot of version 1 is damaged"),
        (saved(chunk("task", [{"id": "a"}, {"id": "a"}])), "an object is there twice"),
        (saved(chunk("tusk", [])), "no kind of object"),
        (saved(chunk("task", [], SCHEMA + 1)), "this version reads schema"),
    ],
)
def test_a_damaged_snapshot_is_refused(data, words):
    with pytest.raises(StateError, match=words):
        decode_snapshot(data)


def test_damage_anywhere_is_refused_or_gives_a_snapshot():
    """Bytes that were changed by chance never surprise: a StateError, or whole objects of other values."""
    rng = random.Random(11)
    good = encode_snapshot(EVERYTHING)
    refused = 0
    for _ in range(400):
        bad = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        try:
            snapshot = decode_snapshot(bytes(bad))
        except StateError:
            refused += 1
        else:
            assert all(isinstance(obj, kind) for kind in KINDS for obj in snapshot.all(kind))
    assert refused > 100


def test_the_proposer_that_commits_at_once_writes_nothing_down():
    assert CommitAtOnce().max_entry_bytes is None
    assert Task in KINDS
