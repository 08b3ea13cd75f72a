"""Texts of programs that do not look whether they are texts."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from swarmlab.api import InvalidSpec
from swarmlab.api.proto import dispatcher_pb2
from swarmlab.edges.grpc.handlers import parser
from swarmlab.edges.grpc.mending import with_texts_mended

REPORT = dispatcher_pb2.UpdateTaskStatusRequest
SESSION = dispatcher_pb2.SessionRequest


def a_report(err: str = "MARK") -> bytes:
    message = REPORT(session_id="s")
    update = message.updates.add(task_id="t")
    update.status.err = err
    update.status.state = 704
    update.status.container.exit_code = -1
    update.status.timestamp.seconds = 1_700_000_000
    return message.SerializeToString()


def mended(kind, data: bytes):
    return kind.FromString(with_texts_mended(kind.DESCRIPTOR, data))


def test_one_bad_byte_costs_that_byte():
    """Deep within a message, with everything around it as it was."""
    message = mended(REPORT, a_report().replace(b"MARK", b"\xffa\xc3b"))
    assert message.updates[0].status.err == "\ufffda\ufffdb"
    message.updates[0].status.err = "MARK"
    assert message.SerializeToString() == a_report()


def test_lengths_grow_with_what_is_mended():
    """A bad byte becomes three, so all messages around it are longer than they were."""
    data = SESSION(description={"hostname": "X" * 120}).SerializeToString().replace(b"X", b"\xfe")
    assert mended(SESSION, data).description.hostname == "\ufffd" * 120


def test_keys_and_values_of_maps():
    message = SESSION()
    message.description.engine.labels["KEY"] = "VAL"
    data = message.SerializeToString().replace(b"KEY", b"k\xffy").replace(b"VAL", b"v\xffl")
    assert dict(mended(SESSION, data).description.engine.labels) == {"k\ufffdy": "v\ufffdl"}


def test_bytes_are_left_alone():
    """Certificates and lines may hold anything."""
    message = SESSION()
    message.description.tls_info.trust_root = b"\xff\xfe"
    data = message.SerializeToString()
    assert with_texts_mended(SESSION.DESCRIPTOR, data) == data


def test_unknown_fields_are_left_alone():
    data = b"\xfa\x3f\x02\xff\xfe" + a_report()
    assert with_texts_mended(REPORT.DESCRIPTOR, data) == data


@pytest.mark.parametrize("data", [b"\x0a\x05s", b"\x0b", b"\x0f", b"\x1a\x02\x0a\x05", b"\x80" * 11, b"\x09\x00"])
def test_what_is_no_message_stays_none(data):
    """It comes back as it is, and the parser refuses it."""
    assert with_texts_mended(REPORT.DESCRIPTOR, data) == data
    with pytest.raises(InvalidSpec):
        parser(REPORT.DESCRIPTOR, mend=True)(data)


@given(st.binary(max_size=200))
def test_any_bytes(data):
    """Nothing that comes in breaks it, and what can be parsed is never changed."""
    new = with_texts_mended(REPORT.DESCRIPTOR, data)
    try:
        REPORT.FromString(data)
    except DecodeError:
        return
    assert REPORT.FromString(new) == REPORT.FromString(data)


@given(st.binary(max_size=60))
def test_any_text(data):
    """Whatever a stock engine writes into a text, the message arrives."""
    marked = a_report("M" * len(data))
    message = mended(REPORT, marked.replace(b"M" * len(data), data) if data else marked)
    assert message.updates[0].status.err == data.decode(errors="replace")
