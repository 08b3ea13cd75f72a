"""Files that a service takes from secrets and configs: docker's notation, and the references made of it."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from swarmlab.api import Config, ConfigReference, FileTarget, Secret, SecretReference
from swarmlab.cli.exits import Missing, UsageError, near, quoted
from swarmlab.cli.pairs import known_fields

T = TypeVar("T")

_KEYS = ("source", "src", "target", "uid", "gid", "mode")
_MODE = 0o444


class Wanted(NamedTuple):
    """A secret or config by name, and the file it becomes."""

    source: str
    file: FileTarget


def parse_wanted(flag: str, text: str, target: Callable[[str], str]) -> Wanted:
    """`NAME`, or `source=NAME,target=FILE,uid=0,gid=0,mode=0444`; `target` gives the usual file of a name."""
    values = (
        {"source": text} if "=" not in text else {key: value or "" for key, value in known_fields(flag, text, _KEYS)}
    )
    source = values.get("source") or values.get("src") or ""
    if not source:
        raise UsageError(f"{flag}: {text!r}: source=NAME is missing")
    return Wanted(source, file_target(flag, values, target(source)))


def file_target(flag: str, values: Mapping[str, str], usual: str) -> FileTarget:
    """The file of `target`, `uid`, `gid` and octal `mode` in `values`; `usual` is its name where none is given."""
    mode = values.get("mode", "")
    try:
        bits = int(mode, 8) if mode else _MODE
    except ValueError:
        raise UsageError(f"{flag}: mode {mode!r}, wanted: octal digits such as 0444") from None
    return FileTarget(
        name=values.get("target") or usual, uid=values.get("uid") or "0", gid=values.get("gid") or "0", mode=bits
    )


def secret_target(name: str) -> str:
    """Secrets appear under /run/secrets by name."""
    return name


def config_target(name: str) -> str:
    """Configs appear in the root directory by name."""
    return f"/{name}"


def secret_references(wanted: Iterable[Wanted], secrets: Iterable[Secret]) -> tuple[SecretReference, ...]:
    """References to the secrets of those names; an unknown name is `Missing`."""
    known = {secret.spec.annotations.name: secret for secret in secrets}
    return tuple(
        SecretReference(secret_id=_found("secret", known, one.source).id, secret_name=one.source, file=one.file)
        for one in wanted
    )


def config_references(wanted: Iterable[Wanted], configs: Iterable[Config]) -> tuple[ConfigReference, ...]:
    """References to the configs of those names; an unknown name is `Missing`."""
    known = {config.spec.annotations.name: config for config in configs}
    return tuple(
        ConfigReference(config_id=_found("config", known, one.source).id, config_name=one.source, file=one.file)
        for one in wanted
    )


def _found(kind: str, known: Mapping[str, T], name: str) -> T:
    if name not in known:
        raise Missing(f"{kind} not found: {quoted(name)}{near(name, sorted(known))}")
    return known[name]
