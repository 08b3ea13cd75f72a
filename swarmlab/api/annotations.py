"""Names, labels and versions: what every object carries."""

from collections.abc import Mapping

from msgspec import field

from swarmlab.api.value import Value


class Version(Value, frozen=True):
    """A version of the store, carried by what was written in it."""

    #: Updates compare and swap on it.
    index: int = 0


class IndexEntry(Value, frozen=True):
    """A pair under which the owner of an object wants to find it."""

    key: str = ""
    val: str = ""


class Annotations(Value, frozen=True):
    """The name and labels that a user gave."""

    #: Unique within the kind where the kind demands it.
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    #: Found by exact value or by prefix.
    indices: tuple[IndexEntry, ...] = ()
