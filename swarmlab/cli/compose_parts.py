"""Parts of a compose service in its short and long forms: ports, volumes, files, the health check."""

from pathlib import Path

from msgspec.structs import replace

from swarmlab.api import (
    BindOptions,
    Driver,
    Duration,
    FileTarget,
    HealthConfig,
    Mount,
    MountConsistency,
    MountType,
    PortConfig,
    Propagation,
    TmpfsOptions,
    VolumeOptions,
)
from swarmlab.cli.document import Item, Section
from swarmlab.cli.exits import UsageError, near
from swarmlab.cli.mounts import bind_source
from swarmlab.cli.ports import number, parse_ports, protocol_of, publish_mode_of
from swarmlab.cli.references import Wanted, file_target

_MOUNT_TYPES = {kind.name.lower(): kind for kind in MountType}
_PROPAGATIONS = {word.name.lower(): word for word in Propagation}
_CONSISTENCIES = {word.name.lower(): word for word in MountConsistency}


def read_ports(section: Section) -> tuple[PortConfig, ...]:
    """`ports`: `8080:80/tcp` or mappings with target, published, protocol, mode, name."""
    found: list[PortConfig] = []
    for item in section.items_at("ports"):
        try:
            found += [_long_port(item.section())] if item.is_mapping else parse_ports("port", item.text())
        except UsageError as error:
            raise item.wrong(str(error)) from error
    return tuple(found)


def _long_port(section: Section) -> PortConfig:
    target = section.text_at("target")
    if not target:
        raise section.wrong("target is missing")
    found = PortConfig(
        name=section.text_at("name"),
        protocol=protocol_of("port", section.text_at("protocol") or "tcp"),
        target_port=number("port", "target", target, least=1),
        published_port=number("port", "published", section.text_at("published") or "0", least=0),
        publish_mode=publish_mode_of("port", section.text_at("mode") or "ingress"),
    )
    section.finish(ignored=("host_ip", "app_protocol"))
    return found


class Volumes:
    """The top-level `volumes` of a stack: {key: (full name, options)}."""

    def __init__(self, known: dict[str, tuple[str, VolumeOptions | None]]) -> None:
        self._known = known

    def resolve(self, item: Item, mount: Mount) -> Mount:
        """`mount` with the full name and the options of its volume; an undeclared one is an error."""
        if mount.type is not MountType.VOLUME or not mount.source:
            return mount
        if mount.source not in self._known:
            raise item.wrong(
                f"volume {mount.source!r} is not under volumes of this file{near(mount.source, sorted(self._known))}"
            )
        name, options = self._known[mount.source]
        if options is not None:
            own = mount.volume_options or VolumeOptions()
            options = replace(options, nocopy=own.nocopy, subpath=own.subpath)
        return replace(mount, source=name, volume_options=options or mount.volume_options)


def read_volumes(section: Section, volumes: Volumes) -> tuple[Mount, ...]:
    """`volumes` (`data:/data:ro` or mappings) and `tmpfs` as mounts."""
    found = []
    for item in section.items_at("volumes"):
        mount = _long_mount(item.section()) if item.is_mapping else _short_mount(item)
        found.append(volumes.resolve(item, mount))
    found += [Mount(type=MountType.TMPFS, target=target) for target in section.texts_at("tmpfs")]
    return tuple(found)


def _short_mount(item: Item) -> Mount:
    """`/target`, `name:/target` or `./path:/target`, with options `:ro,nocopy,rprivate` at the end."""
    text = item.text()
    parts = text.split(":")
    if len(parts) == 1:
        return Mount(type=MountType.VOLUME, target=text)
    if len(parts) > 3 or not parts[0] or not parts[1]:
        raise item.wrong(f"{text!r}, wanted: SOURCE:TARGET:OPTIONS")
    source, target = parts[:2]
    is_path = source[0] in "./~"
    mount = Mount(
        type=MountType.BIND if is_path else MountType.VOLUME,
        source=bind_source(source, item.document.base) if is_path else source,
        target=target,
    )
    for option in parts[2].split(",") if len(parts) == 3 else ():
        mount = _with_option(item, mount, option)
    return mount


def _with_option(item: Item, mount: Mount, option: str) -> Mount:
    if option in ("ro", "rw"):
        return replace(mount, readonly=option == "ro")
    if option == "nocopy" and mount.type is MountType.VOLUME:
        return replace(mount, volume_options=VolumeOptions(nocopy=True))
    if option in _PROPAGATIONS and mount.type is MountType.BIND:
        return replace(mount, bind_options=BindOptions(propagation=_PROPAGATIONS[option]))
    if option in _CONSISTENCIES:
        return replace(mount, consistency=_CONSISTENCIES[option])
    if option in ("z", "Z"):
        item.document.warn(item.line, item.key, f"option {option} (SELinux label) has no meaning in a swarm")
        return mount
    raise item.wrong(f"unknown option {option!r} of a {mount.type.name.lower()} mount")


def _long_mount(section: Section) -> Mount:
    kind = section.word_at("type", _MOUNT_TYPES)
    source, target = section.text_at("source"), section.text_at("target")
    if kind is None or not target:
        raise section.wrong("wanted: type and target")
    if kind is MountType.BIND:
        if not source:
            raise section.wrong("source is missing; a bind mount needs one")
        source = bind_source(source, section.document.base)
    found = Mount(
        type=kind,
        source=source,
        target=target,
        readonly=bool(section.truth_at("read_only")),
        consistency=section.word_at("consistency", _CONSISTENCIES) or MountConsistency.DEFAULT,
        bind_options=_bind(section.within("bind")),
        volume_options=_volume(section.within("volume")),
        tmpfs_options=_tmpfs(section.within("tmpfs")),
    )
    section.finish()
    for name, owner in (("bind", MountType.BIND), ("volume", MountType.VOLUME), ("tmpfs", MountType.TMPFS)):
        if kind is not owner and section.get(name) is not None:
            raise section.wrong(f"{name} does not go with type {kind.name.lower()}")
    return found


def _bind(section: Section | None) -> BindOptions | None:
    if section is None:
        return None
    found = BindOptions(
        propagation=section.word_at("propagation", _PROPAGATIONS) or Propagation.RPRIVATE,
        createmountpoint=bool(section.truth_at("create_host_path")),
    )
    section.finish(ignored=("selinux", "recursive"))
    return found


def _volume(section: Section | None) -> VolumeOptions | None:
    if section is None:
        return None
    found = VolumeOptions(nocopy=bool(section.truth_at("nocopy")), subpath=section.text_at("subpath"))
    section.finish()
    return found


def _tmpfs(section: Section | None) -> TmpfsOptions | None:
    if section is None:
        return None
    found = TmpfsOptions(size_bytes=section.bytes_at("size") or 0, mode=section.count_at("mode") or 0)
    section.finish()
    return found


def declared_volume(key: str, section: Section | None, stack: str, label: str) -> tuple[str, VolumeOptions | None]:
    """Full name and options of one entry of the top-level `volumes`."""
    if section is None:
        return f"{stack}_{key}", VolumeOptions(labels={label: stack})
    name, external = outside_name(section, key)
    driver, options = section.text_at("driver"), section.labels_at("driver_opts")
    labels = section.labels_at("labels")
    section.finish()
    if external:
        return name or key, None
    config = Driver(driver, options) if driver or options else None
    return name or f"{stack}_{key}", VolumeOptions(labels={**labels, label: stack}, driver_config=config)


def outside_name(section: Section, key: str) -> tuple[str, bool]:
    """`name` as written, empty for none, and whether the object is `external`: made by somebody else."""
    name = section.text_at("name")
    item = section.get("external")
    if item is None:
        return name, False
    if not item.is_mapping:
        return name, item.truth()
    old = item.section()
    name = old.text_at("name") or name or key
    old.finish()
    return name, True


def read_files(section: Section, key: str, usual_folder: str, declared: dict[str, str]) -> tuple[Wanted, ...]:
    """`secrets` or `configs` of a service: names, or mappings with source, target, uid, gid, mode."""
    found = []
    for item in section.items_at(key):
        values = {"source": item.text()} if not item.is_mapping else _file_values(item.section())
        source = values.get("source", "")
        if source not in declared:
            raise item.wrong(f"{source!r} is not under {key} of this file{near(source, sorted(declared))}")
        target: FileTarget = file_target(item.key, values, f"{usual_folder}{source}")
        found.append(Wanted(declared[source], target))
    return tuple(found)


def _file_values(section: Section) -> dict[str, str]:
    found = {name: section.text_at(name) for name in ("source", "target", "uid", "gid")}
    mode = section.get("mode")
    if mode is not None:
        found["mode"] = mode.read(_octal)
    section.finish()
    return found


def _octal(text: str) -> str:
    digits = text.removeprefix("0o")
    try:
        int(digits, 8)
    except ValueError:
        raise ValueError(f"{text!r}, wanted: octal digits such as 0444") from None
    return digits


def read_health(section: Section | None) -> HealthConfig | None:
    """`healthcheck`."""
    if section is None:
        return None
    disabled = section.truth_at("disable")
    test = section.get("test")
    words = () if test is None else test.texts() if test.is_list else ("CMD-SHELL", test.text())
    if test is not None and words[:1] not in (("NONE",), ("CMD",), ("CMD-SHELL",)):
        raise test.wrong(f"{list(words)}, wanted: a list that starts with NONE, CMD or CMD-SHELL")
    spans = {name: section.span_at(name) for name in ("interval", "timeout", "start_period", "start_interval")}
    retries = section.count_at("retries") or 0
    section.finish()
    if disabled:
        return HealthConfig(test=("NONE",))
    given = {name: Duration(value) for name, value in spans.items() if value is not None}
    return HealthConfig(test=words, retries=retries, **given)


def environment_files(section: Section) -> list[tuple[Item, Path]]:
    """`env_file`: one path or a list of them, from the directory of the stack file."""
    item = section.get("env_file")
    if item is None:
        return []
    items = item.items() if item.is_list else [item]
    return [(one, Path(one.document.base, one.text()).expanduser()) for one in items]
