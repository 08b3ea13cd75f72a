"""What is acceptable in a service but will hardly be what its author meant."""

import difflib
from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from swarmlab.api import Node, Resources, ServiceId, ServiceSpec
from swarmlab.api.quantities import format_bytes, format_cpus
from swarmlab.manager.constraint import (
    ATTRIBUTES,
    ENGINE_LABELS,
    NODE_LABELS,
    Constraint,
    Constraints,
    attribute,
    canonical,
)
from swarmlab.manager.controlapi.nodes import engine_labels
from swarmlab.plugin import OWN, Term, affinity_terms, written
from swarmlab.store import Snapshot


def service_warnings(view: Snapshot, spec: ServiceSpec) -> tuple[str, ...]:
    """Sentences for whoever creates or updates a service of `spec`; a valid one is taken with warnings all the same.

    Nodes may still join or get labels, so nothing here is an error: a constraint that no node meets, with the nearest
    key or value that exists; a preference over a label that no node has; a reservation that no node can hold even when
    it is empty; an affinity term about what is not there. Constraints and terms must parse.
    """
    nodes = view.nodes()
    placement = spec.task.placement
    found: list[str] = []
    if placement is not None:
        for constraint in Constraints.parse(placement.constraints).items:
            found += _constraint_warnings(constraint, nodes)
        descriptors = [preference.spread.spread_descriptor for preference in placement.preferences if preference.spread]
        for descriptor in descriptors:
            found += _preference_warnings(descriptor, nodes)
    if spec.task.resources is not None and spec.task.resources.reservations is not None:
        found += _reservation_warnings(spec.task.resources.reservations, nodes)
    for term in affinity_terms(spec.annotations.labels).values():
        for wish in (term, *term.otherwise):
            found += _term_warnings(wish, spec, view)
    return tuple(dict.fromkeys(found))


def _term_warnings(wish: Term, spec: ServiceSpec, view: Snapshot) -> Iterator[str]:
    """Of one choice of a term: services, labels and domains that are not there."""
    nodes = view.nodes()
    said = f"affinity {written(replace(wish, otherwise=()))}"
    if wish.node:
        for constraint in Constraints.parse((wish.node,)).items:
            yield from (f"affinity: {text}" for text in _constraint_warnings(constraint, nodes))
    others = [service.spec.annotations for service in view.services()]
    others.append(spec.annotations)
    if wish.service and wish.service != OWN and view.service(ServiceId(wish.service)) is None:
        names = sorted({annotations.name for annotations in others})
        if wish.service not in names:
            yield f"{said}: there is no service {wish.service}{_near(wish.service, [*names, OWN])}"
    key, value = wish.label
    if key:
        values = sorted({annotations.labels[key] for annotations in others if key in annotations.labels})
        if not values:
            keys = sorted({name for annotations in others for name in annotations.labels})
            yield f"{said}: no service has the label {key}{_near(key, keys)}"
        elif value not in values:
            yield f"{said}: no service has {key}={value}{_near(value, values)}; {key} is {_some(values)}"
    if wish.is_about_tasks and nodes and not any(attribute(node, wish.domain) for node in nodes):
        yield f"{said}: no node has the label {wish.domain}{_near(wish.domain, _keys(nodes))}"


def _constraint_warnings(constraint: Constraint, nodes: Sequence[Node]) -> Iterator[str]:
    key = canonical(constraint.key)
    if key is None:
        hint = _near(constraint.key, _keys(nodes))
        yield f"constraint {constraint}: no node can meet it, there is no key {constraint.key}{hint}"
        return
    if not nodes:
        return
    values = sorted({attribute(node, key) for node in nodes})
    if any(constraint.accepts(value) for value in values):
        return
    if _is_label(key) and not any(values):
        yield f"constraint {constraint}: no node has the label {key}{_near(key, _keys(nodes))}"
    else:
        present = [value for value in values if value]
        yield f"constraint {constraint}: no node meets it{_near(constraint.value, present)}; {key} is {_some(present)}"


def _preference_warnings(descriptor: str, nodes: Sequence[Node]) -> Iterator[str]:
    key = canonical(descriptor)
    if key is None or not _is_label(key):
        hint = _near(descriptor, [known for known in _keys(nodes) if _is_label(known)])
        yield (
            f"placement preference spread={descriptor}: it has no effect, only {NODE_LABELS}NAME and "
            f"{ENGINE_LABELS}NAME can be spread over{hint}"
        )
    elif nodes and not any(attribute(node, key) for node in nodes):
        yield f"placement preference spread={descriptor}: no node has the label {key}{_near(key, _keys(nodes))}"


def _reservation_warnings(wanted: Resources, nodes: Sequence[Node]) -> Iterator[str]:
    """A node must hold all parts at once, but each part is held against its largest offer, to say what to change."""
    offers = [
        node.description.resources for node in nodes if node.description is not None and node.description.resources
    ]
    if not offers:
        return
    cpus = max(offer.nano_cpus for offer in offers)
    if wanted.nano_cpus > cpus:
        yield f"reservation of {format_cpus(wanted.nano_cpus)} CPUs: no node has more than {format_cpus(cpus)}"
    memory = max(offer.memory_bytes for offer in offers)
    if wanted.memory_bytes > memory:
        yield f"reservation of {format_bytes(wanted.memory_bytes)} memory: no node has more than {format_bytes(memory)}"
    short = False
    for item in wanted.generic:
        if item.discrete_resource_spec is None:
            continue
        kind, count = item.discrete_resource_spec.kind, item.discrete_resource_spec.value
        most = max(generic_amount(offer, kind) for offer in offers)
        if count > most:
            short = True
            kinds = sorted({name for offer in offers for name in _generic_kinds(offer)})
            hint = _near(kind, kinds) if most == 0 else ""
            yield f"reservation of {count} {kind}: no node has more than {most}{hint}"
    if (
        wanted.nano_cpus <= cpus
        and wanted.memory_bytes <= memory
        and not short
        and not any(_holds(offer, wanted) for offer in offers)
    ):
        yield "reservation: every part of it fits on some node, but no node can hold all of it"


def generic_amount(resources: Resources, kind: str) -> int:
    """How much of a generic resource there is: the amount, or the number of named units."""
    total = 0
    for item in resources.generic:
        if item.discrete_resource_spec is not None and item.discrete_resource_spec.kind == kind:
            total += item.discrete_resource_spec.value
        elif item.named_resource_spec is not None and item.named_resource_spec.kind == kind:
            total += 1
    return total


def _holds(offer: Resources, wanted: Resources) -> bool:
    return (
        wanted.nano_cpus <= offer.nano_cpus
        and wanted.memory_bytes <= offer.memory_bytes
        and all(generic_amount(offer, kind) >= generic_amount(wanted, kind) for kind in _generic_kinds(wanted))
    )


def _generic_kinds(resources: Resources) -> Iterator[str]:
    for item in resources.generic:
        part = item.discrete_resource_spec or item.named_resource_spec
        if part is not None:
            yield part.kind


def _is_label(key: str) -> bool:
    return key.startswith((NODE_LABELS, ENGINE_LABELS))


def _keys(nodes: Sequence[Node]) -> list[str]:
    labels = {NODE_LABELS + label for node in nodes for label in node.spec.annotations.labels}
    labels |= {ENGINE_LABELS + label for node in nodes for label in engine_labels(node)}
    return [*ATTRIBUTES, *sorted(labels)]


def _near(word: str, known: Iterable[str]) -> str:
    """A question naming the known word that looks most like `word`, or nothing."""
    by_low = {name.lower(): name for name in known}
    match = difflib.get_close_matches(word.lower(), by_low, n=1, cutoff=0.6)
    if not match:
        # Someone who writes `rack` where a label is meant forgot the words before it.
        match = [low for low in by_low if low.rpartition(".")[2] == word.lower().rpartition(".")[2]][:1]
    return f"; did you mean {by_low[match[0]]}?" if match else ""


def _some(values: Sequence[str]) -> str:
    shown = ", ".join(values[:5])
    left = len(values) - 5
    return (shown or "empty everywhere") + (f" and {left} others" if left > 0 else "")
