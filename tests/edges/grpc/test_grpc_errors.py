"""The error tree and the status codes, in both directions."""

import subprocess
import sys
from urllib.parse import quote

import grpc
import pytest

from swarmlab.api import (
    AlreadyExists,
    ExecutorError,
    Forbidden,
    InvalidSpec,
    NameConflict,
    NotFound,
    NotLeader,
    OutOfSequence,
    PluginError,
    Precondition,
    ProposalDropped,
    ProposalUnknown,
    StateError,
    SwarmlabError,
    TooLarge,
    UnknownPlugin,
    Unsupported,
    errors,
)
from swarmlab.edges.grpc.errors import CODES, error_of, status_of

EVERY = [
    SwarmlabError("m"),
    InvalidSpec("m"),
    NotFound("m"),
    AlreadyExists("m"),
    NameConflict("m"),
    OutOfSequence("m"),
    Precondition("m"),
    Forbidden("m"),
    Unsupported("m"),
    TooLarge("m"),
    NotLeader("10.0.0.1:2377"),
    ProposalDropped("m"),
    ProposalUnknown("m"),
    PluginError("mine", "swarmlab_score", "m"),
    UnknownPlugin("sprad", "m", ("spread", "random")),
    ExecutorError("m", temporary=True, exit_code=0),
    ExecutorError("m"),
    StateError("m"),
]


@pytest.mark.parametrize("error", EVERY, ids=lambda error: type(error).__name__)
def test_every_error_comes_back_as_it_was(error):
    """Class, message and fields."""
    back = error_of(*status_of(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)


def test_every_class_of_the_tree_has_a_code():
    """A class that is added has to be given one."""
    tree = {cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, SwarmlabError)}
    assert tree == set(CODES)


def test_a_subclass_goes_by_its_nearest_ancestor():
    """Classes that only the server knows are said by the one that both know."""

    class Narrow(NotFound):
        pass

    assert type(error_of(*status_of(Narrow("m")))) is NotFound


@pytest.mark.parametrize(
    ("code", "message", "cls"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "bad", InvalidSpec),
        (grpc.StatusCode.NOT_FOUND, "gone", NotFound),
        (grpc.StatusCode.ALREADY_EXISTS, "taken", AlreadyExists),
        (grpc.StatusCode.FAILED_PRECONDITION, "in use", Precondition),
        (grpc.StatusCode.UNKNOWN, "rpc: update out of sequence", OutOfSequence),
        (grpc.StatusCode.UNKNOWN, "what", SwarmlabError),
        (grpc.StatusCode.INTERNAL, "oops", SwarmlabError),
    ],
)
def test_errors_of_other_servers_become_the_class_of_their_code(code, message, cls):
    """A stock manager sends no class; a stale version it says in words alone."""
    error = error_of(code, message, ())
    assert (type(error), str(error)) == (cls, message)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED])
def test_codes_about_the_call_are_not_errors_of_the_request(code):
    """Whether something was done is known only to the caller of the call."""
    assert error_of(code, "m", ()) is None


@pytest.mark.parametrize("letter", ["a", "\N{SNOWMAN}", "%", "\n"])
def test_long_messages_are_cut(letter):
    """Clients give up a call whose metadata exceed 8 KiB, as they are escaped on the way."""
    code, message, _ = status_of(InvalidSpec(letter * 10_000))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.endswith("...")
    escaped = quote(message, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")
    assert 5_900 <= len(escaped) <= 6_003


def test_messages_that_are_no_text_are_repaired():
    """A lone surrogate cannot be sent, and must not hide the error behind another one."""
    assert status_of(InvalidSpec("name '\ud800'"))[1] == "name '?'"


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("swarmlab.edges.grpc", ("grpc", "google.protobuf")),
        ("swarmlab.edges.grpc.client", ("swarmlab.manager", "swarmlab.store", "numpy", "cryptography")),
        ("swarmlab.api", ("google.protobuf", "grpc", "asyncio", "numpy")),
    ],
)
def test_imports_stay_small(module, unwanted):
    """A command that only asks a question does not wait for imports that it has no use for."""
    program = f"import sys, {module}; print(*[name for name in {unwanted!r} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert shown.stdout.split() == []
