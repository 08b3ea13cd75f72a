"""Generic resources: what nodes report, what tasks hold, and which units the next task gets."""

from collections.abc import Iterable, Mapping, Sequence

from swarmlab.api import DiscreteGenericResource, GenericResource, NamedGenericResource, Node, Value

#: Under this name lie the units that are counted, not named.
COUNTED = ""

#: {name of a unit: how often it is held}; counted units under COUNTED.
Held = Mapping[str, int]


class Stock(Value, frozen=True):
    """What one node reports of one kind: a number, or names, never both."""

    amount: int = 0
    names: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Units in all."""
        return len(self.names) if self.names else self.amount

    def free(self, held: Held) -> int:
        """Units that nobody holds; may be negative.

        Held units that the node no longer reports by name are held by nobody's loss. Those held in the other form, as
        after a change of the report, count one for one.
        """
        if not self.names:
            return self.amount - sum(held.values())
        return sum(name not in held for name in self.names) - held.get(COUNTED, 0)

    def claim(self, kind: str, need: int, held: Held) -> tuple[GenericResource, ...] | None:
        """`need` units for one task, the first free ones; None where there are not so many. Never a part of them."""
        if self.free(held) < need:
            return None
        if not self.names:
            return (GenericResource(discrete_resource_spec=DiscreteGenericResource(kind, need)),)
        free = [name for name in self.names if name not in held][:need]
        return tuple(GenericResource(named_resource_spec=NamedGenericResource(kind, name)) for name in free)


def stocks(node: Node) -> dict[str, Stock]:
    """{kind: what the node reports}, by kind; names in the order of the report, each once."""
    resources = node.description.resources if node.description is not None else None
    amounts: dict[str, int] = {}
    names: dict[str, dict[str, None]] = {}
    for item in resources.generic if resources is not None else ():
        if item.discrete_resource_spec is not None:
            counted = item.discrete_resource_spec
            amounts[counted.kind] = amounts.get(counted.kind, 0) + counted.value
        elif item.named_resource_spec is not None:
            named = item.named_resource_spec
            names.setdefault(named.kind, {})[named.value] = None
    return {
        kind: Stock(amounts.get(kind, 0), tuple(names.get(kind, ()))) for kind in sorted(amounts.keys() | names.keys())
    }


def holdings(assigned: Iterable[GenericResource]) -> dict[str, dict[str, int]]:
    """{kind: {name: times}} of the units that a task was given."""
    found: dict[str, dict[str, int]] = {}
    for item in assigned:
        if item.discrete_resource_spec is not None:
            counted = item.discrete_resource_spec
            held = found.setdefault(counted.kind, {})
            held[COUNTED] = held.get(COUNTED, 0) + counted.value
        elif item.named_resource_spec is not None:
            held = found.setdefault(item.named_resource_spec.kind, {})
            held[item.named_resource_spec.value] = held.get(item.named_resource_spec.value, 0) + 1
    return found


def joined(first: Held, second: Held) -> dict[str, int]:
    """What both hold."""
    total = dict(first)
    for name, count in second.items():
        total[name] = total.get(name, 0) + count
    return total


def claims(
    needs: Mapping[str, int], reported: Mapping[str, Stock], held: Mapping[str, Held]
) -> Sequence[GenericResource] | None:
    """Units for one task of `needs`, {kind: units}; None where any kind has too few."""
    found: list[GenericResource] = []
    for kind in sorted(needs):
        units = reported.get(kind, Stock()).claim(kind, needs[kind], held.get(kind, {}))
        if units is None:
            return None
        found += units
    return found
