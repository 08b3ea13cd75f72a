"""What secrets and configs have in common: data from a file, tables, filters."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from swarmlab.api import Config, Secret, name_of
from swarmlab.cli.exits import Invalid, UsageError
from swarmlab.cli.filters import filtered, has_label, starts
from swarmlab.cli.output import Column, show, show_documents, show_ids, show_pretty
from swarmlab.cli.quantities import format_age

M = TypeVar("M", Secret, Config)


def read_data(file: str) -> bytes:
    """The bytes of a file, or of standard input for `-`."""
    if file == "-":
        if sys.stdin.isatty():
            raise UsageError("no data: name a file, or pipe the data in")
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise Invalid(f"{file}: {error.strerror}") from error


def _age(instant: int | None) -> str:
    return f"{format_age(time.time_ns() - instant)} ago" if instant is not None else ""


def columns(*, driver: bool) -> tuple[Column[M], ...]:
    """The columns of a list; secrets show their driver."""
    found = [
        Column[M]("ID", lambda one: one.id, id=True),
        Column[M]("NAME", name_of),
        Column[M]("DRIVER", _driver),
        Column[M]("CREATED", lambda one: _age(one.meta.created_at)),
        Column[M]("UPDATED", lambda one: _age(one.meta.updated_at)),
        Column[M]("LABELS", _labels, wide=True),
    ]
    return tuple(column for column in found if driver or column.title != "DRIVER")


def _driver(one: Secret | Config) -> str:
    return one.spec.driver.name if isinstance(one, Secret) and one.spec.driver is not None else ""


def _labels(one: Secret | Config) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(one.spec.annotations.labels.items()))


def show_list(objects: Sequence[M], options: argparse.Namespace, *, driver: bool) -> None:
    """Print a list by name, narrowed by --filter."""
    known = {
        "id": lambda one, value: starts(one.id, value),
        "name": lambda one, value: starts(name_of(one), value),
        "label": lambda one, value: has_label(one.spec.annotations.labels, value),
    }
    kept = sorted(filtered(objects, options.filter, known), key=lambda one: (name_of(one), one.id))
    if options.quiet:
        show_ids(one.id for one in kept)
    else:
        show(kept, columns(driver=driver), output=options.output, name=name_of, whole=bool(options.no_trunc))


def show_whole(objects: Sequence[Secret | Config], options: argparse.Namespace) -> None:
    """Print objects in full."""
    if options.output == "name":
        show_ids(name_of(one) for one in objects)
    elif options.pretty or options.output in ("table", "wide"):
        show_pretty([(name_of(one), one) for one in objects])
    else:
        show_documents(objects, options.output)
