"""Which manager a worker speaks with."""

import random
from collections import Counter

import pytest

from swarmlab.api import NodeId, Peer, Precondition, WeightedPeer
from swarmlab.edges.grpc.remotes import Remotes


def weighted(addr: str, weight: int = 10) -> WeightedPeer:
    return WeightedPeer(Peer(NodeId(f"id-{addr}"), addr), weight)


def a_list(*addresses: str):
    kept = []
    return Remotes(random.Random(4), map(weighted, addresses), kept.append), kept


def chosen(remotes: Remotes, *excluded: str) -> Counter:
    return Counter(remotes.select(*excluded).addr for _ in range(3000))


def test_managers_of_equal_weight_are_chosen_alike():
    remotes, _ = a_list("a:1", "b:1", "c:1")
    counts = chosen(remotes)
    assert set(counts) == {"a:1", "b:1", "c:1"}
    assert min(counts.values()) > 900


def test_a_manager_that_failed_is_left_alone_until_all_have():
    """One failure brings it to 0: it is hardly chosen; where all failed, all are tried alike."""
    remotes, _ = a_list("a:1", "b:1")
    remotes.observe(Peer(addr="a:1"), answered=False)
    assert chosen(remotes)["a:1"] < 30
    remotes.observe(Peer(addr="b:1"), answered=False)
    assert min(chosen(remotes).values()) > 1300
    remotes.observe(Peer(addr="a:1"), answered=True)
    assert chosen(remotes)["b:1"] < 30


def test_weights_have_a_memory_and_a_limit():
    remotes, _ = a_list("a:1")
    weights = []
    for answered in (False, False, False, True, True):
        remotes.observe(Peer(addr="a:1"), answered=answered)
        weights.append(remotes.peers[0].weight)
    assert weights == [0, -5, -7, 1, 5]
    remotes.replace([weighted("z:1", 100_000), weighted("a:1")])
    remotes.observe(Peer(addr="z:1"), answered=True)
    assert remotes.peers[1].weight == 256


def test_excluded_ones_are_chosen_only_where_there_is_no_other():
    remotes, _ = a_list("a:1", "b:1")
    assert set(chosen(remotes, "a:1")) == {"b:1"}
    assert set(chosen(remotes, "a:1", "b:1")) == {"a:1", "b:1"}


def test_a_list_takes_the_place_of_the_one_before():
    """Those that stay are thought better of, the others are forgotten, and the new list is kept for the next life."""
    remotes, kept = a_list("a:1", "b:1")
    remotes.observe(Peer(addr="a:1"), answered=False)
    remotes.replace([weighted("a:1"), weighted("c:1")])
    assert remotes.peers == (weighted("a:1", 5), weighted("c:1"))
    assert kept == [(weighted("a:1", 5), weighted("c:1"))]
    remotes.replace([weighted("c:1"), weighted("a:1")])
    assert len(kept) == 1
    assert not remotes.has(Peer(addr="b:1"))


def test_who_joins_knows_the_address_alone():
    """The id of a manager comes with the first list; its weight is that of its address."""
    kept = []
    remotes = Remotes(random.Random(4), [WeightedPeer(Peer(addr="a:1"), 10)], kept.append)
    remotes.observe(Peer(addr="a:1"), answered=True)
    remotes.replace([weighted("a:1")])
    assert (remotes.peers, len(kept)) == ((weighted("a:1"),), 1)


@pytest.mark.parametrize("empty", [[], [WeightedPeer(None, 10)], [WeightedPeer(Peer(NodeId("a"), ""), 10)]])
def test_a_list_that_names_nobody_is_not_taken(empty):
    """It would strand the node for good."""
    remotes, kept = a_list("a:1")
    remotes.replace(empty)
    assert (remotes.peers, kept) == ((weighted("a:1"),), [])


def test_nobody_is_known():
    remotes, _ = a_list()
    with pytest.raises(Precondition, match="no manager is known"):
        remotes.select()
