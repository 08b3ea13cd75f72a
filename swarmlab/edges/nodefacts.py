"""What an executor is told of its node; it finds out the rest."""

from collections.abc import Mapping

from msgspec import field

from swarmlab.api import GenericResource, NodeId, Resources, Value


class NodeFacts(Value, frozen=True, kw_only=True):
    """Who the node is, and what its owner says of it."""

    node_id: NodeId
    #: Name of its cluster, for what must be told apart on a machine that several clusters share.
    cluster: str
    hostname: str
    #: Engine labels (`engine.labels.*` in constraints).
    labels: Mapping[str, str] = field(default_factory=dict)
    #: In place of what the machine has, as for several nodes on one machine; zero parts mean the machine's own.
    resources: Resources | None = None
    #: What the owner invented.
    generic: tuple[GenericResource, ...] = ()


def declared_resources(facts: NodeFacts, nano_cpus: int, memory_bytes: int) -> Resources:
    """What the node offers, on a machine that has so much."""
    wanted = facts.resources or Resources()
    return Resources(
        nano_cpus=wanted.nano_cpus or nano_cpus,
        memory_bytes=wanted.memory_bytes or memory_bytes,
        generic=wanted.generic or facts.generic,
    )
