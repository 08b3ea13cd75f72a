"""The codec between values and the messages of the wire: one rule for every kind of field, none for single messages.

Fields are matched by name. What the wire leaves out is the field's default here, and the other way round:

* a field of the type `X | None` is absent when it is None, present otherwise, even with nothing in it;
* a field that holds a value of a class by default is embedded: absent and empty mean the same;
* members of a oneof are fields of their own of which at most one is not None;
* points in time and spans are integer nanoseconds, wrapped numbers are plain;
* unknown fields are dropped, unknown numbers of an enum are kept.

Values that the wire cannot carry and bytes that hold no message are `InvalidSpec`. A 32-bit float comes back as the
shortest decimal that means the same, so that what was written equals what is read.

For each pair of a class and a descriptor a reader and a writer are composed once, as source text that is compiled, in
the way of `dataclasses`: on the wire's hot path a table that is walked for each field takes twice the time.
"""

from collections.abc import Callable
from functools import cache
from typing import Generic, TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from swarmlab.api.composer import Read, Write, compose
from swarmlab.api.drivers import AnyValue
from swarmlab.api.errors import InvalidSpec
from swarmlab.api.proto import (
    ca_pb2,
    control_pb2,
    daemon_pb2,
    dispatcher_pb2,
    health_pb2,
    lab_pb2,
    logbroker_pb2,
    objects_pb2,
    resource_pb2,
    specs_pb2,
    types_pb2,
    watch_pb2,
)
from swarmlab.api.value import Value

V = TypeVar("V", bound=Value)

_FILES = (
    ca_pb2,
    control_pb2,
    daemon_pb2,
    dispatcher_pb2,
    health_pb2,
    lab_pb2,
    logbroker_pb2,
    objects_pb2,
    resource_pb2,
    specs_pb2,
    types_pb2,
    watch_pb2,
)
#: {class: message} where the message lies within another one; all other classes are named like their message.
NESTED = {
    "AppArmorOpts": "Privileges.AppArmorOpts",
    "BindOptions": "Mount.BindOptions",
    "BlockVolume": "VolumeAccessMode.BlockVolume",
    "CredentialSpec": "Privileges.CredentialSpec",
    "DNSConfig": "ContainerSpec.DNSConfig",
    "MountVolume": "VolumeAccessMode.MountVolume",
    "PullOptions": "ContainerSpec.PullOptions",
    "RoleAdmissionPolicy": "AcceptancePolicy.RoleAdmissionPolicy",
    "RoleAdmissionSecret": "AcceptancePolicy.RoleAdmissionPolicy.Secret",
    "SELinuxContext": "Privileges.SELinuxContext",
    "SeccompOpts": "Privileges.SeccompOpts",
    "ServiceStatus": "ListServiceStatusesResponse.ServiceStatus",
    "TaskStatusUpdate": "UpdateTaskStatusRequest.TaskStatusUpdate",
    "TmpfsOptions": "Mount.TmpfsOptions",
    "Ulimit": "ContainerSpec.Ulimit",
    "VirtualIP": "Endpoint.VirtualIP",
    "VolumeOptions": "Mount.VolumeOptions",
    "VolumeStatusUpdate": "UpdateVolumeStatusRequest.VolumeStatusUpdate",
    "WatchEntry": "WatchRequest.WatchEntry",
}


class Codec(Generic[V]):
    """Both directions between a class and a message."""

    def __init__(self, cls: type[V], descriptor: Descriptor) -> None:
        self.cls = cls
        self.message = GetMessageClass(descriptor)
        #: Fills the fields of an empty message.
        self.write: Callable[[V, Message], None]
        self.read: Callable[[Message], V]
        self.write, self.read = compose(cls, descriptor, _link)


@cache
def codec(cls: type[V], descriptor: Descriptor | None = None) -> Codec[V]:
    """The codec of a class, with the message of its name unless another is given.

    Raises:
        TypeError: Class and message do not have the same fields. That is a fault of this program.
    """
    return Codec(cls, descriptor or _descriptor(cls))


def encode(value: Value) -> Message:
    """The message of `value`.

    Raises:
        InvalidSpec: It does not fit the wire: a number that is negative or too large, a text that is not Unicode, two
            members of a oneof.
    """
    message = codec(type(value)).message()
    fill(message, value)
    return message


def fill(message: Message, value: Value) -> None:
    """Put `value` into an empty message, which may be a field of another one and is present afterwards.

    Raises:
        InvalidSpec: As `encode`.
    """
    message.SetInParent()
    try:
        codec(type(value), message.DESCRIPTOR).write(value, message)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidSpec(f"{type(value).__name__} cannot be sent: {error}") from error


def decode(cls: type[V], message: Message) -> V:
    """The value that `message` holds."""
    value: V = codec(cls, message.DESCRIPTOR).read(message)
    return value


def to_bytes(value: Value) -> bytes:
    """`value` as it goes over the wire."""
    return encode(value).SerializeToString()


def from_bytes(cls: type[V], data: bytes) -> V:
    """The value in `data`.

    Raises:
        InvalidSpec: They are not the bytes of such a message.
    """
    made = codec(cls)
    try:
        message = made.message.FromString(data)
    except DecodeError as error:
        raise InvalidSpec(
            f"{len(data)} bytes, wanted: a message {made.message.DESCRIPTOR.full_name} ({error})"
        ) from error
    value: V = made.read(message)
    return value


def _link(cls: type[Value], descriptor: Descriptor) -> tuple[Write, Read]:
    made = codec(cls, descriptor)
    return made.write, made.read


def _descriptor(cls: type[Value]) -> Descriptor:
    if cls is AnyValue:
        return AnyMessage.DESCRIPTOR
    first, *rest = NESTED.get(cls.__name__, cls.__name__).split(".")
    for file in _FILES:
        descriptor = file.DESCRIPTOR.message_types_by_name.get(first)
        if descriptor is not None:
            for name in rest:
                descriptor = descriptor.nested_types_by_name[name]
            return descriptor  # type: ignore[no-any-return]  # generated modules are not typed
    raise TypeError(f"no message is named like the class {cls.__name__}")
