"""How often a stranger may fail."""

import pytest

from swarmlab.api import InvalidSpec, TooLarge
from swarmlab.edges.grpc import attempts
from swarmlab.edges.grpc.attempts import Attempts


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def a_limit(burst: int = 3, per_second: float = 0.5):
    clock = Clock()
    return Attempts(clock, burst=burst, per_second=per_second), clock


def fail(limit: Attempts, address: str = "a") -> None:
    with pytest.raises(InvalidSpec), limit.attempt(address):
        raise InvalidSpec("wrong token")


def succeed(limit: Attempts, address: str = "a") -> None:
    with limit.attempt(address):
        pass


def test_what_succeeds_costs_nothing():
    limit, _ = a_limit()
    for _ in range(100):
        succeed(limit)


def test_an_address_that_fails_has_to_wait():
    """As many at once as are allowed, then one for each so many seconds; other addresses do not notice."""
    limit, clock = a_limit()
    for _ in range(3):
        fail(limit)
    with pytest.raises(TooLarge, match=r"from a; wanted: a pause of 2\.0 s"):
        succeed(limit)
    succeed(limit, "b")
    clock.now = 2.0
    fail(limit)
    with pytest.raises(TooLarge):
        succeed(limit)


def test_attempts_in_hand_count():
    """Many at once are not tried on credit."""
    limit, _ = a_limit(burst=2)
    with limit.attempt("a"), limit.attempt("a"), pytest.raises(TooLarge):
        succeed(limit)
    succeed(limit)


def test_nobody_saves_up_more_than_is_allowed_at_once():
    limit, clock = a_limit()
    fail(limit)
    clock.now = 1e6
    for _ in range(3):
        fail(limit)
    with pytest.raises(TooLarge):
        succeed(limit)


def test_the_table_of_addresses_has_an_end(monkeypatch):
    """Strangers with many addresses fill no memory; who failed least recently is forgotten."""
    monkeypatch.setattr(attempts, "ADDRESSES", 3)
    limit, _ = a_limit(burst=1)
    for address in "abcd":
        fail(limit, address)
    succeed(limit, "a")
    with pytest.raises(TooLarge):
        succeed(limit, "d")
