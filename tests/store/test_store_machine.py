"""The store against a model of plain dictionaries, with several proposals in flight and failures at any moment."""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from store_builders import EMPTY, HeldProposer, contents, named, replace
from store_model import Model, net_changes

from swarmlab.api import (
    KINDS,
    Change,
    ChangeKind,
    Changes,
    Create,
    Delete,
    Extension,
    Instant,
    Meta,
    Node,
    NotLeader,
    OutOfSequence,
    ProposalDropped,
    ProposalUnknown,
    Resource,
    Secret,
    Service,
    Task,
    TaskState,
    Update,
    Version,
)
from swarmlab.store import (
    ByDesiredState,
    ByIdPrefix,
    ByKind,
    ByName,
    ByNamePrefix,
    ByNode,
    ByService,
    BySlot,
    Committed,
    Outcome,
    Snapshot,
    Store,
    decode_snapshot,
    encode_snapshot,
    replayed,
)
from swarmlab.store.find import matcher

USED = [Service, Node, Secret, Extension, Resource, Task]
NAMES = st.sampled_from(["a", "A", "b", "tool", "", "task"])
IDS = st.sampled_from(["o1", "o2"])
FINDERS = [
    (Task, ByService("o1")),
    (Task, ByNode("o2")),
    (Task, BySlot("o1", 1)),
    (Task, ByDesiredState(TaskState.RUNNING)),
    (Task, ByName("a")),
    (Node, ByName("A")),
    (Node, ByNamePrefix("a")),
    (Service, ByName("B")),
    (Secret, ByIdPrefix("o")),
    (Resource, ByName("a")),
    (Resource, ByKind("TOOL")),
]


@st.composite
def objects(draw: st.DrawFn) -> Any:
    # Mostly of two kinds, so that ids and names meet often.
    kind = draw(st.sampled_from([*USED, Service, Service, Service, Task, Task]))
    obj = named(kind, draw(IDS), draw(NAMES))
    if kind is Resource:
        return replace(obj, kind=draw(st.sampled_from(["tool", "A"])))
    if kind is Task:
        return replace(
            obj,
            service_id=draw(st.sampled_from(["", "o1", "o2"])),
            node_id=draw(st.sampled_from(["", "o1", "o2"])),
            slot=draw(st.integers(0, 2)),
            desired_state=draw(st.sampled_from([TaskState.READY, TaskState.RUNNING])),
        )
    return obj


class _Proposed:
    """A proposal with what the model says will come of it."""

    def __init__(self, after: Model, refused: list[tuple[int, type[Exception]]], *, empty: bool) -> None:
        self.after = after
        self.refused = refused
        self.empty = empty
        self.outcomes: list[Outcome] = []


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.proposer = HeldProposer()
        self.store = Store(self.proposer, self.tick, on_commit=self.committed)
        self.committed_model = Model()
        self.waiting: list[_Proposed] = []
        self.heard: list[Committed] = []
        self.kept: list[tuple[Snapshot, Any]] = [(EMPTY, contents(EMPTY))]
        self.log_view = EMPTY
        self.watched: list[int] = []
        self.store.watch(None, lambda event: self.watched.append(event.view.version))
        #: Place in `heard` of the first commit that can be told again, and the version before it.
        self.history_begins = self.floor = 0

    def tick(self) -> Instant:
        self.now += 1
        return Instant(self.now)

    def committed(self, event: Committed) -> None:
        self.heard.append(event)

    @property
    def head(self) -> Model:
        return self.waiting[-1].after if self.waiting else self.committed_model

    @rule(data=st.data())
    def propose(self, data: st.DataObject) -> None:
        head = self.head
        there = {(kind, key): obj.meta for kind, table in head.tables.items() for key, obj in table.items()}
        groups = [
            [self.an_action(data, there) for _ in range(data.draw(st.integers(1, 4)))]
            for _ in range(data.draw(st.integers(0, 4)))
        ]
        after, refused = head.proposed(groups, self.now + 1)
        proposed = _Proposed(after, refused, empty=after.version == head.version)
        self.waiting.append(proposed)
        entries = len(self.proposer.waiting)
        self.store.propose(Changes(tuple(map(tuple, groups))), proposed.outcomes.append)
        if proposed.empty:
            assert len(self.proposer.waiting) == entries
            self.settle_empty()
        else:
            assert self.proposer.waiting[-1][0].version == after.version

    def an_action(self, data: st.DataObject, there: dict[Any, Meta]) -> Any:
        """Mostly one that fits what is `there`, {(kind, id): meta to carry}, which it is noted in; at times any."""
        obj = data.draw(objects())
        key = (type(obj), obj.id)
        fitting = ["update", "update", "update", "delete"] if key in there else ["create"]
        do = data.draw(st.sampled_from([*fitting * 3, "create", "update", "delete"]))
        if do == "delete":
            there.pop(key, None)
            return Delete(type(obj), obj.id)
        if do == "create":
            there.setdefault(key, Meta())
            return Create(obj)
        if key not in there or data.draw(st.integers(0, 9)) == 0:
            return Update(replace(obj, meta=Meta(Version(data.draw(st.integers(0, 5))))))
        return Update(replace(obj, meta=there[key]))

    def settle_empty(self) -> None:
        """Proposals without an entry end as soon as nothing is before them."""
        while self.waiting and self.waiting[0].empty:
            self.check_outcome(self.waiting.pop(0))

    def check_outcome(self, proposed: _Proposed) -> None:
        (outcome,) = proposed.outcomes
        assert outcome.error is None
        assert outcome.version == proposed.after.version == self.store.view.version
        assert [(refused.group, type(refused.error)) for refused in outcome.refused] == proposed.refused

    @precondition(lambda self: self.proposer.waiting)
    @rule()
    def commit(self) -> None:
        before = self.committed_model
        proposed = self.waiting.pop(0)
        assert proposed.outcomes == []
        entry = self.proposer.waiting[0][0]
        self.proposer.commit()
        self.committed_model = proposed.after
        self.check_outcome(proposed)
        event = self.heard[-1]
        assert event.view is self.store.view
        self.check_changes(event.changes, net_changes(before.tables, proposed.after.tables))
        self.log_view, changes = replayed(self.log_view, entry.data())
        assert changes == event.changes
        self.kept.append((event.view, contents(event.view)))
        self.settle_empty()

    def check_changes(self, changes: tuple[Change, ...], wanted: dict[Any, tuple[Any, Any]]) -> None:
        told = {}
        for change in changes:
            key = (type(change.object), change.object.id)
            assert key not in told
            if change.kind == ChangeKind.REMOVED:
                assert change.old is None
                told[key] = (change.object, None)
            else:
                assert (change.kind == ChangeKind.CREATED) == (change.old is None)
                told[key] = (change.old, change.object)
        assert told == wanted
        assert list(told) == sorted(told, key=lambda key: list(KINDS).index(key[0]))

    @precondition(lambda self: self.proposer.waiting)
    @rule(data=st.data(), kind=st.sampled_from([ProposalDropped, NotLeader, ProposalUnknown]))
    def fail(self, data: st.DataObject, kind: type[Exception]) -> None:
        place = data.draw(st.integers(0, len(self.proposer.waiting) - 1))
        entries = [index for index, proposed in enumerate(self.waiting) if not proposed.empty]
        failed = self.waiting[entries[place] :]
        del self.waiting[entries[place] :]
        self.proposer.fail(kind("by chance"), place)
        definite = kind is not ProposalUnknown
        for number, proposed in enumerate(failed):
            (outcome,) = proposed.outcomes
            wanted = kind if number == 0 else ProposalDropped if definite else ProposalUnknown
            assert type(outcome.error) is wanted
            assert outcome.version == self.store.view.version

    @precondition(lambda self: not self.waiting)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        """Go back to some earlier snapshot."""
        snapshot, tables = data.draw(st.sampled_from(self.kept[-5:]))
        before = self.committed_model
        changes = self.store.restore(encode_snapshot(snapshot))
        self.committed_model = Model(
            {kind: {obj.id: obj for obj in rows} for kind, rows in tables.items()}, snapshot.version
        )
        self.check_changes(changes, net_changes(before.tables, self.committed_model.tables))
        assert self.heard[-1].changes == changes
        self.log_view = self.store.view
        self.history_begins = len(self.heard)
        self.floor = snapshot.version

    @rule(data=st.data())
    def watch_the_past(self, data: st.DataObject) -> None:
        past = self.heard[self.history_begins :]
        skip = data.draw(st.integers(0, len(past)))
        since = past[skip].view.version - 1 if skip < len(past) else self.store.view.version
        told: list[Committed] = []
        self.store.watch(since, told.append).cancel()
        assert told == past[skip:]
        for version in (self.floor - 1, self.store.view.version + 1):
            with pytest.raises(OutOfSequence):
                self.store.watch(version, told.append)

    @invariant()
    def the_view_is_what_was_committed(self) -> None:
        view = self.store.view
        assert view.version == self.committed_model.version
        wanted = {
            kind: tuple(table[key] for key in sorted(table)) for kind, table in self.committed_model.tables.items()
        }
        assert contents(view) == wanted
        assert contents(self.log_view) == wanted
        assert [event.view.version for event in self.heard] == self.watched

    @invariant()
    def indexes_and_finders_equal_a_scan(self) -> None:
        for view in (self.store.view, self.log_view):
            for kind, by in FINDERS:
                assert view.find(kind, by) == tuple(filter(matcher(by), view.all(kind)))
            for kind in USED:
                for obj in view.all(kind):
                    assert view.get(kind, obj.id) == obj

    def teardown(self) -> None:
        """No snapshot ever given out has changed, and each can be written down and read again."""
        for view, was in self.kept:
            assert contents(view) == was
        assert contents(decode_snapshot(self.store.save())) == contents(self.store.view)


StoreMachine.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no defect of the store
)
TestStoreMachine = StoreMachine.TestCase
