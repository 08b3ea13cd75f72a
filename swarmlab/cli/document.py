"""A YAML file as sections whose every value knows its line, so that each mistake is named FILE:LINE: KEY."""

import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import yaml

from swarmlab.api import InvalidSpec, parse_bytes, parse_cpus, parse_duration
from swarmlab.cli.exits import Invalid, near
from swarmlab.cli.interpolation import interpolate
from swarmlab.cli.quantities import count, ratio

T = TypeVar("T")

_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_MERGE_TAG = "tag:yaml.org,2002:merge"
_NULL_TAG = "tag:yaml.org,2002:null"


class Document:
    """One file: its name for messages, the directory that relative paths start at, the variables, and the warnings."""

    def __init__(self, name: str, text: str, base: Path, variables: Mapping[str, str]) -> None:
        self.name = name
        self.base = base
        self.variables = variables
        #: In the order of the file.
        self.warnings: list[str] = []
        try:
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            problem = " ".join(part for part in (error.context, error.problem) if part)
            raise Invalid(f"{name}:{line}: not YAML: {problem}") from error
        except (yaml.YAMLError, UnicodeError) as error:
            raise Invalid(f"{name}: not YAML: {error}") from error

    def root(self) -> "Section":
        """The whole file, which must be a mapping."""
        if self._root is None:
            raise Invalid(f"{self.name}: empty, wanted: a mapping with services")
        return Section(self, self._root, "")

    def problem(self, line: int, key: str, message: str) -> Invalid:
        """An error at a place of the file."""
        return Invalid(f"{self.name}:{line}: {key}: {message}" if key else f"{self.name}:{line}: {message}")

    def warn(self, line: int, key: str, message: str) -> None:
        """Note something that is put up with."""
        self.warnings.append(f"{self.name}:{line}: {key}: {message}")


class Item:
    """One value of the file, of any shape."""

    def __init__(self, document: Document, node: yaml.Node, key: str) -> None:
        self.document = document
        self.node = node
        #: Where it is: `services.web.ports[0]`.
        self.key = key
        self.line = node.start_mark.line + 1

    def wrong(self, message: str) -> Invalid:
        """An error about this value."""
        return self.document.problem(self.line, self.key, message)

    @property
    def is_mapping(self) -> bool:
        """It holds keys and values."""
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        """It holds items."""
        return isinstance(self.node, yaml.SequenceNode)

    @property
    def is_null(self) -> bool:
        """Nothing was written."""
        return isinstance(self.node, yaml.ScalarNode) and self.node.tag == _NULL_TAG

    def shape(self) -> str:
        """What it is, in a word, for messages."""
        if self.is_mapping:
            return "a mapping"
        return "a list" if self.is_list else "nothing" if self.is_null else repr(self.node.value)

    def text(self) -> str:
        """A scalar as it was written, with its variables filled in."""
        if not isinstance(self.node, yaml.ScalarNode) or self.is_null:
            raise self.wrong(f"{self.shape()}, wanted: a text")
        try:
            return interpolate(self.node.value, self.document.variables, self._unset)
        except ValueError as error:
            raise self.wrong(str(error)) from error

    def _unset(self, name: str) -> None:
        self.document.warn(self.line, self.key, f"variable {name} is not set and becomes empty")

    def read(self, of: Callable[[str], T]) -> T:
        """The scalar as `of` reads it; what that raises names this place."""
        text = self.text()
        try:
            return of(text)
        except (ValueError, InvalidSpec) as error:
            raise self.wrong(str(error)) from error

    def truth(self) -> bool:
        """A truth value."""
        return self.read(_truth)

    def section(self) -> "Section":
        """A mapping."""
        return Section(self.document, self.node, self.key)

    def items(self) -> list["Item"]:
        """The items of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wrong(f"{self.shape()}, wanted: a list")
        return [Item(self.document, node, f"{self.key}[{place}]") for place, node in enumerate(self.node.value)]

    def texts(self) -> tuple[str, ...]:
        """A list of scalars, or one scalar alone."""
        return tuple(item.text() for item in self.items()) if self.is_list else (self.text(),)

    def words(self) -> tuple[str, ...]:
        """A list of scalars, or one text parted as a shell does."""
        if self.is_list:
            return tuple(item.text() for item in self.items())
        return self.read(_shell_words)

    def pairs(self) -> dict[str, str | None]:
        """A mapping of scalars, or a list of KEY=VALUE; None where only a key is given."""
        if self.is_list:
            found: dict[str, str | None] = {}
            for item in self.items():
                key, sign, value = item.text().partition("=")
                if not key:
                    raise item.wrong(f"{item.text()!r}, wanted: KEY=VALUE")
                found[key] = value if sign else None
            return found
        if not self.is_mapping:
            raise self.wrong(f"{self.shape()}, wanted: a mapping, or a list of KEY=VALUE")
        return {key: None if item.is_null else item.text() for key, item in self.section().entries()}


class Section(Item):
    """A mapping of the file. Keys that nobody asked for are reported by `finish`."""

    def __init__(self, document: Document, node: yaml.Node, key: str) -> None:
        super().__init__(document, node, key)
        if not isinstance(node, yaml.MappingNode):
            raise self.wrong(f"{self.shape()}, wanted: a mapping")
        self._entries = self._flat(node)
        self._asked: dict[str, None] = {}

    def _flat(self, node: yaml.MappingNode, inside: tuple[yaml.Node, ...] = ()) -> dict[str, tuple[yaml.Node, int]]:
        """{key: (value, line of the key)}; what `<<` merges in comes first and gives way."""
        own: dict[str, tuple[yaml.Node, int]] = {}
        merged: dict[str, tuple[yaml.Node, int]] = {}
        for key_node, value in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE_TAG:
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if not isinstance(source, yaml.MappingNode) or source in (node, *inside):
                        raise self.document.problem(line, self._path("<<"), "wanted: another mapping to merge in")
                    merged = {**self._flat(source, (node, *inside)), **merged}
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.document.problem(line, self.key, "a key must be a text")
            if key_node.value in own:
                raise self.document.problem(line, self._path(key_node.value), "given twice")
            own[key_node.value] = value, line
        return {**merged, **own}

    def _path(self, key: str) -> str:
        return f"{self.key}.{key}" if self.key else key

    def entries(self) -> Iterator[tuple[str, Item]]:
        """Every key with its value, in the order of the file; `x-` extensions are left out."""
        for key, (node, _) in self._entries.items():
            if not key.startswith("x-"):
                yield key, self._item(key, node)

    def _item(self, key: str, node: yaml.Node) -> Item:
        return Item(self.document, node, self._path(key))

    def get(self, key: str) -> Item | None:
        """The value of a key; None where it is absent or nothing was written."""
        self._asked[key] = None
        if key not in self._entries:
            return None
        item = self._item(key, self._entries[key][0])
        return None if item.is_null else item

    def within(self, key: str) -> "Section | None":
        """The mapping under a key."""
        item = self.get(key)
        return item.section() if item is not None else None

    def text_at(self, key: str) -> str:
        """The text under a key, empty where it is absent."""
        item = self.get(key)
        return item.text() if item is not None else ""

    def read_at(self, key: str, of: Callable[[str], T]) -> T | None:
        """The scalar under a key as `of` reads it; None where it is absent."""
        item = self.get(key)
        return item.read(of) if item is not None else None

    def truth_at(self, key: str) -> bool | None:
        """The truth value under a key."""
        return self.read_at(key, _truth)

    def count_at(self, key: str) -> int | None:
        """The whole number under a key."""
        return self.read_at(key, count)

    def ratio_at(self, key: str) -> float | None:
        """The number from 0 to 1 under a key."""
        return self.read_at(key, ratio)

    def span_at(self, key: str) -> int | None:
        """The span under a key, in nanoseconds."""
        return self.read_at(key, parse_duration)

    def bytes_at(self, key: str) -> int | None:
        """The size under a key."""
        return self.read_at(key, parse_bytes)

    def cpus_at(self, key: str) -> int | None:
        """The CPUs under a key, in nano-CPUs."""
        return self.read_at(key, parse_cpus)

    def word_at(self, key: str, known: Mapping[str, T]) -> T | None:
        """What one of the known words under a key stands for."""
        item = self.get(key)
        if item is None:
            return None
        word = item.text()
        if word not in known:
            raise item.wrong(f"{word!r}, wanted: {', '.join(known)}")
        return known[word]

    def texts_at(self, key: str) -> tuple[str, ...]:
        """The texts under a key, none where it is absent."""
        item = self.get(key)
        return item.texts() if item is not None else ()

    def words_at(self, key: str) -> tuple[str, ...]:
        """The words under a key, none where it is absent."""
        item = self.get(key)
        return item.words() if item is not None else ()

    def pairs_at(self, key: str) -> dict[str, str | None]:
        """The pairs under a key, none where it is absent."""
        item = self.get(key)
        return item.pairs() if item is not None else {}

    def labels_at(self, key: str) -> dict[str, str]:
        """The pairs under a key, with empty texts where only a key is given."""
        return {name: value or "" for name, value in self.pairs_at(key).items()}

    def items_at(self, key: str) -> list[Item]:
        """The items of the list under a key, none where it is absent."""
        item = self.get(key)
        return item.items() if item is not None else []

    def finish(self, *, ignored: Collection[str] = ()) -> None:
        """Warn of keys in `ignored`; refuse keys that nobody asked for."""
        for key, (_, line) in self._entries.items():
            if key in self._asked or key.startswith("x-"):
                continue
            path = self._path(key)
            if key not in ignored:
                raise self.document.problem(line, path, f"unknown key{near(key, sorted({*self._asked, *ignored}))}")
            self.document.warn(line, path, "has no meaning in a swarm and is left out")


def _truth(text: str) -> bool:
    if text.lower() not in _TRUTHS:
        raise ValueError(f"{text!r}, wanted: true or false")
    return _TRUTHS[text.lower()]


def _shell_words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from error
