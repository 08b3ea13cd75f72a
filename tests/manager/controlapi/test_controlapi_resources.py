"""Extensions, and the resources of the kinds that they declare."""

import pytest
from asked import Requests

from swarmlab.api import (
    Annotations,
    AnyValue,
    Extension,
    Filters,
    InvalidSpec,
    NameConflict,
    NotFound,
    OutOfSequence,
    Precondition,
)
from swarmlab.manager.controlapi import (
    create_extension,
    create_resource,
    get_extension,
    get_resource,
    list_extensions,
    list_resources,
    remove_extension,
    remove_resource,
    update_resource,
)


def declared(at: Requests, name: str) -> Extension:
    return at.commit(create_extension(at.view, Annotations(name), "", at.ids))


def test_an_extension_needs_a_free_name_that_is_no_kind_of_ours(at: Requests) -> None:
    for name in ("", "Task", "secret"):
        with pytest.raises(InvalidSpec):
            declared(at, name)
    kind = declared(at, "dashboard")
    with pytest.raises(NameConflict):
        declared(at, "Dashboard")
    assert get_extension(at.view, kind.id).annotations.name == "dashboard"
    assert [found.id for found in list_extensions(at.view, Filters(names=("dashboard",)))] == [kind.id]


def test_an_extension_in_use_stays(at: Requests) -> None:
    kind = declared(at, "dashboard")
    board = at.commit(create_resource(at.view, Annotations("main"), "dashboard", None, at.ids))
    with pytest.raises(Precondition, match="extension dashboard is in use by resources: main"):
        remove_extension(at.view, kind.id)
    at.commit(remove_resource(at.view, board.id))
    at.commit(remove_extension(at.view, kind.id))
    with pytest.raises(NotFound):
        get_extension(at.view, kind.id)


def test_a_resource_needs_a_name_and_a_declared_kind(at: Requests) -> None:
    declared(at, "dashboard")
    for name, kind in (("", "dashboard"), ("main", ""), ("main", "unknown")):
        with pytest.raises(InvalidSpec):
            create_resource(at.view, Annotations(name), kind, None, at.ids)


def test_defect_20_resource_names_are_unique_within_their_kind_alone(at: Requests) -> None:
    declared(at, "dashboard")
    declared(at, "alert")
    for kind in ("dashboard", "alert"):
        at.commit(create_resource(at.view, Annotations("main"), kind, None, at.ids))
    with pytest.raises(NameConflict, match="alert MAIN already exists"):
        create_resource(at.view, Annotations("MAIN"), "Alert", None, at.ids)
    assert [found.kind for found in list_resources(at.view, Filters(kind="alert"))] == ["alert"]
    assert len(list_resources(at.view)) == 2
    assert list_resources(at.view, Filters(kind="alert", names=("other",))) == ()


def test_labels_and_payload_change_and_the_name_stays(at: Requests) -> None:
    declared(at, "dashboard")
    board = at.commit(create_resource(at.view, Annotations("main"), "dashboard", AnyValue("t", b"1"), at.ids))
    at.commit(update_resource(at.view, board.id, 2, Annotations("main", {"a": "b"}), None))
    assert get_resource(at.view, board.id).payload == AnyValue("t", b"1")
    at.commit(update_resource(at.view, board.id, 3, None, AnyValue("t", b"2")))
    found = get_resource(at.view, board.id)
    assert (found.annotations.labels, found.payload) == ({"a": "b"}, AnyValue("t", b"2"))
    with pytest.raises(InvalidSpec, match="renaming"):
        update_resource(at.view, board.id, 4, Annotations("other"), None)
    with pytest.raises(OutOfSequence):
        update_resource(at.view, board.id, 2, None, None)
