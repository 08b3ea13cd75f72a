"""Messages and membership changes as bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlab.api import InvalidSpec, StateError
from swarmlab.raft import (
    ChangeKind,
    ConfigChange,
    EntryKind,
    LogEntry,
    Membership,
    Message,
    MessageKind,
    RaftId,
    SnapshotMeta,
    decode_change,
    decode_message,
    encode_change,
    encode_message,
)

FULL = Message(
    kind=MessageKind.APPEND,
    to=RaftId(1),
    sender=RaftId(2**63 - 1),
    term=7,
    index=41,
    log_term=6,
    entries=(LogEntry(42, 7, EntryKind.CONFIG, b"\x00\xff"), LogEntry(43, 7)),
    commit=40,
    reject=True,
    hint=3,
    hint_term=2,
    context=b"read",
    snapshot=SnapshotMeta(index=9, term=2, members=Membership(voters=(RaftId(1),), learners=(RaftId(2),))),
)
CHANGE = ConfigChange(ChangeKind.ADD_LEARNER, RaftId(5), b"node")


def test_round_trip() -> None:
    """What is written is read; fields with their default take no bytes."""
    small = Message(kind=MessageKind.HEARTBEAT, to=RaftId(1), sender=RaftId(2), term=3)

    assert decode_message(encode_message(FULL)) == FULL
    assert decode_message(encode_message(small)) == small
    assert len(encode_message(small)) < 32
    assert decode_change(encode_change(CHANGE)) == CHANGE


@given(data=st.binary(max_size=64))
def test_other_bytes_are_refused(data: bytes) -> None:
    """Whatever the bytes are, the error is one of ours."""
    with pytest.raises(InvalidSpec, match="are no raft message"):
        decode_message(data)
    with pytest.raises(StateError, match="are no membership change"):
        decode_change(data)


@given(cut=st.integers(min_value=0, max_value=len(encode_message(FULL)) - 1))
def test_torn_message_is_refused(cut: int) -> None:
    """A message is whole or it is none."""
    with pytest.raises(InvalidSpec, match=f"^{cut} bytes of a peer are no raft message"):
        decode_message(encode_message(FULL)[:cut])


def test_entries_with_a_gap_are_refused() -> None:
    """Entries follow the place that the message names."""
    message = Message(
        kind=MessageKind.APPEND, to=RaftId(1), sender=RaftId(2), term=1, index=4, entries=(LogEntry(6, 1),)
    )

    with pytest.raises(InvalidSpec, match="a peer's raft message has entry 6 where 5 is wanted"):
        decode_message(encode_message(message))
