"""What a list is narrowed by."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from swarmlab.api import Filters, StoreObject

T = TypeVar("T", bound=StoreObject)


EVERYTHING = Filters()


def named(name: str, filters: Filters) -> bool:
    """Whether a name is among the wanted ones and starts as wanted."""
    low = name.lower()
    if filters.names and low not in {wanted.lower() for wanted in filters.names}:
        return False
    return not filters.name_prefixes or low.startswith(tuple(prefix.lower() for prefix in filters.name_prefixes))


def labelled(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether `labels` hold every wanted key, with its value where that is not empty."""
    return all(key in labels and value in ("", labels[key]) for key, value in wanted.items())


def among(value: object, wanted: Sequence[object]) -> bool:
    """Whether `value` is one of the wanted, or any will do."""
    return not wanted or value in wanted


def narrowed(
    objects: Iterable[T],
    filters: Filters,
    *,
    name: Callable[[T], str],
    labels: Callable[[T], Mapping[str, str]],
    also: Callable[[T], bool] = lambda _: True,
) -> tuple[T, ...]:
    """The objects that match, sorted by id.

    Args:
        objects: Candidates, in any order, each once.
        filters: What they must match.
        name: Gives an object's name.
        labels: Gives an object's labels.
        also: What else an object must match, where a kind has filters of its own.
    """
    kept = (
        candidate
        for candidate in objects
        if (not filters.id_prefixes or candidate.id.startswith(filters.id_prefixes))
        and (not filters.labels or labelled(labels(candidate), filters.labels))
        and ((not filters.names and not filters.name_prefixes) or named(name(candidate), filters))
        and also(candidate)
    )
    return tuple(sorted(kept, key=lambda found: found.id))
