"""Which service has which terms, and which services those are about."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

from swarmlab.api import Change, ChangeKind, Service, ServiceId
from swarmlab.manager.scheduler.demand import group_of_service
from swarmlab.plugin import OWN, ClusterView, Group, Host, Term
from swarmlab.store import Snapshot

#: What a term is about: a service by its name or id, or a label of services by its key and value.
_Subject = str | tuple[str, str]
#: (plugin, term)
Said = tuple[str, Term]
_K = TypeVar("_K")
_V = TypeVar("_V")


class Wish(NamedTuple):
    """A term that binds the group at hand."""

    plugin: str
    term: Term
    #: Whose term it is: the group's own service, or another one that the group must mind.
    owner: ServiceId
    #: The services that the term is about.
    aims: tuple[ServiceId, ...] = ()
    #: Of a ranked term: each choice as a wish of its own, best first; none where there is but one.
    choices: tuple["Wish", ...] = ()


class Wishes:
    """The terms of all services, kept up at the cost of each change.

    A plugin's terms depend on the group and its options alone, so a service is asked about once for each change of it.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forget all; the next `refresh` looks at every service."""
        self._host: Host | None = None
        #: Services that have changed since the last `refresh`.
        self._touched: set[ServiceId] = set()
        self._names: dict[str, ServiceId] = {}
        self._known: dict[ServiceId, Service] = {}
        #: {(label key, value): services}, each a dictionary for its order.
        self._labelled: dict[tuple[str, str], dict[ServiceId, None]] = {}
        self._terms: dict[ServiceId, tuple[Said, ...]] = {}
        #: {subject: {service with terms about it: those terms}}
        self._about: dict[_Subject, dict[ServiceId, list[Said]]] = {}
        #: A task may be waiting for one of another service to be placed.
        self.draws = False

    def committed(self, changes: Iterable[Change]) -> None:
        """Note which services have changed."""
        for change in changes:
            if type(change.object) is Service:
                self._touched.add(change.object.id)
                if change.kind is ChangeKind.REMOVED:
                    self._forget(change.object.id)

    def refresh(self, snapshot: Snapshot, host: Host, view: ClusterView) -> None:
        """Ask the plugins of `host` about the services that have changed."""
        if host is not self._host:
            self.begin()
            self._host = host
            self._touched = {service.id for service in snapshot.services()}
        if not host.has_affinity or not self._touched:
            return
        for service_id in sorted(self._touched):
            self._forget(service_id)
            service = snapshot.service(service_id)
            if service is not None:
                self._learn(service, host.affinity(group_of_service(service, 1), view))
        # What a muted plugin has to say is still to be learnt.
        if not host.is_muted("swarmlab_affinity"):
            self._touched = set()
        self.draws = any(
            not wish.avoid and wish.is_about_tasks
            for terms in self._terms.values()
            for _, term in terms
            for wish in (term, *term.otherwise)
        )

    @property
    def services(self) -> Iterable[ServiceId]:
        """Those that have terms, by id."""
        return sorted(self._terms)

    def of(self, service: ServiceId) -> tuple[Said, ...]:
        """The terms of one service."""
        return self._terms.get(service, ())

    def aims(self, term: Term, owner: ServiceId) -> tuple[ServiceId, ...]:
        """The services that the term means, by id; none where there is no such service."""
        if term.label[0]:
            return tuple(sorted(self._labelled.get(term.label, ())))
        if not term.service:
            return ()
        if term.service == OWN:
            return (owner,) if owner else ()
        known = ServiceId(term.service)
        found = known if known in self._known else self._names.get(term.service)
        return () if found is None else (found,)

    def wish(self, plugin: str, term: Term, owner: ServiceId) -> Wish:
        """A term with the services that it means now."""
        chain = (term, *term.otherwise) if term.otherwise else ()
        choices = tuple(Wish(plugin, choice, owner, self.aims(choice, owner)) for choice in chain)
        return Wish(plugin, term, owner, self.aims(term, owner), choices)

    def binding(self, group: Group, own: Iterable[Said]) -> tuple[Wish, ...]:
        """The terms of the group itself, and the symmetric ones that others have about it."""
        found = [self.wish(plugin, term, group.service) for plugin, term in own]
        if self._about and group.service:
            about: dict[ServiceId, list[Said]] = {}
            for subject in _subjects(group.service, group.service_name, group.labels):
                for owner, terms in self._about.get(subject, {}).items():
                    about.setdefault(owner, []).extend(terms)
            for owner in sorted(about):
                if owner != group.service:
                    # Its labels may have changed since its group was made; the term must mean it now.
                    found += [
                        Wish(plugin, term, owner, aims)
                        for plugin, term in about[owner]
                        if group.service in (aims := self.aims(term, owner))
                    ]
        return tuple(found)

    def _learn(self, service: Service, terms: tuple[Said, ...]) -> None:
        annotations = service.spec.annotations
        self._known[service.id] = service
        self._names[annotations.name] = service.id
        for item in annotations.labels.items():
            self._labelled.setdefault(item, {})[service.id] = None
        if not terms:
            return
        self._terms[service.id] = terms
        for plugin, term in terms:
            if term.symmetric and not term.otherwise:
                for subject in _subjects_of(term):
                    self._about.setdefault(subject, {}).setdefault(service.id, []).append((plugin, term))

    def _forget(self, service_id: ServiceId) -> None:
        known = self._known.pop(service_id, None)
        if known is None:
            return
        annotations = known.spec.annotations
        if self._names.get(annotations.name) == service_id:
            del self._names[annotations.name]
        for item in annotations.labels.items():
            _drop(self._labelled, item, service_id)
        for _, term in self._terms.pop(service_id, ()):
            for subject in _subjects_of(term):
                _drop(self._about, subject, service_id)


def _subjects(service: ServiceId, name: str, labels: Mapping[str, str]) -> list[_Subject]:
    """Under what a service may be meant."""
    return [*dict.fromkeys((service, name)), *labels.items()]


def _subjects_of(term: Term) -> tuple[_Subject, ...]:
    if term.label[0]:
        return (term.label,)
    return (term.service,) if term.service and term.service != OWN else ()


def _drop(index: dict[_K, dict[ServiceId, _V]], key: _K, service: ServiceId) -> None:
    entries = index.get(key)
    if entries is not None and service in entries:
        del entries[service]
        if not entries:
            del index[key]
