"""Terms in words: `service!=db domain=rack weight=10`, and the labels that carry them.

    term    = wish { "else" ( wish | "any" ) }
    wish    = subject ( "==" | "!=" ) value { option }
    subject = "service" | "service.labels.KEY" | "node.labels.KEY" | another key of constraints
    option  = "domain=" KEY | "max=" N | "weight=" N | "symmetric=" ( "yes" | "no" )

Blanks part the words; a value with blanks stands in double quotes. docs/affinity.md tells what each means.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from swarmlab.api import InvalidSpec
from swarmlab.plugin.decisions import Term

#: Labels of a service whose values are terms, each under a name of its own: "swarmlab.affinity.NAME".
AFFINITY_LABEL = "swarmlab.affinity."
#: Keys that name one attribute of a node; they are matched in any case, unlike the names of labels.
NODE_KEYS = ("node.id", "node.hostname", "node.ip", "node.role", "node.platform.os", "node.platform.arch")

_SERVICE_LABELS = "service.labels."
_NODE_LABELS = ("node.labels.", "engine.labels.")
_OPTIONS = ("domain", "max", "weight", "symmetric")
_TOKEN = re.compile(r'\s*(?:(?P<text>"[^"]*")|(?P<sign>==|!=|=)|(?P<word>[^\s=!"]+)|(?P<bad>\S))')
_PLAIN = re.compile(r'[^\s=!"]+')


def parse_term(text: str) -> Term:
    """The term that `text` says. Raises InvalidSpec with the place of the first mistake."""
    return _Reader(text).term()


def written(term: Term) -> str:
    """The words that `parse_term` reads as `term`, one form for each term."""
    chain = [term, *term.otherwise]
    words = []
    for number, wish in enumerate(chain):
        words += ["else"] * (number > 0) + _wish_words(wish)
    if not term.hard:
        short = f"{term.weight:g}"
        words.append(f"weight={short if float(short) == term.weight else repr(term.weight)}")
    return " ".join(words)


def affinity_terms(labels: Mapping[str, str]) -> dict[str, Term]:
    """{name: term} of the labels of a service that carry terms, by name. Raises InvalidSpec, naming the label."""
    found = {}
    for label in sorted(labels):
        if label.startswith(AFFINITY_LABEL):
            try:
                found[label.removeprefix(AFFINITY_LABEL)] = parse_term(labels[label])
            except InvalidSpec as error:
                raise InvalidSpec(f"label {label}: {error}") from error
    return found


def affinity_labels(terms: Sequence[str], present: Mapping[str, str]) -> dict[str, str]:
    """Labels for further `terms` beside those `present`: each under the lowest number that is free.

    A term that is there already, in whatever words, is not added again. Raises InvalidSpec.
    """
    known = {written(term) for term in affinity_terms(present).values()}
    found: dict[str, str] = {}
    number = 1
    for text in terms:
        words = written(parse_term(text))
        if words in known:
            continue
        known.add(words)
        while f"{AFFINITY_LABEL}{number}" in present or f"{AFFINITY_LABEL}{number}" in found:
            number += 1
        found[f"{AFFINITY_LABEL}{number}"] = text
    return found


class _Reader:
    """Reads one text, token by token."""

    def __init__(self, text: str) -> None:
        self._text = text
        #: (kind, token, where it begins), the end of the text last.
        self._tokens = [
            (str(found.lastgroup), found[str(found.lastgroup)], found.start(str(found.lastgroup)))
            for found in _TOKEN.finditer(text)
        ]
        self._tokens.append(("end", "", len(text)))
        self._at = 0
        #: {option of the whole term: its value}
        self._shared: dict[str, float] = {}

    def term(self) -> Term:
        """The whole text."""
        chain = [self._wish()]
        while self._peek()[0] != "end":
            _, word, at = self._next()
            if word != "else":
                raise self._wrong(at, f"expected else or an option ({', '.join(_OPTIONS)}), found {word!r}")
            if self._peek()[1] == "any":
                self._next()
                chain.append(Term(avoid=False))
                self._options(chain[-1])
                break
            chain.append(self._wish())
        kind, word, at = self._peek()
        if kind != "end":
            raise self._wrong(at, f"expected the end after any, found {word!r}")
        if "weight" in self._shared:
            chain = [replace(wish, hard=False, weight=self._shared["weight"]) for wish in chain]
        return replace(chain[0], otherwise=tuple(chain[1:]))

    def _wish(self) -> Term:
        kind, subject, at = self._next()
        if kind != "word":
            found = repr(subject) if subject else "nothing"
            raise self._wrong(at, f"expected service, service.labels.KEY or node.labels.KEY, found {found}")
        about = self._subject(subject, at)
        kind, sign, at = self._next()
        if sign not in ("==", "!=") or kind != "sign":
            found = repr(sign) if sign else "nothing"
            raise self._wrong(at, f"expected == or != after {subject}, found {found}")
        kind, value, at = self._next()
        if kind == "text":
            value = value[1:-1]
        if kind not in ("word", "text") or not value:
            found = repr(value) if value else "nothing"
            raise self._wrong(at, f"expected a value after {sign}, found {found}")
        return self._options(self._about(about, sign, value))

    def _subject(self, subject: str, at: int) -> str:
        low = subject.lower()
        if low in ("service", *NODE_KEYS):
            return low
        for prefix in (_SERVICE_LABELS, *_NODE_LABELS):
            if low.startswith(prefix) and len(subject) > len(prefix):
                return prefix + subject[len(prefix) :]
        raise self._wrong(at, f"expected service, service.labels.KEY or node.labels.KEY, found {subject!r}")

    @staticmethod
    def _about(about: str, sign: str, value: str) -> Term:
        avoid = sign == "!="
        if about == "service":
            return Term(service=value, avoid=avoid)
        if about.startswith(_SERVICE_LABELS):
            return Term(label=(about.removeprefix(_SERVICE_LABELS), value), avoid=avoid)
        return Term(node=f"{about} {sign} {value}", avoid=avoid)

    def _options(self, wish: Term) -> Term:
        """The wish with the options that follow it."""
        seen: set[str] = set()
        while self._tokens[self._at][0] == "word" and self._tokens[self._at + 1][1] == "=":
            _, name, at = self._next()
            self._next()
            kind, value, value_at = self._next()
            if kind == "text":
                value = value[1:-1]
            if name not in _OPTIONS:
                raise self._wrong(at, f"there is no option {name!r}; there are {', '.join(_OPTIONS)}")
            if name in seen or name in self._shared:
                raise self._wrong(at, f"{name} is given twice")
            seen.add(name)
            if not wish.is_about_tasks and name != "weight":
                raise self._wrong(at, f"{name} goes with service and service.labels.KEY alone")
            if kind not in ("word", "text") or not value:
                raise self._wrong(
                    value_at, f"expected a value after {name}=, found {repr(value) if value else 'nothing'}"
                )
            wish = self._option(wish, name, value, at, value_at)
        return wish

    def _option(self, wish: Term, name: str, value: str, at: int, value_at: int) -> Term:
        match name:
            case "domain":
                return replace(wish, domain=self._domain(value, value_at))
            case "symmetric":
                if value not in ("yes", "no"):
                    raise self._wrong(value_at, f"symmetric is {value!r}, wanted yes or no")
                return replace(wish, symmetric=value == "yes")
            case "max":
                if not wish.avoid:
                    raise self._wrong(at, "max goes with != alone")
                return replace(wish, most=int(self._number(name, value, value_at, int)))
        self._shared["weight"] = self._number(name, value, value_at, float)
        return wish

    def _domain(self, value: str, at: int) -> str:
        low = value.lower()
        if low == "node" or low in NODE_KEYS:
            return "node.id" if low == "node" else low
        for prefix in _NODE_LABELS:
            if low.startswith(prefix) and len(value) > len(prefix):
                return prefix + value[len(prefix) :]
        if low.startswith(("node.", "engine.")):
            raise self._wrong(at, f"the domain {value!r} is no key; wanted node, a node label such as rack, or a key")
        return f"node.labels.{value}"

    def _number(self, name: str, value: str, at: int, of: type[Any]) -> float:
        try:
            number = of(value)
        except ValueError:
            number = -1
        least = 1 if of is int else 0
        if not math.isfinite(number) or number < least or (of is float and number == 0):
            raise self._wrong(at, f"{name} is {value!r}, wanted a {'whole number >= 1' if of is int else 'number > 0'}")
        return float(number)

    def _peek(self) -> tuple[str, str, int]:
        return self._tokens[self._at]

    def _next(self) -> tuple[str, str, int]:
        token = self._tokens[self._at]
        if token[0] == "bad":
            raise self._wrong(token[2], f"unexpected {token[1]!r}")
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _wrong(self, at: int, what: str) -> InvalidSpec:
        return InvalidSpec(f"affinity {self._text!r}, character {at + 1}: {what}")


def _wish_words(wish: Term) -> list[str]:
    if not wish.is_about_tasks:
        key, sign, value = wish.node.split(" ", 2) if wish.node else ("any", "", "")
        return [f"{key}{sign}{_quoted(value)}" if sign else key]
    sign = "!=" if wish.avoid else "=="
    subject, value = ("service", wish.service) if wish.service else (_SERVICE_LABELS + wish.label[0], wish.label[1])
    words = [f"{subject}{sign}{_quoted(value)}"]
    if wish.domain != "node.id":
        low = wish.domain.lower()
        bare = wish.domain.removeprefix("node.labels.")
        shown = bare if low.startswith("node.labels.") and _is_bare(bare) else wish.domain
        words.append(f"domain={_quoted(shown)}")
    if wish.most:
        words.append(f"max={wish.most}")
    if not wish.symmetric:
        words.append("symmetric=no")
    return words


def _is_bare(name: str) -> bool:
    """A node label that is a domain without the words before it."""
    return name.lower() != "node" and not name.lower().startswith(("node.", "engine."))


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else f'"{value}"'
