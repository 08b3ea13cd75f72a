"""Extensions: kinds of resources that users declare."""

import random

from swarmlab.api import (
    KINDS,
    Annotations,
    Changes,
    Create,
    Delete,
    Extension,
    ExtensionId,
    Filters,
    InvalidSpec,
    Precondition,
    Resource,
    new_id,
)
from swarmlab.manager.controlapi.filters import EVERYTHING, narrowed
from swarmlab.manager.controlapi.stored import require_free_name, stored
from swarmlab.store import ByKind, Snapshot


def create_extension(
    view: Snapshot, annotations: Annotations, description: str, ids: random.Random
) -> tuple[Changes, Extension]:
    """A new kind of resource.

    Raises:
        InvalidSpec: No name, or that of a built-in kind.
        NameConflict: Another extension has the name.
    """
    if not annotations.name:
        raise InvalidSpec("extension name must be provided")
    if annotations.name.lower() in KINDS.values():
        raise InvalidSpec(f"extension {annotations.name}: the name of a built-in kind")
    require_free_name(view, Extension, annotations.name)
    extension = Extension(id=ExtensionId(new_id(ids)), annotations=annotations, description=description)
    return Changes.atomic(Create(extension)), extension


def get_extension(view: Snapshot, extension_id: ExtensionId) -> Extension:
    """The extension of that id.

    Raises:
        NotFound: There is none.
    """
    return stored(view, Extension, extension_id)


def list_extensions(view: Snapshot, filters: Filters = EVERYTHING) -> tuple[Extension, ...]:
    """The extensions that match, sorted by id."""
    return narrowed(
        view.all(Extension),
        filters,
        name=lambda extension: extension.annotations.name,
        labels=lambda extension: extension.annotations.labels,
    )


def remove_extension(view: Snapshot, extension_id: ExtensionId) -> tuple[Changes, None]:
    """Nothing of the extension left.

    Raises:
        NotFound: No such extension.
        Precondition: There are resources of that kind; the message names them.
    """
    extension = stored(view, Extension, extension_id)
    users = view.find(Resource, ByKind(extension.annotations.name))
    if users:
        names = ", ".join(sorted(resource.annotations.name for resource in users))
        raise Precondition(f"extension {extension.annotations.name} is in use by resources: {names}")
    return Changes.atomic(Delete(Extension, extension_id)), None
