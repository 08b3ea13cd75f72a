"""The rules of the store once more, in plain dictionaries, as slowly and plainly as can be."""

import copy
from typing import Any

from store_builders import replace

from swarmlab.api import (
    KINDS,
    Action,
    AlreadyExists,
    Create,
    Delete,
    Extension,
    InvalidSpec,
    Meta,
    NameConflict,
    Node,
    NotFound,
    OutOfSequence,
    Precondition,
    Resource,
    Task,
    Unsupported,
    Version,
    name_of,
)

Tables = dict[type[Any], dict[str, Any]]


def no_tables() -> Tables:
    return {kind: {} for kind in KINDS}


class Model:
    """Tables and version after some proposals."""

    def __init__(self, tables: Tables | None = None, version: int = 0) -> None:
        self.tables = tables if tables is not None else no_tables()
        self.version = version

    def proposed(self, groups: list[list[Action]], now: int) -> tuple["Model", list[tuple[int, type[Exception]]]]:
        """The model after the groups, and which were refused with what."""
        tables = copied(self.tables)
        #: {(kind, id): version that an update must carry}
        read: dict[Any, int] = {
            (kind, key): obj.meta.version.index for kind, table in tables.items() for key, obj in table.items()
        }
        refused = []
        for number, group in enumerate(groups):
            trial, trial_read = copied(tables), dict(read)
            try:
                for action in group:
                    self._do(trial, trial_read, action, now)
            except Exception as error:
                refused.append((number, type(error)))
            else:
                tables, read = trial, trial_read
        return Model(tables, self.version + (tables != self.tables)), refused

    def _do(self, tables: Tables, read: dict[Any, int], action: Action, now: int) -> None:
        kind, key = (action.kind, action.id) if isinstance(action, Delete) else (type(action.object), action.object.id)
        table = tables[kind]
        if isinstance(action, Delete):
            if key not in table:
                raise NotFound
            if kind is Extension and any(
                resource.kind.lower() == name_of(table[key]).lower() for resource in tables[Resource].values()
            ):
                raise Precondition
            del table[key]
            return
        obj = action.object
        if isinstance(action, Create):
            if key in table:
                raise AlreadyExists
            created = now
            read[kind, key] = obj.meta.version.index
        else:
            if key not in table:
                raise NotFound
            if obj.meta.version.index != read[kind, key]:
                raise OutOfSequence
            if kind is Extension:
                raise Unsupported
            created = table[key].meta.created_at
        check_resource(tables, obj)
        check_name(tables, obj)
        table[key] = replace(obj, meta=Meta(Version(self.version + 1), created, now))


def check_resource(tables: Tables, obj: Any) -> None:
    if isinstance(obj, Resource):
        names = {name_of(extension).lower() for extension in tables[Extension].values()} - {""}
        if obj.kind.lower() not in names:
            raise InvalidSpec


def check_name(tables: Tables, obj: Any) -> None:
    kind, name = type(obj), name_of(obj).lower()
    if kind is Extension and name in KINDS.values():
        raise NameConflict
    if not name or kind in (Node, Task):
        return
    for other in tables[kind].values():
        if other.id != obj.id and name_of(other).lower() == name:
            if kind is Resource and other.kind.lower() != obj.kind.lower():
                continue
            raise NameConflict


def copied(tables: Tables) -> Tables:
    return {kind: copy.copy(table) for kind, table in tables.items()}


def net_changes(before: Tables, after: Tables) -> dict[Any, tuple[Any, Any]]:
    """{(kind, id): (object before, object after)} of all that differs."""
    return {
        (kind, key): (before[kind].get(key), after[kind].get(key))
        for kind in KINDS
        for key in {*before[kind], *after[kind]}
        if before[kind].get(key) != after[kind].get(key)
    }
