"""Placement expressions: what they mean, and what is wrong with bad ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduling import a_node

from swarmlab.api import InvalidSpec, Node, NodeRole, Platform
from swarmlab.manager.constraint import Constraints, attribute, canonical

NODE = a_node(
    "n1",
    hostname="Worker-1",
    labels={"zone": "A", "Disk": "ssd"},
    engine={"operatingsystem": "Debian 12"},
    address="10.1.2.3",
    platform=Platform("x86_64", "linux"),
    role=NodeRole.MANAGER,
)


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("node.id == n1", True),
        ("node.id==N1", True),
        ("node.id != n1", False),
        ("node.hostname == worker-1", True),
        ("NODE.HOSTNAME == worker-1", True),
        ("node.hostname == worker", False),
        ("node.hostname == work*", False),
        ("node.role == manager", True),
        ("node.role != worker", True),
        ("node.platform.os == Linux", True),
        ("node.platform.arch == x86_64", True),
        ("node.platform.arch == amd64", False),
        ("node.labels.zone == a", True),
        ("node.labels.Zone == a", False),
        ("Node.Labels.zone == a", True),
        ("node.labels.missing == a", False),
        ("node.labels.missing != a", True),
        ("engine.labels.operatingsystem == debian 12", True),
        ("engine.labels.kernel != 6", True),
        ("node.ip == 10.1.2.3", True),
        ("node.ip != 10.1.2.3", False),
        ("node.ip == 10.1.0.0/16", True),
        ("node.ip != 10.2.0.0/16", True),
        ("node.ip == 10.1.2", False),
        ("node.ip != 10.1.2", False),
        ("node.rack == 1", False),
        ("node.rack != 1", False),
        ("node.labels. == 1", False),
    ],
)
def test_an_expression_on_one_node(expression: str, holds: bool) -> None:
    """Whole texts in any case; an unknown key never holds, whichever the operator."""
    assert Constraints.parse([expression]).match(NODE) is holds


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("node.id", "constraint 1 'node.id', character 8: expected == or !="),
        ("", "constraint 1 '', character 1: expected == or !="),
        ("node.id = n1", "expected == or !="),
        ("== x", "character 1: expected a key such as node.labels.zone, found nothing"),
        ("node.id ==", "character 11: expected a value, found nothing"),
        ("node.id == ", "expected a value, found nothing"),
        ("no$de.id == x", "character 3: the key 'no$de.id' is not valid"),
        ("1node == x", "character 1: the key '1node' is not valid"),
        ("a == x", "the key 'a' is not valid"),
        ("node.id == a{b", "character 13: the value 'a{b' is not valid"),
        ("  node.i;d == x", "character 9: the key 'node.i;d' is not valid"),
        ("node.id === n1", "character 11: the value '= n1' is not valid"),
    ],
)
def test_a_bad_expression_is_refused_with_the_place_of_the_mistake(expression: str, message: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        Constraints.parse([expression])
    assert message in str(caught.value)


def test_the_number_of_the_bad_expression_is_told() -> None:
    with pytest.raises(InvalidSpec, match=r"^constraint 3 'nonsense'"):
        Constraints.parse(["node.id == a", "node.role != manager", "nonsense"])


def test_equality_is_looked_for_first() -> None:
    """ "a!=b==c" is key "a!=b", which is none."""
    with pytest.raises(InvalidSpec, match="the key 'a!=b' is not valid"):
        Constraints.parse(["a!=b==c"])


def test_a_node_that_reported_nothing_compares_as_empty() -> None:
    blank = Node(id="n2")
    for key in ("node.hostname", "node.platform.os", "node.platform.arch", "node.labels.x", "engine.labels.x"):
        assert attribute(blank, key) == ""
        assert Constraints.parse([f"{key} != a"]).match(blank)
        assert not Constraints.parse([f"{key} == a"]).match(blank)


def test_canonical_keys_keep_the_case_of_labels() -> None:
    assert canonical("NODE.Labels.MyKey") == "node.labels.MyKey"
    assert canonical("Node.IP") == "node.ip"
    assert canonical("node.labels.") is None
    assert canonical("zone") is None


KEYS = st.sampled_from(
    [
        "node.id",
        "node.hostname",
        "node.ip",
        "node.role",
        "node.labels.zone",
        "node.labels.none",
        "rack",
        "engine.labels.e",
    ]
)
VALUES = st.sampled_from(["n1", "n2", "host-n1", "A", "b", "10.0.0.0/30", "10.0.0.1", "worker", "manager"])


@given(
    st.lists(st.tuples(KEYS, st.booleans(), VALUES), max_size=4),
    st.lists(st.tuples(st.sampled_from(["", "a", "B"]), st.integers(0, 5), st.booleans()), max_size=8),
)
def test_a_column_of_nodes_is_matched_like_each_node(
    parts: list[tuple[str, bool, str]], nodes: list[tuple[str, int, bool]]
) -> None:
    constraints = Constraints.parse([f"{key} {'==' if equal else '!='} {value}" for key, equal, value in parts])
    made = [
        a_node(
            f"n{number}",
            labels={"zone": zone} if zone else {},
            address=f"10.0.0.{last}",
            role=NodeRole.MANAGER if leads else NodeRole.WORKER,
        )
        for number, (zone, last, leads) in enumerate(nodes)
    ]

    def column(key: str) -> tuple[np.ndarray, list[str]]:
        texts = [attribute(node, key) for node in made]
        return np.arange(len(texts), dtype=np.int32), texts

    assert constraints.mask(len(made), column).tolist() == [constraints.match(node) for node in made]
