"""Templates in a task's spec, as they are expanded on its node: `{{.Service.Name}}-{{.Task.Slot}}`.

The part of Go's text/template that is of use in a single value: field paths, `index`, `join` and text literals, with
parentheses; `{{- -}}` trim blanks. A payload (a secret or config with templating `golang`) may also use `env`, `secret`
and `config`. Whatever else is there is an error that names it, as is a map key that does not exist.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from swarmlab.api import ExecutorError, Platform, Task
from swarmlab.api.naming import task_name

_ACTION = re.compile(
    r"(?P<left>[ \t\r\n]*\{\{-(?=\s)|\{\{)(?P<body>.*?)(?P<right>(?<=\s)-\}\}[ \t\r\n]*|\}\})", re.DOTALL
)
_WORD = re.compile(
    r"\s*(?:"
    r'(?P<text>"(?:[^"\\]|\\.)*"|`[^`]*`)'
    r"|(?P<path>\.[A-Za-z_][\w.]*)"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<mark>[()])"
    r"|(?P<other>\S))"
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}

Tree = Mapping[str, "str | Tree"]
Functions = Mapping[str, Callable[[str], str]]


class Word(NamedTuple):
    """A word of an action: text, path, name, mark or anything other."""

    kind: str
    text: str


def context(task: Task, hostname: str, platform: Platform) -> Tree:
    """The data of a task's templates."""
    return {
        "Service": {
            "ID": task.service_id,
            "Name": task.service_annotations.name,
            "Labels": dict(task.service_annotations.labels),
        },
        "Node": {
            "ID": task.node_id,
            "Hostname": hostname,
            "Platform": {"OS": platform.os, "Architecture": platform.architecture},
        },
        "Task": {"ID": task.id, "Name": task_name(task), "Slot": str(task.slot or task.node_id)},
    }


def expand(text: str, data: Tree, where: str, functions: Functions | None = None) -> str:
    """`text` with its templates replaced. `where` names the field in errors, which are final `ExecutorError`s."""
    if "{{" not in text:
        return text
    out, end = [], 0
    for action in _ACTION.finditer(text):
        out += [text[end : action.start()], _Expression(action["body"], data, where, functions or {}).value()]
        end = action.end()
    rest = text[end:]
    if "{{" in rest:
        raise ExecutorError(f"{where}: template {text!r}: '{{{{' without '}}}}'")
    return "".join([*out, rest])


class _Expression:
    """One action: a value, or a function and its arguments."""

    def __init__(self, body: str, data: Tree, where: str, functions: Functions) -> None:
        self._body = body
        self._data = data
        self._where = where
        self._functions = functions
        self._words = [Word(match.lastgroup or "", match[match.lastgroup or 0]) for match in _WORD.finditer(body)]
        self._next = 0

    def value(self) -> str:
        """The text of the whole action."""
        value = self._call()
        if self._next < len(self._words):
            raise self._wrong(f"{self._words[self._next].text!r} is not supported here")
        if not isinstance(value, str):
            raise self._wrong("a map, wanted: one of its values")
        return value

    def _call(self) -> "str | Tree":
        word = self._peek()
        if word is None:
            raise self._wrong("nothing in it")
        if word.kind != "name":
            return self._operand()
        self._next += 1
        arguments = []
        while (following := self._peek()) is not None and following != Word("mark", ")"):
            arguments.append(self._operand())
        return self._apply(word.text, arguments)

    def _operand(self) -> "str | Tree":
        word = self._peek()
        if word is None:
            raise self._wrong("an operand is missing")
        self._next += 1
        match word:
            case Word("text", text):
                return text[1:-1] if text[0] == "`" else _ESCAPE.sub(lambda m: _ESCAPES.get(m[1], m[1]), text[1:-1])
            case Word("path", text):
                return self._look_up(text)
            case Word("mark", "("):
                value = self._call()
                if self._peek() != Word("mark", ")"):
                    raise self._wrong("'(' without ')'")
                self._next += 1
                return value
        raise self._wrong(f"{word.text!r} is not supported here")

    def _apply(self, name: str, arguments: "list[str | Tree]") -> "str | Tree":
        if name == "index" and arguments:
            value = arguments[0]
            for key in arguments[1:]:
                value = self._member(value, key if isinstance(key, str) else "", name)
            return value
        texts = [argument for argument in arguments if isinstance(argument, str)]
        if len(texts) != len(arguments):
            raise self._wrong(f"{name} of a map")
        if name == "join" and texts:
            return texts[0].join(texts[1:])
        if name in self._functions and len(texts) == 1:
            return self._functions[name](texts[0])
        known = ", ".join(["index", "join", *sorted(self._functions)])
        raise self._wrong(f"{name} with {len(arguments)} arguments; known are: {known}")

    def _look_up(self, path: str) -> "str | Tree":
        value: str | Tree = self._data
        for key in path[1:].split("."):
            value = self._member(value, key, path)
        return value

    def _member(self, value: "str | Tree", key: str, path: str) -> "str | Tree":
        if isinstance(value, str) or key not in value:
            seen = ", ".join(sorted(value)) if not isinstance(value, str) else "a text"
            raise self._wrong(f"no {key!r} in {path}; there is: {seen or 'nothing'}")
        return value[key]

    def _peek(self) -> Word | None:
        return self._words[self._next] if self._next < len(self._words) else None

    def _wrong(self, why: str) -> ExecutorError:
        return ExecutorError(f"{self._where}: template {{{{{self._body}}}}}: {why}")
