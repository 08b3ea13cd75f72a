"""Variables in stack files: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:?message}`, `${NAME:+other}`, `$$`."""

import re
from collections.abc import Callable, Mapping

_START = re.compile(r"\$(?:(?P<escaped>\$)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<brace>\{))")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")


def interpolate(text: str, variables: Mapping[str, str], unset: Callable[[str], None]) -> str:
    """`text` with its variables filled in; `unset` hears of each that has neither value nor default and becomes empty.

    Raises:
        ValueError: A variable is written wrongly, or its `?` message applies.
    """
    found, end = [], 0
    while match := _START.search(text, end):
        found.append(text[end : match.start()])
        if match["escaped"]:
            found.append("$")
            end = match.end()
        elif match["name"]:
            found.append(_value(match["name"], "", "", variables, unset))
            end = match.end()
        else:
            close = _closing(text, match.end())
            found.append(_braced(text[match.end() : close], variables, unset))
            end = close + 1
    rest = text[end:]
    if "$" in rest:
        raise ValueError(f"{text!r}: a lone $, wanted: $NAME, ${{NAME}}, or $$ for the sign itself")
    return "".join([*found, rest])


def _closing(text: str, start: int) -> int:
    """Place of the brace that closes the one before `start`; braces of variables inside are passed over."""
    depth = 1
    for place in range(start, len(text)):
        if text[place] == "{" and text[place - 1] == "$":
            depth += 1
        elif text[place] == "}":
            depth -= 1
            if depth == 0:
                return place
    raise ValueError(f"{text!r}: ${{ without its closing brace")


def _braced(body: str, variables: Mapping[str, str], unset: Callable[[str], None]) -> str:
    match = _NAME.match(body)
    if match is None:
        raise ValueError(f"'${{{body}}}': no name of a variable after the brace")
    rest = body[match.end() :]
    operator = next((sign for sign in _OPERATORS if rest.startswith(sign)), "")
    if rest and not operator:
        raise ValueError(f"'${{{body}}}', wanted: ${{NAME}}, ${{NAME:-default}} or ${{NAME:?message}}")
    return _value(match[0], operator, rest[len(operator) :], variables, unset)


def _value(name: str, operator: str, word: str, variables: Mapping[str, str], unset: Callable[[str], None]) -> str:
    value = variables.get(name)
    there = value is not None and (bool(value) or not operator.startswith(":"))
    if operator.endswith("+"):
        return interpolate(word, variables, unset) if there else ""
    if there and value is not None:
        return value
    if operator.endswith("-"):
        return interpolate(word, variables, unset)
    if operator.endswith("?"):
        raise ValueError(f"required variable {name} is missing a value{': ' + word if word else ''}")
    unset(name)
    return ""
