"""How a task learns which generic resources it was given."""

from collections.abc import Sequence

from swarmlab.api import GenericResource


def resource_environment(assigned: Sequence[GenericResource]) -> dict[str, str]:
    """`DOCKER_RESOURCE_<KIND>`: the names of the units, comma-separated and sorted, or the amount."""
    named: dict[str, list[str]] = {}
    counted: dict[str, int] = {}
    for one in assigned:
        if one.named_resource_spec is not None:
            named.setdefault(one.named_resource_spec.kind, []).append(one.named_resource_spec.value)
        elif one.discrete_resource_spec is not None:
            kind = one.discrete_resource_spec.kind
            counted[kind] = counted.get(kind, 0) + one.discrete_resource_spec.value
    values = {kind: str(count) for kind, count in counted.items()} | {
        kind: ",".join(sorted(units)) for kind, units in named.items()
    }
    return {f"DOCKER_RESOURCE_{kind.upper()}": values[kind] for kind in sorted(values)}
