"""Registers of which clients are judged: a config or a service by its name, whose labels say what was written."""

from typing import Any

from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    Changes,
    Config,
    ConfigSpec,
    ContainerSpec,
    ReplicatedService,
    Rollback,
    Service,
    ServiceSpec,
    TaskSpec,
    Value,
)
from swarmlab.manager.controlapi import (
    create_config,
    create_service,
    remove_config,
    remove_service,
    update_config,
    update_service,
)
from swarmlab.node.manager import Request
from swarmlab.store import Snapshot

#: Labels: what the object was created with, and what was written last.
BORN, WRITTEN = "born", "written"


class Seen(Value, frozen=True, kw_only=True):
    """A register that is there, as a client read it."""

    object: Config | Service
    born: str
    written: str


class Register(Value, frozen=True):
    """One name. Services of it have no tasks, so that whoever counts tasks sees none of them."""

    name: str
    is_service: bool

    def seen(self, view: Snapshot) -> Seen | None:
        """What is there; None: nothing."""
        found = view.by_name(Service if self.is_service else Config, self.name)
        if not isinstance(found, Config | Service):
            return None
        labels = found.spec.annotations.labels
        return Seen(object=found, born=labels[BORN], written=labels[WRITTEN])

    def create(self, value: str) -> Request[Any]:
        """The request that creates it, with that value."""
        annotations = Annotations(name=self.name, labels={BORN: value, WRITTEN: value})
        if self.is_service:
            spec = ServiceSpec(
                annotations=annotations,
                task=TaskSpec(container=ContainerSpec(image="app:1")),
                replicated=ReplicatedService(replicas=0),
            )
            return lambda view, ids, now: create_service(view, spec, ids, now)
        return lambda view, ids, _: create_config(view, ConfigSpec(annotations=annotations, data=b"1"), ids)

    def update(self, seen: Seen, value: str) -> Request[Any]:
        """The request that writes that value on what was seen."""
        found = seen.object
        annotations = replace(found.spec.annotations, labels={BORN: seen.born, WRITTEN: value})
        version = found.meta.version.index
        if isinstance(found, Service):
            service, wish = found, replace(found.spec, annotations=annotations)
            return lambda view, _, now: update_service(view, service.id, version, wish, Rollback.NONE, now)
        config, spec = found, replace(found.spec, annotations=annotations)
        return lambda view, *_: update_config(view, config.id, version, spec)

    def remove(self, seen: Seen) -> Request[Any]:
        """The request that removes what was seen, whatever was written on it since."""
        found = seen.object

        def request(view: Snapshot, *_: Any) -> tuple[Changes, None]:
            return remove_service(view, found.id) if isinstance(found, Service) else remove_config(view, found.id)

        return request
