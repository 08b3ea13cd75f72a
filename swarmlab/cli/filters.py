"""--filter KEY=VALUE: values of one key are alternatives, keys must all match."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from swarmlab.cli.exits import UsageError, near

T = TypeVar("T")

#: Says whether an object matches one value of a filter.
Match = Callable[[T, str], bool]


def parse_filters(texts: Sequence[str], known: Sequence[str]) -> dict[str, list[str]]:
    """{key: values} of `KEY=VALUE` texts."""
    found: dict[str, list[str]] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign:
            raise UsageError(f"--filter: {text!r}, wanted: KEY=VALUE")
        if key not in known:
            raise UsageError(f"--filter: unknown key {key!r}{near(key, known)}; known are {', '.join(known)}")
        found.setdefault(key, []).append(value)
    return found


def filtered(objects: Sequence[T], texts: Sequence[str], known: Mapping[str, Match[T]]) -> list[T]:
    """The objects that match every key of `texts`, by at least one of its values."""
    wanted = parse_filters(texts, list(known))
    return [
        one for one in objects if all(any(known[key](one, value) for value in values) for key, values in wanted.items())
    ]


def has_label(labels: Mapping[str, str], wanted: str) -> bool:
    """Whether `labels` have the key of `KEY` or `KEY=VALUE`, with that value where one is given."""
    key, sign, value = wanted.partition("=")
    return key in labels and (not sign or labels[key] == value)


def starts(text: str, wanted: str) -> bool:
    """Whether `text` starts with `wanted`, in any case, as docker's name and id filters do."""
    return text.lower().startswith(wanted.lower())
