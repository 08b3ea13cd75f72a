"""Warnings: accepted, but hardly meant."""

import pytest
from asked import Requests, node, placed, spec

from swarmlab.api import DiscreteGenericResource, GenericResource, NamedGenericResource, Resources
from swarmlab.manager.controlapi import service_warnings

GIB = 1024**3


@pytest.fixture
def cluster(at: Requests) -> Requests:
    named = tuple(GenericResource(named_resource_spec=NamedGenericResource("gpu", name)) for name in ("u1", "u2"))
    at.put(
        node("n1", {"zone": "east"}, {"disk": "ssd"}, Resources(4_000_000_000, 2 * GIB, named), hostname="alpha"),
        node("n2", {"zone": "west"}, {}, Resources(1_000_000_000, 8 * GIB), hostname="beta"),
        node("n3"),
    )
    return at


@pytest.mark.parametrize(
    "good",
    [
        placed(),
        placed("node.labels.zone == east", "node.role != manager", spread="node.labels.zone"),
        placed("node.hostname == ALPHA"),
        placed("node.labels.zone != nowhere"),
        placed("node.labels.nothing != x"),
        placed(reserve=Resources(4_000_000_000, 2 * GIB)),
        placed(reserve=Resources(generic=(GenericResource(None, DiscreteGenericResource("gpu", 2)),))),
    ],
)
def test_what_some_node_meets_needs_no_warning(cluster: Requests, good: object) -> None:
    assert service_warnings(cluster.view, spec(task=good)) == ()


@pytest.mark.parametrize(
    ("wish", "warning"),
    [
        (
            placed("rack == 7"),
            "constraint rack == 7: no node can meet it, there is no key rack",
        ),
        (
            placed("zone == east"),
            "constraint zone == east: no node can meet it, there is no key zone; did you mean node.labels.zone?",
        ),
        (
            placed("node.label.zone == east"),
            "constraint node.label.zone == east: no node can meet it, there is no key node.label.zone; "
            "did you mean node.labels.zone?",
        ),
        (
            placed("node.labels.zoen == east"),
            "constraint node.labels.zoen == east: no node has the label node.labels.zoen; did you mean "
            "node.labels.zone?",
        ),
        (
            placed("engine.labels.disc == ssd"),
            "constraint engine.labels.disc == ssd: no node has the label engine.labels.disc; did you mean "
            "engine.labels.disk?",
        ),
        (
            placed("node.labels.zone == easst"),
            "constraint node.labels.zone == easst: no node meets it; did you mean east?; node.labels.zone is east, "
            "west",
        ),
        (
            placed("node.role == manager"),
            "constraint node.role == manager: no node meets it; node.role is worker",
        ),
        (
            placed("node.platform.os == linux"),
            "constraint node.platform.os == linux: no node meets it; node.platform.os is empty everywhere",
        ),
        (
            placed(spread="node.labels.zones"),
            "placement preference spread=node.labels.zones: no node has the label node.labels.zones; did you mean "
            "node.labels.zone?",
        ),
        (
            placed(spread="zone"),
            "placement preference spread=zone: it has no effect, only node.labels.NAME and engine.labels.NAME can be "
            "spread over; did you mean node.labels.zone?",
        ),
        (
            placed(spread="node.hostname"),
            "placement preference spread=node.hostname: it has no effect, only node.labels.NAME and "
            "engine.labels.NAME can be spread over",
        ),
        (
            placed(reserve=Resources(nano_cpus=64_000_000_000)),
            "reservation of 64 CPUs: no node has more than 4",
        ),
        (
            placed(reserve=Resources(memory_bytes=64 * GIB)),
            "reservation of 64GiB memory: no node has more than 8GiB",
        ),
        (
            placed(reserve=Resources(generic=(GenericResource(None, DiscreteGenericResource("gpu", 3)),))),
            "reservation of 3 gpu: no node has more than 2",
        ),
        (
            placed(reserve=Resources(generic=(GenericResource(None, DiscreteGenericResource("gpus", 1)),))),
            "reservation of 1 gpus: no node has more than 0; did you mean gpu?",
        ),
        (
            placed(reserve=Resources(2_000_000_000, 4 * GIB)),
            "reservation: every part of it fits on some node, but no node can hold all of it",
        ),
    ],
)
def test_what_no_node_meets_is_said_with_the_near_match(cluster: Requests, wish: object, warning: str) -> None:
    assert service_warnings(cluster.view, spec(task=wish)) == (warning,)


def test_without_nodes_only_what_can_never_be_is_said(at: Requests) -> None:
    wish = placed("node.labels.zone == a", "nonsense == b", spread="node.labels.zone", reserve=Resources(10**12))
    assert [warning.split(":")[0] for warning in service_warnings(at.view, spec(task=wish))] == [
        "constraint nonsense == b"
    ]


def test_many_values_are_not_all_listed(at: Requests) -> None:
    at.put(*(node(f"n{n}", {"zone": f"z{n}"}) for n in range(9)))
    (warning,) = service_warnings(at.view, spec(task=placed("node.labels.zone == nowhere")))
    assert warning.endswith("node.labels.zone is z0, z1, z2, z3, z4 and 4 others")


@pytest.mark.parametrize(
    ("term", "warnings"),
    [
        ("service!=web domain=zone", ()),
        ("service==self", ()),
        ("node.labels.zone==east else any", ()),
        ("service!=wep", ("affinity service!=wep: there is no service wep; did you mean web?",)),
        (
            "service==self domain=zoen",
            (
                "affinity service==self domain=zoen: no node has the label node.labels.zoen; did you mean "
                "node.labels.zone?",
            ),
        ),
        (
            "service.labels.tear!=a",
            ("affinity service.labels.tear!=a: no service has the label tear; did you mean tier?",),
        ),
        (
            "service.labels.tier!=frnt weight=2",
            (
                "affinity service.labels.tier!=frnt weight=2: no service has tier=frnt; did you mean front?; "
                "tier is front",
            ),
        ),
        (
            "node.labels.zone==east else node.labels.zoen==west",
            (
                "affinity: constraint node.labels.zoen == west: no node has the label node.labels.zoen; did you mean "
                "node.labels.zone?",
            ),
        ),
    ],
)
def test_terms_about_what_is_not_there_are_said_with_the_near_match(
    cluster: Requests, term: str, warnings: tuple[str, ...]
) -> None:
    labels = {"tier": "front", "swarmlab.affinity.1": term}
    wished = spec(labels=labels)
    assert service_warnings(cluster.view, wished) == warnings
