"""Drivers and payloads: names, options and bytes that somebody else understands."""

from collections.abc import Mapping

from msgspec import field

from swarmlab.api.value import Value


class AnyValue(Value, frozen=True):
    """A typed payload that we carry and do not read (`google.protobuf.Any`)."""

    type_url: str = ""
    value: bytes = b""


class Driver(Value, frozen=True):
    """A driver by name, and the options for it."""

    #: Empty: the default one.
    name: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
