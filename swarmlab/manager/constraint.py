"""Placement expressions: "node.labels.zone == a", "node.role != manager"."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from swarmlab.api import InvalidSpec, Node, Value
from swarmlab.plugin import NODE_KEYS

NODE_LABELS = "node.labels."
ENGINE_LABELS = "engine.labels."
#: Keys that name one attribute of a node; they are matched in any case, unlike the names of labels.
ATTRIBUTES = NODE_KEYS

_KEY = re.compile(r"[a-z_][a-z0-9\-_.]+", re.IGNORECASE | re.ASCII)
_VALUE = re.compile(r"[a-z0-9:\-_\s.*()?+\[\]\\^$|/]+", re.IGNORECASE | re.ASCII)
_OPERATORS = ("==", "!=")


def canonical(key: str) -> str | None:
    """The one spelling of a key: its prefix in lower case, the name of a label as it is; None for an unknown key."""
    low = key.lower()
    if low in ATTRIBUTES:
        return low
    for prefix in (NODE_LABELS, ENGINE_LABELS):
        if low.startswith(prefix) and len(key) > len(prefix):
            return prefix + key[len(prefix) :]
    return None


def attribute(node: Node, key: str) -> str:
    """What a node has under a canonical key, "" where it has nothing."""
    description = node.description
    if key.startswith(NODE_LABELS):
        return node.spec.annotations.labels.get(key[len(NODE_LABELS) :], "")
    if key.startswith(ENGINE_LABELS):
        engine = description.engine if description else None
        return engine.labels.get(key[len(ENGINE_LABELS) :], "") if engine else ""
    platform = description.platform if description else None
    match key:
        case "node.id":
            return node.id
        case "node.hostname":
            return description.hostname if description else ""
        case "node.ip":
            return node.status.addr
        case "node.role":
            return node.role.name.lower()
        case "node.platform.os":
            return platform.os if platform else ""
        case "node.platform.arch":
            return platform.architecture if platform else ""
    return ""


class Constraint(Value, frozen=True):
    """One parsed expression."""

    #: As it was written, without the blanks around it.
    key: str
    #: True for "==".
    equal: bool
    value: str

    def __str__(self) -> str:
        return f"{self.key} {'==' if self.equal else '!='} {self.value}"

    def accepts(self, text: str) -> bool:
        """Whether a node that has `text` under the key will do.

        Whole texts are compared, in any case; no globs. An address may be compared with a network, and a value that is
        neither never matches, whichever the operator.
        """
        if self.key.lower() != "node.ip":
            return (self.value.casefold() == text.casefold()) is self.equal
        try:
            network = ipaddress.ip_network(self.value, strict=False)
        except ValueError:
            return False
        try:
            inside = ipaddress.ip_address(text) in network
        except ValueError:
            inside = False
        return inside is self.equal


class Constraints(Value, frozen=True):
    """Expressions that must all hold."""

    items: tuple[Constraint, ...] = ()

    @classmethod
    def parse(cls, expressions: Iterable[str]) -> "Constraints":
        """Raises InvalidSpec with the place of the first mistake.

        Source: SwarmKit `manager/constraint/constraint.go`; "==" is looked for before "!=".
        """
        return cls(tuple(_parsed(number, text) for number, text in enumerate(expressions, 1)))

    def match(self, node: Node) -> bool:
        """Whether all hold on `node`. An unknown key never holds."""
        for item in self.items:
            key = canonical(item.key)
            if key is None or not item.accepts(attribute(node, key)):
                return False
        return True

    def mask(
        self, n: int, column: Callable[[str], tuple[npt.NDArray[np.int32], Sequence[str]]]
    ) -> npt.NDArray[np.bool_]:
        """Whether all hold, for n nodes at once. `column(canonical key)` gives the code of each node and its texts."""
        held = np.ones(n, np.bool_)
        for item in self.items:
            key = canonical(item.key)
            if key is None:
                return np.zeros(n, np.bool_)
            codes, texts = column(key)
            held &= np.fromiter((item.accepts(text) for text in texts), np.bool_, len(texts))[codes]
        return held


def _parsed(number: int, text: str) -> Constraint:
    def wrong(at: int, what: str) -> InvalidSpec:
        return InvalidSpec(f"constraint {number} {text!r}, character {at + 1}: {what}")

    for operator in _OPERATORS:
        at = text.find(operator)
        if at >= 0:
            break
    else:
        raise wrong(len(text), "expected == or != between a key and a value, found neither")
    left, right = text[:at], text[at + len(operator) :]
    key, value = left.strip(), right.strip()
    key_at = len(left) - len(left.lstrip())
    if not _KEY.fullmatch(key):
        bad = _first_bad(_KEY, key, "ab")
        what = "expected a key such as node.labels.zone, found nothing" if not key else f"the key {key!r} is not valid"
        raise wrong(key_at + bad, what)
    value_at = at + len(operator) + len(right) - len(right.lstrip())
    if not _VALUE.fullmatch(value):
        what = "expected a value, found nothing" if not value else f"the value {value!r} is not valid"
        raise wrong(value_at + _first_bad(_VALUE, value, "a"), what)
    return Constraint(key, operator == "==", value)


def _first_bad(pattern: re.Pattern[str], text: str, tail: str) -> int:
    """The index of the first character after which nothing could match any more; `tail` completes a good beginning."""
    for end in range(1, len(text) + 1):
        if not pattern.fullmatch(text[:end] + tail):
            return end - 1
    return 0
