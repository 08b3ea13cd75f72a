"""The network commands: docker's words in, networks out."""

import json

import pytest
from cli_ground import Ground

from swarmlab.api import (
    AddressFamily,
    Annotations,
    Driver,
    IPAMConfig,
    IPAMOptions,
    Network,
    NetworkId,
    NetworkSpec,
)
from swarmlab.cli.commands import BY_WORDS
from swarmlab.cli.network import network_spec
from swarmlab.cli.parser import Parser


def asked(*words: str) -> NetworkSpec:
    parser = Parser("network create", "")
    BY_WORDS["network create"].declare(parser)
    return network_spec(parser.read(list(words)))


def test_a_name_alone_is_an_overlay() -> None:
    assert asked("back") == NetworkSpec(annotations=Annotations("back"), driver_config=Driver("overlay"))


def test_all_that_can_be_asked_for() -> None:
    words = (
        "-d overlay --attachable --internal --ipv6 -o encrypted -l tier=1 --subnet 10.1.0.0/16 --subnet fd00::/64 "
        "--gateway fd00::1 --ip-range 10.1.2.0/24 --aux-address a=10.1.0.9 --aux-address b=fd00::9 --scope swarm back"
    )
    assert asked(*words.split()) == NetworkSpec(
        annotations=Annotations("back", {"tier": "1"}),
        driver_config=Driver("overlay", {"encrypted": ""}),
        attachable=True,
        internal=True,
        ipv6_enabled=True,
        ipam=IPAMOptions(
            driver=Driver("default"),
            configs=(
                IPAMConfig(
                    family=AddressFamily.IPV4,
                    subnet="10.1.0.0/16",
                    range="10.1.2.0/24",
                    reserved={"a": "10.1.0.9"},
                ),
                IPAMConfig(family=AddressFamily.IPV6, subnet="fd00::/64", gateway="fd00::1", reserved={"b": "fd00::9"}),
            ),
        ),
    )


@pytest.mark.parametrize(
    ("words", "about"),
    [
        ("--subnet 10.1.0.0/40", "--subnet: '10.1.0.0/40'"),
        ("--gateway 10.1.0.1", "--gateway: 10.1.0.1 is in no --subnet"),
        ("--subnet 10.1.0.0/16 --gateway x", "--gateway: 'x'"),
        ("--subnet 10.1.0.0/16 --gateway 10.1.0.1 --gateway 10.1.0.2", "10.1.0.0/16 has 10.1.0.1 already"),
        ("--subnet 10.1.0.0/16 --aux-address a=10.2.0.1", "--aux-address: 10.2.0.1 is in no --subnet"),
        ("--scope local", "--scope"),
    ],
)
def test_wrong_words_are_said(ground: Ground, words: str, about: str) -> None:
    answer = ground.cli("network", "create", *words.split(), "back")
    assert answer.code == 2
    assert about in answer.err


def test_networks_are_made_listed_shown_and_removed(ground: Ground) -> None:
    made = ground.cli("network", "create", "--attachable", "back")
    assert made.code == 0
    spec = NetworkSpec(annotations=Annotations("app", {"tier": "1"}), driver_config=Driver("bridge"))
    ipam = IPAMOptions(configs=(IPAMConfig(subnet="10.0.0.0/24"), IPAMConfig(subnet="fd00::/64")))
    ground.put(Network(id=NetworkId("app-0123456789abcdefghij"), spec=spec, ipam=ipam))
    assert ground.cli("network", "ls").lines == [
        "NETWORK ID                  NAME   DRIVER    SCOPE   SUBNET",
        "app-0123456789abcdefghij    app    bridge    swarm   10.0.0.0/24, fd00::/64",
        f"{made.out.strip()}   back   overlay   swarm",
    ]
    assert ground.cli("network", "ls", "-o", "name", "-f", "driver=overlay").lines == ["back"]
    assert ground.cli("network", "ls", "-q", "-f", "label=tier=1").lines == ["app-0123456789abcdefghij"]
    [shown] = json.loads(ground.cli("network", "inspect", "back").out)
    assert (shown["id"], shown["spec"]["attachable"]) == (made.out.strip(), True)
    assert ground.cli("network", "rm", "back", "nothing").code != 0
    assert ground.cli("network", "rm", "back", "app").lines == ["back", "app"]
    assert ground.cli("network", "ls", "-q").lines == []
