"""Values over the wire and back: every class, golden bytes, and what the other side may do to us."""

import inspect

import msgspec
import pytest
from google.protobuf import timestamp_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.inspect import DictType, EnumType, StructType, UnionType, VarTupleType, type_info

import swarmlab.api as api
from swarmlab.api import (
    Annotations,
    Assignment,
    AssignmentAction,
    AssignmentChange,
    AssignmentsMessage,
    AssignmentsType,
    ConfigReference,
    ContainerSpec,
    Duration,
    FileTarget,
    GlobalService,
    HeartbeatResponse,
    Instant,
    InvalidSpec,
    Meta,
    Node,
    NodeSpec,
    NodeState,
    NodeStatus,
    Peer,
    PullOptions,
    ReplicatedService,
    ResourceRequirements,
    RestartPolicy,
    RuntimeTarget,
    ServiceSpec,
    SessionMessage,
    Task,
    TaskId,
    TaskState,
    TaskStatus,
    UpdateConfig,
    Value,
    Version,
    WeightedPeer,
)
from swarmlab.api.composer import _shortest
from swarmlab.api.proto import (
    control_pb2,
    daemon_pb2,
    dispatcher_pb2,
    logbroker_pb2,
    objects_pb2,
    specs_pb2,
    types_pb2,
    watch_pb2,
)
from swarmlab.api.wire import codec, decode, encode, from_bytes, to_bytes

#: Values that stay on one side of the wire.
LOCAL = {
    "Change",
    "Changes",
    "Create",
    "Delete",
    "Filters",
    "Guarded",
    "JoinToken",
    "Refused",
    "SigningRoot",
    "Update",
    "Value",
    "WatchEvent",
    "WatchMessage",
}
CLASSES = sorted(
    (
        cls
        for name in api.__all__
        if inspect.isclass(cls := getattr(api, name)) and issubclass(cls, Value) and name not in LOCAL
    ),
    key=lambda cls: cls.__name__,
)
RANGES = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
MOMENTS = st.integers(-(2**63), 2**63 - 1)


def values_of(cls, descriptor):
    """Anything that the class may hold and the wire carries."""
    fields = {field.encode_name: field for field in type_info(cls).fields}
    groups = [[member.name for member in oneof.fields] for oneof in descriptor.oneofs]

    @st.composite
    def build(draw):
        skipped = set()
        for group in groups:
            chosen = draw(st.sampled_from([None, *group]))
            skipped |= set(group) - {chosen}
        chosen = {
            field.name: draw(field_values(field, descriptor.fields_by_name[name]))
            for name, field in fields.items()
            if name not in skipped and (field.required or draw(st.booleans()))
        }
        return cls(**chosen)

    return build()


def field_values(field, wire):
    if isinstance(field.type, DictType):
        value = wire.message_type.fields_by_name["value"]
        return st.dictionaries(TEXTS, single_values(field.type.value_type, value), max_size=3)
    if isinstance(field.type, VarTupleType):
        return st.lists(single_values(field.type.item_type, wire), max_size=3).map(tuple)
    return single_values(field.type, wire)


def single_values(kind, wire):
    if isinstance(kind, UnionType):
        (inner,) = [part for part in kind.types if not isinstance(part, msgspec.inspect.NoneType)]
        return single_values(inner, wire)
    if isinstance(kind, StructType):
        return values_of(kind.cls, wire.message_type)
    if isinstance(kind, EnumType):
        return st.one_of(st.sampled_from(list(kind.cls)), st.integers(-(2**31), 2**31 - 1).map(kind.cls))
    if wire.message_type is not None:
        name = wire.message_type.name
        return st.booleans() if name == "BoolValue" else MOMENTS
    match wire.type:
        case FieldDescriptor.TYPE_BOOL:
            return st.booleans()
        case FieldDescriptor.TYPE_STRING:
            return TEXTS
        case FieldDescriptor.TYPE_BYTES:
            return st.binary(max_size=8)
        case FieldDescriptor.TYPE_FLOAT:
            return st.floats(width=32, allow_nan=False).map(_shortest)
        case FieldDescriptor.TYPE_DOUBLE:
            return st.floats(allow_nan=False)
        case number:
            return st.integers(*RANGES[number])


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_class_survives_the_wire(cls):
    """What is read equals what was written: all kinds of fields, unknown enum numbers, every member of every oneof."""

    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(values_of(cls, codec(cls).message.DESCRIPTOR))
    def survives(value):
        assert decode(cls, encode(value)) == value
        assert from_bytes(cls, to_bytes(value)) == value

    survives()


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_nothing_at_all_is_all_defaults(cls):
    """An empty message is the class with its defaults, and the other way round."""
    required = [field for field in type_info(cls).fields if field.required]
    if not required:
        assert from_bytes(cls, b"") == cls()
        assert to_bytes(cls()) == b""
    else:
        assert to_bytes(from_bytes(cls, b"")) == b""


GOLDEN = [
    (HeartbeatResponse(Duration(5_000_000_000)), "0a 02 08 05"),
    (HeartbeatResponse(Duration(-1_500_000_000)), "0a 16 08 ffffffffffffffffff01 10 80b6ca91feffffffff01"),
    (
        SessionMessage(
            session_id="s",
            node=Node(id="n", spec=NodeSpec(annotations=Annotations("a"))),
            managers=(WeightedPeer(Peer("m", "h:1"), 10),),
            RootCA=b"\xff",
        ),
        "0a 01 73  12 0a 0a 01 6e 1a 05 0a 03 0a 01 61  1a 0c 0a 08 0a 01 6d 12 03 68 3a 31 10 0a  2a 01 ff",
    ),
    (
        AssignmentsMessage(
            type=AssignmentsType.INCREMENTAL,
            applies_to="1",
            results_in="2",
            changes=(AssignmentChange(Assignment(task=Task(id=TaskId("t"))), AssignmentAction.REMOVE),),
        ),
        "08 01  12 01 31  1a 01 32  22 09 0a 05 0a 03 0a 01 74 10 01",
    ),
    # An empty member of a oneof is present; `global` is a keyword on our side alone.
    (ServiceSpec(global_=GlobalService()), "22 00"),
    # Off is not the same as unsaid.
    (ContainerSpec(init=False), "ba 01 00"),
    (ContainerSpec(init=True), "ba 01 02 08 01"),
    (ResourceRequirements(swap_bytes=0), "1a 00"),
    (ResourceRequirements(swap_bytes=-1), "1a 0b 08 ffffffffffffffffff01"),
    (RestartPolicy(delay=Duration(0)), "12 00"),
    # The number of this field takes two bytes.
    (PullOptions("x"), "82 04 01 78"),
    (TaskStatus(state=TaskState.REMOVE, timestamp=Instant(0)), "0a 00 10 a0 06"),
    (TaskStatus(timestamp=Instant(-1)), "0a 11 08 ffffffffffffffffff01 10 ff93ebdc03"),
    (UpdateConfig(max_failure_ratio=0.1), "2d cd cc cc 3d"),
    (Annotations("n", {"b": "", "a": "x"}), None),
]


@pytest.mark.parametrize(("value", "golden"), GOLDEN, ids=lambda part: type(part).__name__)
def test_golden_bytes(value, golden):
    """The very bytes, as worked out by hand from the protocol; maps have no order on the wire."""
    if golden is not None:
        assert to_bytes(value).hex() == golden.replace(" ", "")
    assert from_bytes(type(value), to_bytes(value)) == value


def test_maps_come_back_sorted():
    """The wire's own order changes from run to run."""
    labels = {str(number): "" for number in range(50, 0, -1)}
    assert list(from_bytes(Annotations, to_bytes(Annotations("n", labels))).labels) == sorted(labels)


def test_embedded_values_may_be_absent_or_empty():
    """A writer in Go sends `12 02 0a 00` for an object without a version: an empty Meta with an empty Version."""
    assert from_bytes(Node, bytes.fromhex("12020a00")) == Node() == from_bytes(Node, b"")
    assert from_bytes(Node, bytes.fromhex("12020a00")).meta == Meta(version=Version())


def test_unknown_fields_are_dropped():
    """A newer peer's fields do no harm."""
    newer = types_pb2.NodeStatus(state=2, message="m").SerializeToString() + bytes.fromhex("fa3f01ff a03f07")
    status = from_bytes(NodeStatus, newer)
    assert status == NodeStatus(state=NodeState.READY, message="m")
    assert to_bytes(status) == types_pb2.NodeStatus(state=2, message="m").SerializeToString()


def test_unknown_numbers_of_enums_are_kept():
    """A state that we do not know yet is between its neighbours, and is sent on as it came."""
    status = from_bytes(TaskStatus, types_pb2.TaskStatus(state=600).SerializeToString())
    assert TaskState.COMPLETE < status.state < TaskState.SHUTDOWN
    assert status.state.name == "UNKNOWN_600"
    assert types_pb2.TaskStatus.FromString(to_bytes(status)).state == 600


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (
            ServiceSpec(replicated=ReplicatedService(1), global_=GlobalService()),
            "ServiceSpec: replicated and global_, wanted: at most one of replicated, global_, replicated_job, ",
        ),
        (
            ConfigReference(file=FileTarget(name="x"), runtime=RuntimeTarget()),
            "ConfigReference: file and runtime, wanted",
        ),
        (Version(-1), "Version cannot be sent: "),
        (Version(2**64), "Version cannot be sent: "),
        (Annotations("\ud800"), "Annotations cannot be sent: "),
        (Annotations(7), "Annotations cannot be sent: "),
        (Task(spec=api.TaskSpec(force_update=-1)), "Task cannot be sent: "),
    ],
    ids=lambda part: type(part).__name__,
)
def test_what_the_wire_cannot_carry_is_invalid(value, complaint):
    """Two members of a oneof, numbers out of range, texts that are none."""
    with pytest.raises(InvalidSpec) as caught:
        encode(value)
    assert str(caught.value).startswith(complaint)


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05abc", b"\x0a\x01\xff"], ids=["tag", "length", "utf-8"])
def test_bytes_that_hold_no_message_are_invalid(data):
    """Cut off, or with a text that is not UTF-8, as workers in Go may send it."""
    with pytest.raises(InvalidSpec, match=r"wanted: a message docker\.swarmkit\.v1\.Annotations"):
        from_bytes(Annotations, data)


def test_moments_that_nobody_writes_are_still_read():
    """Nanoseconds may be negative in what a careless peer sends."""
    message = types_pb2.TaskStatus(timestamp=timestamp_pb2.Timestamp(seconds=2, nanos=-1))
    assert decode(TaskStatus, message).timestamp == 1_999_999_999


@settings(max_examples=300)
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_short_floats_read_as_written(number):
    """A 32-bit float is read as a decimal that means the same float, with no more digits than needed."""
    config = from_bytes(UpdateConfig, to_bytes(UpdateConfig(max_failure_ratio=number)))
    again = from_bytes(UpdateConfig, to_bytes(config))
    assert again == config
    assert specs_pb2.ServiceSpec(update=encode(config)).update.max_failure_ratio == pytest.approx(number, rel=1e-9)


@pytest.mark.parametrize("ratio", [0.1, 0.25, 0.3, 1 / 3, 0.999])
def test_ratios_of_users_are_read_as_they_were_written(ratio):
    """A spec that was read equals the one that was sent, so that an equal one is no update."""
    short = float(f"{ratio:.6g}")
    assert from_bytes(UpdateConfig, to_bytes(UpdateConfig(max_failure_ratio=short))).max_failure_ratio == short


def test_class_and_message_have_to_match():
    """A field that one side does not have is our own fault, and is found when the codec is made."""
    with pytest.raises(TypeError, match=r"Version and docker\.swarmkit\.v1\.Peer do not share the fields addr, index"):
        codec(Version, types_pb2.Peer.DESCRIPTOR)
    with pytest.raises(TypeError, match="no message is named like the class Changes"):
        codec(api.Changes)


def test_a_codec_is_made_once():
    """Plans are kept for each pair of a class and a message."""
    assert codec(Task) is codec(Task)
    assert codec(Task).message is objects_pb2.Task


def enums_of(holder):
    """Names and numbers of every enum of a file or a message, those within messages too."""
    for enum in holder.enum_types_by_name.values():
        yield {value.name: value.number for value in enum.values}
    messages = holder.nested_types if isinstance(holder, Descriptor) else holder.message_types_by_name.values()
    for message in messages:
        yield from enums_of(message)


@pytest.mark.parametrize("word", api.Word.__subclasses__(), ids=lambda word: word.__name__)
def test_words_have_the_numbers_of_the_wire(word):
    """Every enum has the names and numbers of one on the wire."""
    files = (objects_pb2, specs_pb2, types_pb2, control_pb2, daemon_pb2, dispatcher_pb2, logbroker_pb2, watch_pb2)
    on_the_wire = [enum for file in files for enum in enums_of(file.DESCRIPTOR)]
    assert {member.name: int(member) for member in word} in on_the_wire
