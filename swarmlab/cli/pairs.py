"""Texts of the form KEY=VALUE: environment, labels, options, and comma-separated fields."""

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from swarmlab.cli.exits import Invalid, UsageError, near


def key_of(text: str) -> str:
    """What stands before the first `=`."""
    return text.partition("=")[0]


def labels(flag: str, texts: Iterable[str]) -> dict[str, str]:
    """{key: value} of `KEY=VALUE` texts; a key alone has the empty value. Later ones win."""
    found = {}
    for text in texts:
        key, _, value = text.partition("=")
        if not key:
            raise UsageError(f"{flag}: {text!r}, wanted: KEY=VALUE")
        found[key] = value
    return found


def environment(flag: str, texts: Iterable[str]) -> tuple[str, ...]:
    """`NAME=VALUE` texts, the last of each name; a name alone takes its value from this process, or is left out."""
    found: dict[str, str] = {}
    for text in texts:
        name, sign, _ = text.partition("=")
        if not name:
            raise UsageError(f"{flag}: {text!r}, wanted: NAME=VALUE, or NAME to take it from this environment")
        if sign:
            found[name] = text
        elif name in os.environ:
            found[name] = f"{name}={os.environ[name]}"
    return tuple(found.values())


def environment_file(path: Path) -> list[str]:
    """The lines of an environment file that are neither empty nor comments; `NAME=VALUE` or `NAME`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from error
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.lstrip()
        if not stripped or stripped.startswith("#"):
            continue
        name = key_of(stripped)
        if not name or any(character.isspace() for character in name):
            raise Invalid(f"{path}:{number}: {line!r}, wanted: NAME=VALUE; a name has no blanks")
        found.append(stripped)
    return found


def fields(flag: str, text: str) -> list[tuple[str, str | None]]:
    """The comma-separated fields of `text` in order: (key in lower case, value or None). Double quotes keep commas."""
    rows = list(csv.reader([text]))
    if len(rows) != 1 or not rows[0]:
        raise UsageError(f"{flag}: {text!r}, wanted: KEY=VALUE,KEY=VALUE")
    found = []
    for field in rows[0]:
        key, sign, value = field.strip().partition("=")
        found.append((key.strip().lower(), value if sign else None))
    return found


def known_fields(flag: str, text: str, known: Sequence[str]) -> list[tuple[str, str | None]]:
    """`fields`, with keys that are not `known` refused."""
    found = fields(flag, text)
    for key, _ in found:
        if key not in known:
            raise UsageError(f"{flag}: {text!r}: unknown key {key!r}{near(key, known)}")
    return found


def truth(flag: str, key: str, value: str | None) -> bool:
    """The truth value of a field; a key alone is true."""
    words = {None: True, "true": True, "1": True, "false": False, "0": False}
    if value not in words:
        raise UsageError(f"{flag}: {key}={value}, wanted: {key}=true or {key}=false")
    return words[value]


def without(items: Iterable[str], keys: Iterable[str]) -> tuple[str, ...]:
    """The `KEY=VALUE` texts (or plain words) whose key is not among `keys`."""
    gone = set(keys)
    return tuple(item for item in items if key_of(item) not in gone)


def merged(items: Iterable[str], added: Iterable[str]) -> tuple[str, ...]:
    """`items` with `added` ones in place of those of the same key, new ones at the end."""
    found = {key_of(item): item for item in items}
    found.update({key_of(item): item for item in added})
    return tuple(found.values())


def unique(items: Iterable[str]) -> tuple[str, ...]:
    """`items` without repetitions, in order."""
    return tuple(dict.fromkeys(items))


def less(items: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    """`items` without `keys`."""
    gone = set(keys)
    return {key: value for key, value in items.items() if key not in gone}
