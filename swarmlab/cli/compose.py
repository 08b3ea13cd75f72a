"""Stack files: the part of the compose format that says what a swarm runs.

`read_stack` gives plain values and asks nobody; `stack.py` carries them out.
"""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from swarmlab.api import Value
from swarmlab.cli.compose_parts import Volumes, declared_volume, outside_name
from swarmlab.cli.compose_service import STACK_LABEL, Declared, read_service
from swarmlab.cli.document import Document, Section
from swarmlab.cli.exits import Invalid
from swarmlab.cli.service_flags import Request


class FileSource(Value, frozen=True):
    """A secret or config that a stack makes."""

    name: str
    data: bytes
    labels: Mapping[str, str]


class Stack(NamedTuple):
    """What a stack file asks for."""

    name: str
    #: Sorted by name; their secrets and configs are still names.
    services: tuple[Request, ...]
    secrets: tuple[FileSource, ...]
    configs: tuple[FileSource, ...]
    #: Full names of the networks, sorted.
    networks: tuple[str, ...]
    #: FILE:LINE: KEY: what is put up with.
    warnings: tuple[str, ...]


def read_stack(file: str, stack: str, variables: Mapping[str, str] | None = None) -> Stack:
    """The stack in `file` (`-` for standard input), every name with `stack` and `_` in front.

    Raises:
        Invalid: FILE:LINE: KEY: what was seen and what is wanted.
    """
    return parse_stack(_document(file, os.environ if variables is None else variables), stack)


def stack_name(file: str) -> str:
    """The name of a stack that was given none: that of its file, or of the directory of a `compose.yml` or the like."""
    path = Path(file).resolve()
    usual = ("stack", "compose", "docker-compose")
    stem = path.parent.name if path.stem.removesuffix(".docker") in usual or file == "-" else path.stem
    return re.sub(r"[^a-zA-Z0-9]+", "-", stem).strip("-") or "stack"


def _document(file: str, variables: Mapping[str, str]) -> Document:
    if file == "-":
        return Document("standard input", sys.stdin.read(), Path.cwd(), variables)
    path = Path(file)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Invalid(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{file}: not UTF-8: {error.reason} at byte {error.start}") from error
    return Document(file, text, path.resolve().parent, variables)


def parse_stack(document: Document, stack: str) -> Stack:
    """The stack that a document describes."""
    root = document.root()
    for key in ("version", "name"):
        root.get(key)
    if (item := root.get("include")) is not None:
        raise item.wrong("is not read here: write one file")
    networks = _networks(root.within("networks"), stack)
    volumes = _volumes(root.within("volumes"), stack)
    secret_names, secrets = _files(root.within("secrets"), stack)
    config_names, configs = _files(root.within("configs"), stack)
    services = root.within("services")
    if services is None:
        raise root.wrong("services is missing")
    names = {key: f"{stack}_{key}" for key, _ in services.entries()}
    declared = Declared(stack, networks, volumes, secret_names, config_names, names)
    requests = [read_service(item.section(), key, declared) for key, item in services.entries()]
    if not requests:
        raise services.wrong("no service, wanted: at least one")
    root.finish(ignored=("models",))
    return Stack(
        name=stack,
        services=tuple(sorted(requests, key=lambda request: request.spec.annotations.name)),
        secrets=secrets,
        configs=configs,
        networks=tuple(sorted(networks.values())),
        warnings=tuple(document.warnings),
    )


def _networks(section: Section | None, stack: str) -> dict[str, str]:
    found = {}
    if section is not None:
        section.document.warn(section.line, section.key, "recorded; tasks use the network of their node")
    for key, item in section.entries() if section is not None else ():
        name, external = ("", False) if item.is_null else outside_name(item.section(), key)
        found[key] = name or (key if external else f"{stack}_{key}")
    return found


def _volumes(section: Section | None, stack: str) -> Volumes:
    return Volumes(
        {
            key: declared_volume(key, None if item.is_null else item.section(), stack, STACK_LABEL)
            for key, item in (section.entries() if section is not None else ())
        }
    )


def _files(section: Section | None, stack: str) -> tuple[dict[str, str], tuple[FileSource, ...]]:
    """{key: full name} of the secrets or configs, and those that are to be made."""
    names: dict[str, str] = {}
    made: list[FileSource] = []
    for key, item in section.entries() if section is not None else ():
        entry = item.section()
        name, external = outside_name(entry, key)
        labels = entry.labels_at("labels")
        if external:
            names[key] = name or key
        else:
            names[key] = name or f"{stack}_{key}"
            made.append(FileSource(names[key], _data(entry), {**labels, STACK_LABEL: stack}))
        entry.finish(ignored=("driver", "driver_opts", "template_driver"))
    return names, tuple(sorted(made, key=lambda source: source.name))


def _data(entry: Section) -> bytes:
    file, content, variable = entry.get("file"), entry.get("content"), entry.get("environment")
    if file is not None:
        path = Path(entry.document.base, file.text()).expanduser()
        try:
            return path.read_bytes()
        except OSError as error:
            raise file.wrong(f"{path}: {error.strerror}") from error
    if content is not None:
        return content.text().encode()
    if variable is not None:
        name = variable.text()
        if name not in entry.document.variables:
            raise variable.wrong(f"variable {name} is not set")
        return entry.document.variables[name].encode()
    raise entry.wrong("wanted: file, content, environment or external")
