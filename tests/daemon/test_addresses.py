"""Where a node listens, and where others reach it."""

from pathlib import Path

import pytest

from swarmlab.api import InvalidSpec
from swarmlab.daemon.config import Address, DaemonConfig, parse_address, settled_addresses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", Address("10.0.0.1", 2377)),
        ("10.0.0.1:99", Address("10.0.0.1", 99)),
        ("manager.example:99", Address("manager.example", 99)),
        ("fe80::1", Address("fe80::1", 2377)),
        ("[fe80::1]:99", Address("fe80::1", 99)),
        ("[fe80::1]", Address("fe80::1", 2377)),
    ],
)
def test_addresses_are_read(text: str, expected: Address) -> None:
    """A port may be left out; IPv6 needs brackets only before a port."""
    assert parse_address("address", text) == expected
    assert parse_address("address", expected.text) == expected


@pytest.mark.parametrize("text", ["", ":2377", "host:", "host:x", "host:70000", "a b:1", "[fe80::1:99"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidSpec, match=r"^join address: '.*', wanted: HOST or HOST:PORT$"):
        parse_address("join address", text)


def config(**fields: str) -> DaemonConfig:
    return DaemonConfig(state_dir=Path("/nowhere"), **fields)  # type: ignore[arg-type]


def test_others_reach_a_node_where_it_listens() -> None:
    bound, reached = settled_addresses(config(listen_addr="127.0.0.1:4000"))
    assert (bound, reached) == (Address("127.0.0.1", 4000), Address("127.0.0.1", 4000))


def test_the_advertised_address_has_the_listening_port_unless_it_names_one() -> None:
    assert settled_addresses(config(), advertise="10.1.1.1")[1] == Address("10.1.1.1", 2377)
    assert settled_addresses(config(advertise_addr="10.1.1.1:5000"))[1] == Address("10.1.1.1", 5000)


def test_a_request_goes_before_the_process_flags() -> None:
    started = config(listen_addr="0.0.0.0:1000", advertise_addr="10.1.1.1")
    assert settled_addresses(started, "0.0.0.0:2000", "10.2.2.2") == (
        Address("0.0.0.0", 2000),
        Address("10.2.2.2", 2000),
    )


def test_a_node_that_listens_everywhere_is_reached_at_one_address() -> None:
    _, reached = settled_addresses(config())
    assert not reached.is_anywhere
    assert reached.port == 2377


def test_port_0_is_a_free_one() -> None:
    bound, reached = settled_addresses(config(listen_addr="127.0.0.1:0"))
    assert bound == reached
    assert bound.port > 0


@pytest.mark.parametrize("text", ["0.0.0.0", "[::]:2377", "manager.example"])
def test_an_address_that_others_cannot_use_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpec, match="advertise address"):
        settled_addresses(config(), advertise=text)
