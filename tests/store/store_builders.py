"""Objects and proposers that the tests of the store share."""

from collections.abc import Callable
from typing import Any

import msgspec

from swarmlab.api import (
    KINDS,
    Action,
    Annotations,
    Changes,
    Cluster,
    ClusterSpec,
    Config,
    ConfigSpec,
    Create,
    Delete,
    Extension,
    Instant,
    Network,
    NetworkSpec,
    Node,
    NodeDescription,
    Resource,
    Secret,
    SecretSpec,
    Service,
    ServiceSpec,
    StoreObject,
    Task,
    Update,
    Volume,
    VolumeSpec,
)
from swarmlab.store import EMPTY, Applied, Entry, Outcome, Snapshot, Store, apply

replace = msgspec.structs.replace
NOW = Instant(1_000)

_SPECS = {
    Service: ServiceSpec,
    Network: NetworkSpec,
    Secret: SecretSpec,
    Config: ConfigSpec,
    Volume: VolumeSpec,
    Cluster: ClusterSpec,
}


def named(kind: type[Any], key: str, name: str) -> Any:
    """An object of that kind, id and name; a node gets it as its host name, a task as a name of its own."""
    if kind is Node:
        return Node(id=key, description=NodeDescription(hostname=name))
    if kind is Resource:
        return Resource(id=key, annotations=Annotations(name=name), kind="tool")
    if kind in (Task, Extension):
        return kind(id=key, annotations=Annotations(name=name))
    return kind(id=key, spec=_SPECS[kind](annotations=Annotations(name=name)))


def a_service(key: str, name: str = "") -> Service:
    return named(Service, key, name or key)


def a_task(key: str, service: str = "", slot: int = 0, node: str = "", **fields: Any) -> Task:
    return Task(id=key, service_id=service, slot=slot, node_id=node, **fields)


def create(*objects: StoreObject) -> list[list[Action]]:
    """A group for each."""
    return [[Create(obj)] for obj in objects]


def update(*objects: StoreObject) -> list[list[Action]]:
    """A group for each."""
    return [[Update(obj)] for obj in objects]


def delete(*objects: StoreObject) -> list[list[Action]]:
    """A group for each."""
    return [[Delete(type(obj), obj.id)] for obj in objects]


def taken(view: Snapshot, groups: list[list[Action]], now: int = NOW) -> Snapshot:
    """The snapshot after groups of which none may be refused."""
    applied = apply(view, groups, Instant(now), view.version + 1)
    assert not applied.refused, applied.refused
    return applied.snapshot


def tried(view: Snapshot, groups: list[list[Action]], now: int = NOW) -> Applied:
    return apply(view, groups, Instant(now), view.version + 1)


def a_view(*objects: StoreObject) -> Snapshot:
    """A snapshot that holds these; extensions are created before what needs them."""
    first = sorted(objects, key=lambda obj: not isinstance(obj, Extension))
    return taken(EMPTY, create(*first))


def contents(view: Snapshot) -> dict[type[Any], tuple[Any, ...]]:
    """Everything in a snapshot."""
    return {kind: view.all(kind) for kind in KINDS}


class HeldProposer:
    """A proposer that answers when the test says so, in the words of the test."""

    def __init__(self, limit: int | None = None) -> None:
        self.max_entry_bytes = limit
        self.waiting: list[tuple[Entry, Callable[[Exception | None], None]]] = []
        #: Versions of the entries that were made final.
        self.final: list[int] = []

    def propose(self, entry: Entry, done: Callable[[Exception | None], None]) -> None:
        self.waiting.append((entry, done))

    def commit(self, count: int = 1) -> None:
        """Make the next entries final."""
        for _ in range(count):
            entry, done = self.waiting.pop(0)
            self.final.append(entry.version)
            done(None)

    def fail(self, error: Exception, place: int = 0) -> None:
        """Fail the entry at that place, and with it all after it, as a proposer must."""
        failed, self.waiting = self.waiting[place:], self.waiting[:place]
        for _, done in failed:
            done(error)


class Witness:
    """A store and everything that it says."""

    def __init__(self, proposer: Any, view: Snapshot = EMPTY, **options: Any) -> None:
        self.commits: list[Any] = []
        self.outcomes: list[tuple[str, Outcome]] = []
        #: What happened, in order: ("commit", version) and (name of the proposal, version or kind of error).
        self.story: list[tuple[str, Any]] = []
        self.store = Store(proposer, lambda: NOW, view, self._committed, **options)

    def propose(self, name: str, groups: list[list[Action]]) -> None:
        def done(outcome: Outcome) -> None:
            self.outcomes.append((name, outcome))
            self.story.append((name, type(outcome.error).__name__ if outcome.error else outcome.version))

        self.store.propose(Changes(tuple(map(tuple, groups))), done)

    def outcome(self, name: str) -> Outcome:
        """The only outcome of the proposal of that name."""
        (found,) = [outcome for told, outcome in self.outcomes if told == name]
        return found

    def _committed(self, committed: Any) -> None:
        self.commits.append(committed)
        self.story.append(("commit", committed.view.version))
