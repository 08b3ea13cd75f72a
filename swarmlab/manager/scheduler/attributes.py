"""Texts of nodes as codes, one for each different text."""

from collections.abc import Sequence

import numpy as np

from swarmlab.api import Node
from swarmlab.manager.constraint import attribute
from swarmlab.plugin import Counts

#: Keys that no constraint can name: "os<newline>architecture", "" where unknown; and a line "type<space>name" for each
#: driver, "" where the node told nothing of its engine.
PLATFORM = " platform"
DRIVERS = " drivers"

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def architecture(name: str) -> str:
    """The one name of an architecture that has two."""
    return _ARCHITECTURES.get(name, name)


def text_of(node: Node, key: str) -> str:
    """What the node has under `key`: a canonical key of constraints, PLATFORM or DRIVERS."""
    description = node.description
    if key == PLATFORM:
        platform = description.platform if description is not None else None
        return f"{platform.os}\n{architecture(platform.architecture)}" if platform is not None else ""
    if key == DRIVERS:
        engine = description.engine if description is not None else None
        # The first line tells an engine without drivers from no engine at all.
        return "\n".join(["engine", *(f"{plugin.type} {plugin.name}" for plugin in engine.plugins)]) if engine else ""
    return attribute(node, key)


class Attribute:
    """The text of each row under one key."""

    __slots__ = ("_codes", "_index", "_lent", "_texts")

    def __init__(self, capacity: int) -> None:
        self._codes = np.zeros(capacity, np.int32)
        #: Only grows, so what was lent stays right.
        self._texts: list[str] = [""]
        self._index = {"": 0}
        self._lent = False

    def lend(self) -> tuple[Counts, Sequence[str]]:
        """The code of each row, which will not change, and the text of each code, some perhaps of no row any more."""
        self._lent = True
        return self._codes, self._texts

    def set(self, row: int, text: str) -> None:
        """Give the row that text."""
        code = self._index.get(text)
        if code is None:
            code = self._index[text] = len(self._texts)
            self._texts.append(text)
        if self._codes[row] == code:
            return
        if self._lent:
            self._codes = self._codes.copy()
            self._lent = False
        self._codes[row] = code

    def grow(self, capacity: int) -> None:
        """Make room for more rows."""
        codes = np.zeros(capacity, np.int32)
        codes[: len(self._codes)] = self._codes
        self._codes = codes
        self._lent = False
