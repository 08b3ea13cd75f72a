"""The change feed: commits that match, from now on or from a version in the past."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from swarmlab.api import (
    KINDS,
    Change,
    ChangeKind,
    Cluster,
    ConfigId,
    InvalidSpec,
    NetworkId,
    NodeId,
    OutOfSequence,
    Resource,
    Secret,
    SecretId,
    SelectBy,
    ServiceId,
    StoreObject,
    WatchActionKind,
    WatchEntry,
    WatchRequest,
)
from swarmlab.api.proto.watch_pb2 import DESCRIPTOR
from swarmlab.api.proto.watch_pb2 import WatchMessage as WatchMessagePb
from swarmlab.api.wire import decode, fill
from swarmlab.edges.grpc.handlers import Stream
from swarmlab.edges.grpc.ports import ControlPlane
from swarmlab.manager.controlapi.clusters import redacted
from swarmlab.manager.controlapi.secrets import without_data
from swarmlab.store import (
    By,
    ByCustom,
    ByCustomPrefix,
    ByDesiredState,
    ByIdPrefix,
    ByKind,
    ByMembership,
    ByName,
    ByNamePrefix,
    ByNode,
    ByRole,
    ByService,
    BySlot,
    Committed,
    ReferencesConfig,
    ReferencesNetwork,
    ReferencesSecret,
)
from swarmlab.store.find import FITS, matcher

SERVICE = DESCRIPTOR.services_by_name["Watch"]
#: Commits that wait for a slow client before it is told to come back later.
BACKLOG = 1000

_CLASSES = {word: kind for kind, word in KINDS.items()}
_EVERY_ACTION = (
    WatchActionKind.WATCH_ACTION_CREATE | WatchActionKind.WATCH_ACTION_UPDATE | WatchActionKind.WATCH_ACTION_REMOVE
)

Wanted = Callable[[Change], bool]


def streams(control: ControlPlane) -> Mapping[str, Stream]:
    """{method: how it is answered}."""

    async def watch(message: Any) -> AsyncIterator[Any]:
        request = decode(WatchRequest, message)
        wanted = _any_of(request.entries)
        since = request.resume_from.index if request.resume_from is not None else None
        feed = _Feed(control, since)
        try:
            yield WatchMessagePb()
            async for committed in feed.commits():
                found = [change for change in committed.changes if wanted(change)]
                if found:
                    yield _message(committed, found, request.include_old_object)
        finally:
            feed.close()

    return {"Watch": watch}


class _Feed:
    """Every commit after `since`; one that cannot be kept for a slow client ends the feed.

    Raises:
        OutOfSequence: The past is not held that far back.
    """

    def __init__(self, control: ControlPlane, since: int | None) -> None:
        self._waiting: asyncio.Queue[Committed | None] = asyncio.Queue()
        self._live = False
        self._version = since or 0
        self._subscription = control.watch(since, self._deliver)
        self._live = True

    def _deliver(self, committed: Committed) -> None:
        if self._live and self._waiting.qsize() >= BACKLOG:
            self.close()
            self._waiting.put_nowait(None)
        else:
            self._waiting.put_nowait(committed)

    async def commits(self) -> AsyncIterator[Committed]:
        """One after the other. Ends with `OutOfSequence` when one had to be left out."""
        while (committed := await self._waiting.get()) is not None:
            self._version = committed.view.version
            yield committed
        raise OutOfSequence(
            f"the watcher fell {BACKLOG} commits behind, wanted: a new watch from version {self._version}"
        )

    def close(self) -> None:
        """Follow no longer."""
        self._subscription.cancel()


def _message(committed: Committed, changes: Sequence[Change], include_old: bool) -> Any:
    message = WatchMessagePb()
    message.version.index = committed.view.version
    for change in changes:
        event = message.events.add()
        event.action = int(change.kind)
        _fill_object(event.object, change.object)
        if include_old and change.kind is ChangeKind.UPDATED and change.old is not None:
            _fill_object(event.old_object, change.old)
    return message


def _fill_object(message: Any, obj: StoreObject) -> None:
    fill(getattr(message, KINDS[type(obj)]), _shown(obj))


def _shown(obj: StoreObject) -> StoreObject:
    """The object without what no client may see."""
    match obj:
        case Secret():
            return without_data(obj)
        case Cluster():
            return redacted(obj)
        case _:
            return obj


def _any_of(entries: Sequence[WatchEntry]) -> Wanted:
    """Whether a change matches one of the entries; without entries every one does.

    Raises:
        InvalidSpec: An entry cannot match anything.
    """
    tests = [_entry(f"entries[{place}]", entry) for place, entry in enumerate(entries)]
    return (lambda change: any(test(change) for test in tests)) if tests else (lambda _: True)


def _entry(field: str, entry: WatchEntry) -> Wanted:
    if not entry.kind:
        raise InvalidSpec(f"{field}.kind: '', wanted: one of {', '.join(_CLASSES)}, or the kind of a resource")
    if not entry.action or entry.action & ~_EVERY_ACTION:
        raise InvalidSpec(f"{field}.action: {int(entry.action)}, wanted: a sum of 1 (create), 2 (update), 4 (remove)")
    kind: type[StoreObject] = _CLASSES.get(entry.kind, Resource)
    tests: list[Callable[[Any], bool]] = []
    if entry.kind not in _CLASSES:
        tests.append(matcher(ByKind(entry.kind)))
    chosen: set[str] = set()
    for place, select in enumerate(entry.filters):
        name, test = _condition(f"{field}.filters[{place}]", select, kind)
        if name in chosen:
            raise InvalidSpec(f"{field}.filters[{place}]: a second {name}, wanted: each condition once")
        chosen.add(name)
        tests.append(test)

    def matches(change: Change) -> bool:
        return (
            type(change.object) is kind
            and bool(change.kind & entry.action)
            and all(test(change.object) for test in tests)
        )

    return matches


def _condition(field: str, select: SelectBy, kind: type[StoreObject]) -> tuple[str, Callable[[Any], bool]]:
    """The name of the one condition that is set, and its test."""
    names = [name for name in SelectBy.__struct_fields__ if getattr(select, name) is not None]
    if len(names) != 1:
        raise InvalidSpec(f"{field}: {' and '.join(names) or 'nothing'}, wanted: one condition")
    name = names[0]
    if name == "id":
        return name, lambda obj: obj.id == select.id
    by = _finder(name, getattr(select, name))
    if kind not in FITS[type(by)]:
        raise InvalidSpec(f"{field}: {name}, wanted: a condition on objects of the kind {KINDS[kind]}")
    return name, matcher(by)


#: {condition: finder of the store}
_FINDERS: Mapping[str, Callable[[Any], By]] = {
    "id_prefix": ByIdPrefix,
    "name": ByName,
    "name_prefix": ByNamePrefix,
    "custom": lambda custom: ByCustom(custom.index, custom.value),
    "custom_prefix": lambda custom: ByCustomPrefix(custom.index, custom.value),
    "service_id": lambda key: ByService(ServiceId(key)),
    "node_id": lambda key: ByNode(NodeId(key)),
    "slot": lambda slot: BySlot(ServiceId(slot.service_id), slot.slot),
    "desired_state": ByDesiredState,
    "role": ByRole,
    "membership": ByMembership,
    "referenced_network_id": lambda key: ReferencesNetwork(NetworkId(key)),
    "referenced_secret_id": lambda key: ReferencesSecret(SecretId(key)),
    "referenced_config_id": lambda key: ReferencesConfig(ConfigId(key)),
    "kind": ByKind,
}


def _finder(name: str, value: Any) -> By:
    return _FINDERS[name](value)
