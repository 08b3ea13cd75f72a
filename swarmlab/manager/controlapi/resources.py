"""Resources: objects of the kinds that extensions declare."""

import random

from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    AnyValue,
    Changes,
    Create,
    Delete,
    Extension,
    Filters,
    InvalidSpec,
    NameConflict,
    Resource,
    ResourceId,
    Update,
    new_id,
)
from swarmlab.manager.controlapi.filters import EVERYTHING, narrowed
from swarmlab.manager.controlapi.stored import stored, stored_at
from swarmlab.store import ByKind, Snapshot


def create_resource(
    view: Snapshot, annotations: Annotations, kind: str, payload: AnyValue | None, ids: random.Random
) -> tuple[Changes, Resource]:
    """A new resource of a declared kind. Names are unique within a kind, in any case.

    Raises:
        InvalidSpec: No name, no kind, or a kind that no extension declares.
        NameConflict: Another resource of that kind has the name.
    """
    if not annotations.name:
        raise InvalidSpec("resource name must be provided")
    if not kind:
        raise InvalidSpec("resource must belong to an extension: kind must be provided")
    extension = view.by_name(Extension, kind)
    if extension is None:
        raise InvalidSpec(f"resource kind {kind} is not registered: there is no extension of that name")
    kind = extension.annotations.name
    low = annotations.name.lower()
    for other in view.find(Resource, ByKind(kind)):
        if other.annotations.name.lower() == low:
            raise NameConflict(
                f"name conflicts with an existing object: {kind} {annotations.name} already exists ({other.id})"
            )
    resource = Resource(id=ResourceId(new_id(ids)), annotations=annotations, kind=kind, payload=payload)
    return Changes.atomic(Create(resource)), resource


def get_resource(view: Snapshot, resource_id: ResourceId) -> Resource:
    """The resource of that id.

    Raises:
        NotFound: There is none.
    """
    return stored(view, Resource, resource_id)


def list_resources(view: Snapshot, filters: Filters = EVERYTHING) -> tuple[Resource, ...]:
    """The resources that match, sorted by id."""
    return narrowed(
        view.find(Resource, ByKind(filters.kind)) if filters.kind else view.all(Resource),
        filters,
        name=lambda resource: resource.annotations.name,
        labels=lambda resource: resource.annotations.labels,
    )


def update_resource(
    view: Snapshot, resource_id: ResourceId, version: int, annotations: Annotations | None, payload: AnyValue | None
) -> tuple[Changes, Resource]:
    """The resource with other labels, another payload, or both; None keeps what is stored.

    Raises:
        NotFound: No such resource.
        OutOfSequence: It changed since `version`.
        InvalidSpec: Another name.
    """
    resource = stored_at(view, Resource, resource_id, version)
    if annotations is not None and annotations.name != resource.annotations.name:
        raise InvalidSpec(f"resource {resource.annotations.name}: renaming is not supported")
    updated = replace(
        resource,
        annotations=resource.annotations if annotations is None else annotations,
        payload=resource.payload if payload is None else payload,
    )
    return Changes.atomic(Update(updated)), updated


def remove_resource(view: Snapshot, resource_id: ResourceId) -> tuple[Changes, None]:
    """Nothing of the resource left.

    Raises:
        NotFound: No such resource.
    """
    stored(view, Resource, resource_id)
    return Changes.atomic(Delete(Resource, resource_id)), None
