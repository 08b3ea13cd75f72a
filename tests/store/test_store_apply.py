"""What a transaction takes and refuses."""

import pytest
from store_builders import (
    NOW,
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
    AlreadyExists,
    Change,
    ChangeKind,
    Cluster,
    Config,
    Create,
    Delete,
    Extension,
    InvalidSpec,
    Meta,
    NameConflict,
    Network,
    Node,
    NotFound,
    OutOfSequence,
    Precondition,
    Resource,
    Secret,
    Service,
    Task,
    TaskState,
    Unsupported,
    Update,
    Version,
    Volume,
)
from swarmlab.store import EMPTY, apply

TOOL = named(Extension, "e1", "tool")
UNIQUE = [Service, Network, Secret, Config, Volume, Extension, Cluster, Resource]


def refusal(view, groups):
    """The error of the only refused group; the rest was taken."""
    applied = tried(view, groups)
    (refused,) = applied.refused
    return refused.error


def test_a_create_gets_version_and_times():
    view = a_view(a_service("s1"))
    assert view.version == 1
    assert view.service("s1").meta == Meta(Version(1), NOW, NOW)


def test_an_update_keeps_the_creation_and_gets_a_new_version():
    view = a_view(a_task("t1"))
    after = taken(view, update(replace(view.task("t1"), node_id="n1")), now=2_000)
    assert after.task("t1").meta == Meta(Version(2), NOW, 2_000)
    assert after.task("t1").node_id == "n1"


def test_the_callers_objects_stay_as_they_are():
    service = a_service("s1")
    a_view(service)
    assert service.meta == Meta()


def test_changes_say_what_happened_to_each_object():
    view = a_view(a_task("t1"), a_task("t2"), a_service("s1"))
    t1, t2 = view.task("t1"), view.task("t2")
    applied = tried(view, [*update(replace(t1, slot=3)), *delete(t2), *create(a_service("s2"))])
    after = applied.snapshot
    # Tables in the order of KINDS, objects of one kind as they were touched.
    assert applied.changes == (
        Change(ChangeKind.CREATED, after.service("s2")),
        Change(ChangeKind.UPDATED, after.task("t1"), t1),
        Change(ChangeKind.REMOVED, t2),
    )


def test_nothing_taken_is_the_snapshot_before():
    view = a_view(a_task("t1"))
    applied = tried(view, [*create(a_task("t1")), []])
    assert applied.snapshot is view
    assert applied.changes == ()
    assert [refused.group for refused in applied.refused] == [0]


def test_an_id_that_is_taken():
    error = refusal(a_view(a_task("t1")), create(a_task("t1")))
    assert type(error) is AlreadyExists
    assert str(error) == "task t1 exists"


def test_an_object_without_an_id():
    assert isinstance(refusal(EMPTY, create(Task())), InvalidSpec)


@pytest.mark.parametrize("groups", [update(a_task("t1")), delete(a_task("t1"))])
def test_an_object_that_is_missing(groups):
    error = refusal(EMPTY, groups)
    assert type(error) is NotFound
    assert str(error) == "task t1 not found"


@pytest.mark.parametrize("kind", UNIQUE, ids=lambda kind: KINDS[kind])
def test_a_name_holds_for_one_object_of_a_kind_whatever_the_case(kind):
    before = a_view(TOOL) if kind is Resource else EMPTY
    view = taken(before, create(named(kind, "a", "Web")))
    error = refusal(view, create(named(kind, "b", "wEB")))
    assert type(error) is NameConflict
    assert "a" in str(error)


@pytest.mark.parametrize("kind", [kind for kind in UNIQUE if kind is not Extension], ids=lambda kind: KINDS[kind])
def test_a_name_cannot_be_taken_by_an_update(kind):
    before = a_view(TOOL) if kind is Resource else EMPTY
    view = taken(before, create(named(kind, "a", "one"), named(kind, "b", "two")))
    stored = view.get(kind, "b")
    assert isinstance(refusal(view, update(replace(named(kind, "b", "One"), meta=stored.meta))), NameConflict)
    # Its own name, in another case, is free.
    again = taken(view, update(replace(named(kind, "b", "TWO"), meta=stored.meta)))
    assert again.by_name(kind, "two").id == "b"


def test_names_are_free_across_kinds():
    view = a_view(named(Secret, "a", "key"), named(Config, "b", "key"))
    assert view.by_name(Secret, "key").id == "a"
    assert view.by_name(Config, "key").id == "b"


@pytest.mark.parametrize("kind", [Node, Task], ids=lambda kind: KINDS[kind])
def test_nodes_and_tasks_may_share_a_name(kind):
    view = a_view(named(kind, "b", "same"), named(kind, "a", "same"))
    assert view.by_name(kind, "SAME").id == "a"


def test_no_name_clashes_with_nothing():
    view = a_view(named(Service, "a", ""), named(Service, "b", ""))
    assert view.count(Service) == 2
    assert view.by_name(Service, "") is None


def test_a_name_given_up_is_free_for_later_groups_and_actions():
    view = a_view(a_service("a", "web"), a_service("b", "db"))
    a, b = view.service("a"), view.service("b")
    swapped = taken(
        view,
        [
            [
                Update(replace(named(Service, "a", "spare"), meta=a.meta)),
                Update(replace(named(Service, "b", "web"), meta=b.meta)),
                Update(replace(named(Service, "a", "db"), meta=a.meta)),
            ]
        ],
    )
    assert swapped.by_name(Service, "web").id == "b"
    assert swapped.by_name(Service, "db").id == "a"
    assert swapped.by_name(Service, "spare") is None
    replaced = taken(swapped, [*delete(swapped.service("b")), *create(a_service("c", "WEB"))])
    assert replaced.by_name(Service, "web").id == "c"


@pytest.mark.parametrize("carried", [0, 1, 3])
def test_an_update_must_carry_the_stored_version(carried):
    view = taken(a_view(a_task("t1")), create(a_task("t2")))
    view = taken(view, update(replace(view.task("t1"), slot=1)))
    assert view.task("t1").meta.version == Version(3)
    stale = replace(view.task("t1"), meta=Meta(Version(carried)))
    if carried == 3:
        assert taken(view, update(stale)).version == 4
    else:
        error = refusal(view, update(stale))
        assert type(error) is OutOfSequence
        assert str(error) == f"task t1 is at version 3, the update was made from {carried}"


def test_a_delete_needs_no_version():
    view = a_view(a_task("t1"))
    view = taken(view, update(replace(view.task("t1"), slot=1)))
    assert taken(view, [[Delete(Task, "t1")]]).count(Task) == 0


def test_a_second_update_in_one_proposal_carries_the_version_that_was_read_and_wins():
    view = a_view(a_task("t1"))
    read = view.task("t1")
    applied = tried(view, update(replace(read, node_id="n1"), replace(read, desired_state=TaskState.RUNNING)))
    assert applied.refused == ()
    after = applied.snapshot.task("t1")
    assert (after.node_id, after.desired_state) == ("", TaskState.RUNNING)
    # One change for the object, from what it was before the proposal.
    assert applied.changes == (Change(ChangeKind.UPDATED, after, read),)
    # The result of the first was seen by nobody, so its version cannot be carried.
    assert isinstance(
        refusal(view, [*update(replace(read, slot=1)), *update(replace(read, meta=Meta(Version(2))))]), OutOfSequence
    )


def test_an_update_of_what_the_proposal_created_carries_the_version_of_its_create():
    task = a_task("t1")
    applied = tried(EMPTY, [[Create(task), Update(replace(task, slot=5))]])
    assert applied.refused == ()
    assert applied.changes == (Change(ChangeKind.CREATED, applied.snapshot.task("t1")),)
    assert applied.snapshot.task("t1").slot == 5


def test_what_comes_and_goes_within_a_proposal_leaves_no_trace():
    applied = tried(EMPTY, [*create(a_service("s1")), *delete(a_service("s1"))])
    assert applied == (EMPTY, (), ())


def test_deleted_and_created_again_is_an_update():
    view = a_view(a_task("t1", slot=1))
    applied = tried(view, [*delete(a_task("t1")), *create(a_task("t1", slot=2))])
    assert applied.changes == (Change(ChangeKind.UPDATED, applied.snapshot.task("t1"), view.task("t1")),)


def test_a_group_is_taken_whole_or_not_at_all():
    view = a_view(a_service("s1", "web"), a_task("t1"))
    before = contents(view)
    applied = tried(
        view,
        [
            [
                Create(a_task("t2")),
                Delete(Service, "s1"),
                Create(a_service("s2", "web")),
                Update(replace(view.task("t1"), node_id="n1")),
                Delete(Task, "t1"),
                Create(a_task("t1", slot=9)),
                Delete(Task, "missing"),
            ]
        ],
    )
    assert [type(refused.error) for refused in applied.refused] == [NotFound]
    assert applied.snapshot is view
    assert contents(view) == before


def test_a_refused_group_does_not_hold_up_the_others():
    applied = tried(
        EMPTY,
        [
            [Create(a_task("t1"))],
            [Create(a_task("t2")), Create(a_task("t1"))],
            [Create(a_task("t2", slot=2)), Create(a_task("t3"))],
        ],
    )
    assert [(refused.group, type(refused.error)) for refused in applied.refused] == [(1, AlreadyExists)]
    assert [(task.id, task.slot) for task in applied.snapshot.tasks()] == [("t1", 0), ("t2", 2), ("t3", 0)]


def test_a_refused_group_gives_back_the_names_it_took():
    applied = tried(
        EMPTY,
        [[Create(a_service("a", "web")), Delete(Task, "missing")], [Create(a_service("b", "web"))]],
    )
    assert [refused.group for refused in applied.refused] == [0]
    assert applied.snapshot.by_name(Service, "web").id == "b"


def test_a_refused_group_gives_back_what_an_earlier_group_had_made():
    applied = tried(
        EMPTY,
        [
            [Create(a_service("a", "web"))],
            [Delete(Service, "a"), Create(a_service("b", "web")), Delete(Task, "missing")],
            [Update(a_service("a", "shop"))],
        ],
    )
    assert [refused.group for refused in applied.refused] == [1]
    assert [service.id for service in applied.snapshot.services()] == ["a"]
    assert applied.snapshot.by_name(Service, "shop").id == "a"
    assert applied.snapshot.by_name(Service, "web") is None


def test_extensions_are_immutable():
    view = a_view(TOOL)
    assert isinstance(refusal(view, update(replace(view.get(Extension, "e1"), description="x"))), Unsupported)


@pytest.mark.parametrize("name", ["task", "Node", "RESOURCE"])
def test_an_extension_is_not_named_like_a_kind_of_the_store(name):
    assert isinstance(refusal(EMPTY, create(named(Extension, "e1", name))), NameConflict)


def test_an_extension_in_use_is_not_deleted():
    view = a_view(TOOL, named(Resource, "r1", "hammer"))
    error = refusal(view, delete(TOOL))
    assert type(error) is Precondition
    assert str(error) == "extension tool is in use by resource r1"
    # Once its resources are gone it may go, in the same proposal.
    assert taken(view, [[Delete(Resource, "r1"), Delete(Extension, "e1")]]).count(Extension) == 0
    # A resource made in the same proposal counts as well.
    bare = a_view(TOOL)
    assert isinstance(refusal(bare, [*create(named(Resource, "r2", "saw")), *delete(TOOL)]), Precondition)


def test_a_resource_is_of_a_known_extension_whatever_the_case():
    hammer = named(Resource, "r1", "hammer")
    error = refusal(EMPTY, create(hammer))
    assert type(error) is InvalidSpec
    assert str(error) == "resource r1 is of the kind 'tool'; no extension has that name"
    view = a_view(TOOL, replace(hammer, kind="Tool"))
    stored = view.get(Resource, "r1")
    assert isinstance(refusal(view, update(replace(stored, kind="food"))), InvalidSpec)
    # An extension made or deleted earlier in the proposal counts.
    assert taken(EMPTY, create(TOOL, hammer)).count(Resource) == 1
    assert isinstance(refusal(a_view(TOOL), [*delete(TOOL), *create(hammer)]), InvalidSpec)


def test_defect_20_resource_names_are_unique_among_their_kind_alone():
    view = a_view(
        TOOL,
        named(Extension, "e2", "food"),
        named(Resource, "r1", "nut"),
        replace(named(Resource, "r2", "nut"), kind="food"),
    )
    assert [resource.id for resource in view.all(Resource)] == ["r1", "r2"]
    assert view.by_name(Resource, "NUT").id == "r1"
    assert isinstance(refusal(view, create(replace(named(Resource, "r3", "Nut"), kind="FOOD"))), NameConflict)


def test_defect_19_a_stale_version_has_an_error_of_its_own():
    view = a_view(a_service("s1"))
    error = refusal(view, update(replace(view.service("s1"), meta=Meta(Version(9)))))
    assert type(error) is OutOfSequence


def test_the_clock_and_version_are_those_passed_in():
    applied = apply(EMPTY, create(a_task("t1")), 77, 12)
    assert applied.snapshot.version == 12
    assert applied.snapshot.task("t1").meta == Meta(Version(12), 77, 77)
