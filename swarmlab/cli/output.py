"""Answers on standard output: tables for people, JSON and YAML for programs, names for scripts.

Objects keep the field names of the object model. Words of an enum are in lower case, instants are RFC 3339 with nine
digits, spans are integer nanoseconds, bytes are base64. Absent fields and empty texts, lists and maps are left out;
numbers, truth values and words are always there.
"""

import base64
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar, get_args, get_type_hints

import msgspec

from swarmlab.api import Instant

T = TypeVar("T")


class Column(NamedTuple, Generic[T]):
    """One column of a table."""

    title: str
    text: Callable[[T], str]
    #: Shown with `-o wide` alone.
    wide: bool = False
    #: An id: 12 characters of it on a terminal.
    id: bool = False
    #: May be folded over lines on a terminal.
    fold: bool = False
    #: Style for a cell's text, where it has one.
    style: Callable[[str], str] | None = None


def on_terminal() -> bool:
    """True where standard output is a terminal."""
    return sys.stdout.isatty()


def show(
    rows: Sequence[T],
    columns: Sequence[Column[T]],
    *,
    output: str,
    name: Callable[[T], str],
    document: Callable[[T], object] = lambda row: row,
    whole: bool = False,
) -> None:
    """Print `rows` in the format `output`; `document` is what JSON and YAML show of a row, `whole` keeps ids long."""
    if output == "name":
        _lines(name(row) for row in rows)
    elif output in ("table", "wide"):
        _table(rows, [column for column in columns if output == "wide" or not column.wide], whole=whole)
    else:
        show_documents([document(row) for row in rows], output)


def show_documents(documents: Sequence[object], output: str) -> None:
    """Print values as `json` (one list), `jsonl` (one a line) or `yaml` (one list)."""
    if output == "jsonl":
        for document in documents:
            _dump(plain(document), output)
    else:
        _dump([plain(document) for document in documents], output)


def show_value(value: object, output: str) -> None:
    """Print one value as `json`, `jsonl` or `yaml`."""
    _dump(plain(value), output)


def _dump(document: object, output: str) -> None:
    if output == "yaml":
        import yaml

        print(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=False), end="")
    else:
        print(json.dumps(document, ensure_ascii=False, indent=None if output == "jsonl" else 2))


def show_ids(ids: Iterable[str]) -> None:
    """Print ids, one a line."""
    _lines(ids)


def _lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def _table(rows: Sequence[T], columns: Sequence[Column[T]], *, whole: bool) -> None:
    if on_terminal():
        _rich_table(rows, columns, whole=whole)
        return
    cells = [[column.title for column in columns], *([column.text(row) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("   ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def _rich_table(rows: Sequence[T], columns: Sequence[Column[T]], *, whole: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(
            column.title, no_wrap=not (column.fold or whole), overflow="fold" if whole or column.fold else "ellipsis"
        )
    for row in rows:
        cells = []
        for column in columns:
            text = column.text(row)
            shown = text[:12] if column.id and not whole else text
            cells.append(Text(shown, style=column.style(text) if column.style else ""))
        table.add_row(*cells)
    Console(highlight=False).print(table)


def plain(value: object) -> Any:
    """`value` as JSON types, by the rules at the head of this module."""
    if isinstance(value, msgspec.Struct):
        return {
            wire: shown
            for field, wire, convert in _fields(type(value))
            if _present(shown := convert(getattr(value, field)))
        }
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def _present(shown: object) -> bool:
    """False for what is left out. An empty struct stays: that it is there says something."""
    return shown is not None and shown != "" and shown != []


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, str, Callable[[object], Any]], ...]:
    hints = get_type_hints(kind)
    return tuple(
        (field, wire, _instant if _is_instant(hints[field]) else _mapping_or_plain(hints[field]))
        for field, wire in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)
    )


def _is_instant(hint: object) -> bool:
    return hint is Instant or Instant in get_args(hint)


def _mapping_or_plain(hint: object) -> Callable[[object], Any]:
    """`plain`; a map is sorted, and an empty one is None: it is left out, unlike an empty struct."""
    return _sorted_map if getattr(hint, "__origin__", None) is Mapping else plain


def _sorted_map(value: object) -> Any:
    assert isinstance(value, Mapping), "the field is declared as a mapping"
    return {key: plain(value[key]) for key in sorted(value)} or None


def _instant(value: object) -> str | None:
    return format_instant(value) if isinstance(value, int) else None


def format_instant(instant: int) -> str:
    """RFC 3339 in UTC with nine digits: `2026-01-31T12:00:00.000000000Z`."""
    whole, nanoseconds = divmod(instant, 1_000_000_000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


def state_style(text: str) -> str:
    """Colour of a state's word."""
    word = text.split(" ")[0].lower()
    return {
        "ready": "green",
        "running": "green",
        "complete": "cyan",
        "active": "",
        "down": "red",
        "failed": "red",
        "rejected": "red",
        "orphaned": "red",
        "drain": "yellow",
        "pause": "yellow",
        "pending": "yellow",
        "shutdown": "dim",
        "remove": "dim",
    }.get(word, "")


def show_pretty(objects: Sequence[tuple[str, object]]) -> None:
    """Print objects for people: a heading with the name, then fields as YAML without its quotes and braces."""
    import yaml

    for place, (name, value) in enumerate(objects):
        if place:
            print()
        print(f"{name}:")
        text = yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True)
        for line in text.splitlines():
            print(f"  {line}")
