"""Mounts: docker's `type=...,source=...,target=...` notation."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from swarmlab.api import (
    BindOptions,
    Driver,
    InvalidSpec,
    Mount,
    MountConsistency,
    MountType,
    Propagation,
    TmpfsOptions,
    VolumeOptions,
    parse_bytes,
)
from swarmlab.cli.exits import UsageError
from swarmlab.cli.pairs import known_fields, labels, truth

T = TypeVar("T")

_TYPES = {kind.name.lower(): kind for kind in MountType}
_CONSISTENCIES = {word.name.lower(): word for word in MountConsistency}
_PROPAGATIONS = {word.name.lower(): word for word in Propagation}
_NAMES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_KEYS = (
    "type",
    "source",
    "target",
    *_NAMES,
    "readonly",
    "consistency",
    "bind-propagation",
    "bind-nonrecursive",
    "bind-recursive",
    "volume-nocopy",
    "volume-label",
    "volume-driver",
    "volume-opt",
    "volume-subpath",
    "tmpfs-size",
    "tmpfs-mode",
)
#: What bind-recursive means: (nonrecursive, readonlynonrecursive, readonlyforcerecursive).
_RECURSIVE = {
    "enabled": (False, False, False),
    "disabled": (True, False, False),
    "writable": (False, True, False),
    "readonly": (False, False, True),
}


class _Fields:
    """The fields of one mount, each read at most once."""

    def __init__(self, flag: str, text: str) -> None:
        self.flag = flag
        self.text = text
        self._values: dict[str, list[str | None]] = {}
        for key, value in known_fields(flag, text, _KEYS):
            self._values.setdefault(_NAMES.get(key, key), []).append(value)

    def one(self, key: str) -> str:
        return (self._values.get(key) or [""])[-1] or ""

    def all(self, key: str) -> list[str]:
        return [value or "" for value in self._values.get(key, ())]

    def truth(self, key: str) -> bool:
        return truth(self.flag, key, self._values[key][-1]) if key in self._values else False

    def given(self, prefix: str) -> str:
        """The first key given that starts so, empty for none."""
        return next((key for key in self._values if key.startswith(prefix)), "")

    def wrong(self, problem: str) -> UsageError:
        return UsageError(f"{self.flag}: {self.text!r}: {problem}")


def parse_mount(flag: str, text: str, base: Path | None = None) -> Mount:
    """The mount that `text` describes; a relative bind source starts at `base`, else at the working directory."""
    given = _Fields(flag, text)
    kind = _word(given, "type", _TYPES, MountType.VOLUME)
    source, target = given.one("source"), given.one("target")
    if not target:
        raise given.wrong("target=PATH is missing")
    for prefix, owner in (("bind-", MountType.BIND), ("volume-", MountType.VOLUME), ("tmpfs-", MountType.TMPFS)):
        if kind is not owner and given.given(prefix):
            raise given.wrong(f"{given.given(prefix)} does not go with type={kind.name.lower()}")
    if kind is MountType.BIND:
        if not source:
            raise given.wrong("source=PATH is missing; a bind mount needs one")
        source = bind_source(source, base or Path.cwd())
    if kind is MountType.TMPFS and source:
        raise given.wrong("a tmpfs has no source")
    return Mount(
        type=kind,
        source=source,
        target=target,
        readonly=given.truth("readonly"),
        consistency=_word(given, "consistency", _CONSISTENCIES, MountConsistency.DEFAULT),
        bind_options=_bind(given),
        volume_options=_volume(given),
        tmpfs_options=_tmpfs(given),
    )


def bind_source(source: str, base: Path) -> str:
    """The absolute path of a bind source: `~` is the home directory, a relative path starts at `base`."""
    path = Path(source).expanduser()
    return str(path if path.is_absolute() else Path(base, path).resolve())


def _word(given: _Fields, key: str, known: dict[str, T], default: T) -> T:
    word = given.one(key).lower()
    if not word:
        return default
    if word not in known:
        raise given.wrong(f"{key} {word!r}, wanted: {', '.join(known)}")
    return known[word]


def _bind(given: _Fields) -> BindOptions | None:
    if not given.given("bind-"):
        return None
    nonrecursive, writable, readonly = _word(given, "bind-recursive", _RECURSIVE, (False, False, False))
    return BindOptions(
        propagation=_word(given, "bind-propagation", _PROPAGATIONS, Propagation.RPRIVATE),
        nonrecursive=nonrecursive or given.truth("bind-nonrecursive"),
        readonlynonrecursive=writable,
        readonlyforcerecursive=readonly,
    )


def _volume(given: _Fields) -> VolumeOptions | None:
    if not given.given("volume-"):
        return None
    driver, options = given.one("volume-driver"), labels(given.flag, given.all("volume-opt"))
    return VolumeOptions(
        nocopy=given.truth("volume-nocopy"),
        labels=labels(given.flag, given.all("volume-label")),
        driver_config=Driver(driver, options) if driver or options else None,
        subpath=given.one("volume-subpath"),
    )


def _tmpfs(given: _Fields) -> TmpfsOptions | None:
    if not given.given("tmpfs-"):
        return None
    size, mode = given.one("tmpfs-size"), given.one("tmpfs-mode")
    try:
        return TmpfsOptions(size_bytes=parse_bytes(size) if size else 0, mode=int(mode, 8) if mode else 0)
    except InvalidSpec as error:
        raise given.wrong(f"tmpfs-size {error}") from error
    except ValueError:
        raise given.wrong(f"tmpfs-mode {mode!r}, wanted: octal digits such as 1770") from None


def with_mounts(mounts: Sequence[Mount], added: Iterable[Mount]) -> tuple[Mount, ...]:
    """`mounts` with `added` ones in place of those of the same target."""
    found = {mount.target: mount for mount in mounts}
    found.update({mount.target: mount for mount in added})
    return tuple(found.values())


def without_mounts(mounts: Sequence[Mount], targets: Iterable[str]) -> tuple[Mount, ...]:
    """`mounts` without those at `targets`."""
    gone = set(targets)
    return tuple(mount for mount in mounts if mount.target not in gone)
