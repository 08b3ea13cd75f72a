"""Rebalance on whole clusters: the stories that users tell, and each rule for itself."""

import pytest
from plain_view import PlainNode, PlainService, PlainView, cluster
from swarmlab_strategies.rebalance import Rebalance

from swarmlab.plugin import Duration, Group, Kept, Move, Moves, ServiceId, TaskState, Trigger

JOIN = Trigger("join")
CPU = 10**9


def rebalanced(view: PlainView, trigger: Trigger = JOIN, **parameters: object) -> tuple[Moves, PlainView]:
    moves = Rebalance(**parameters).rebalance(view, trigger)
    return moves, view.moved(moves)


def web(replicas: int, **parts: object) -> PlainService:
    return PlainService("web", replicas, **parts)


def nodes(*sizes: int) -> list[PlainNode]:
    return [PlainNode(f"n{n}", cpus=size * CPU) for n, size in enumerate(sizes, 1)]


def why(moves: Moves) -> str:
    (kept,) = moves.kept
    return kept.reason


def test_moby_24103_one_move_fills_the_fifth_node() -> None:
    """Four nodes, five equal tasks, a fifth node joins: one move, one task a node."""
    moves, after = rebalanced(cluster(5, (web(5), [2, 1, 1, 1, 0])))
    assert moves == Moves(
        moves=(Move("web.002", "n5", "N1 has 2 tasks of web, N5 has 0"),),
        imbalance_before=2.0,
        imbalance_after=0.0,
        bound=1,
    )
    assert after.counts("web") == [1, 1, 1, 1, 1]


def test_moby_25353_four_moves_level_twelve_tasks() -> None:
    """Three nodes with four tasks each, two join: exactly four moves."""
    moves, after = rebalanced(cluster(5, (web(12), [4, 4, 4, 0, 0])))
    assert sorted(after.counts("web"), reverse=True) == [3, 3, 2, 2, 2]
    assert (len(moves.moves), moves.bound) == (4, 4)


def test_moby_30666_services_of_one_replica_stay() -> None:
    single = [(PlainService(f"single{n}", 1), [1, 0, 0]) for n in range(3)]
    moves, after = rebalanced(cluster(3, *single, (web(3), [2, 1, 0])))
    assert [move.to for move in moves.moves] == ["n3"]
    assert [after.counts(f"single{n}") for n in range(3)] == [[1, 0, 0]] * 3


def test_the_story_of_the_returned_node() -> None:
    """Four replicas and six, on three of four nodes: one task of each comes back, and nothing else moves."""
    moves, after = rebalanced(cluster(4, (PlainService("api", 6), [2, 2, 2, 0]), (web(4), [2, 1, 1, 0])))
    assert len(moves.moves) == moves.bound == 2
    assert max(after.counts("api")) - min(after.counts("api")) == 1
    assert after.counts("web") == [1, 1, 1, 1]


def test_descheduler_1695_a_task_larger_than_every_target_stays_and_says_why() -> None:
    moves, _ = rebalanced(cluster(nodes(16, 4, 4), (web(2, cpus=8 * CPU), [2, 0, 0])))
    assert moves.moves == ()
    assert why(moves) == "insufficient CPU on 2 nodes (N2 has 4 of 8 CPUs)"


def test_descheduler_1584_room_for_one_is_one_move() -> None:
    moves, after = rebalanced(cluster(nodes(80, 8), (web(10, cpus=8 * CPU), [10, 0])))
    assert after.counts("web") == [9, 1]
    assert why(moves) == "insufficient CPU on 1 node (N2 has 0 of 8 CPUs)"


def test_a_balanced_cluster_moves_nothing() -> None:
    view = cluster(4, (web(6), [2, 2, 1, 1]), (PlainService("api", 2), [0, 0, 1, 1]))
    assert rebalanced(view)[0] == Moves()


def test_without_nodes_or_services_there_is_nothing_to_do() -> None:
    assert rebalanced(cluster(0))[0] == Moves()
    assert rebalanced(cluster([PlainNode("n1", ready=False)], (web(2), [2])))[0] == Moves()


def test_the_newest_tasks_move() -> None:
    ages = {"web.001": {"age": Duration(5)}, "web.003": {"age": Duration(7)}}
    moves, _ = rebalanced(cluster(3, (web(4), [4, 0, 0]), changed=ages))
    assert [move.task for move in moves.moves] == ["web.001", "web.003"]


def test_one_returned_node_does_not_get_everything() -> None:
    """Four services could each give their odd task to either of two nodes: the emptier one gets it each time."""
    services = [(PlainService(f"s{n}", 3), [3, 0, 0]) for n in range(4)]
    _, after = rebalanced(cluster(3, *services, (PlainService("old", 9), [0, 9, 0])))
    assert [sum(after.active[node].values()) for node in ("n1", "n2", "n3")] == [4 + 3, 4 + 3, 4 + 3]
    odd = [(PlainService(f"s{n}", 3), [3, 0, 0, 0]) for n in range(4)]
    moves, after = rebalanced(cluster(4, *odd))
    assert len(moves.moves) == 8
    assert [sum(after.active[node].values()) for node in ("n1", "n2", "n3", "n4")] == [4, 3, 3, 2]


@pytest.mark.parametrize("policy", ["never", "plan"])
def test_a_service_that_says_no_stays(policy: str) -> None:
    moves, after = rebalanced(cluster(2, (web(4, labels={"swarmlab.rebalance": policy}), [4, 0])))
    assert after.counts("web") == [4, 0]
    assert why(moves).startswith(f"it says swarmlab.rebalance={policy}")
    assert (moves.imbalance_before, moves.imbalance_after, moves.bound) == (4.0, 4.0, 0)


def test_a_plan_is_carried_out_on_demand() -> None:
    view = cluster(2, (web(4, labels={"swarmlab.rebalance": "plan"}), [4, 0]))
    assert rebalanced(view, Trigger("manual"))[1].counts("web") == [2, 2]


def test_a_balanced_service_that_says_no_needs_no_word() -> None:
    view = cluster(2, (web(3, labels={"swarmlab.rebalance": "never"}, preferences=("node.labels.zone",)), [2, 1]))
    assert rebalanced(view)[0].kept == ()


@pytest.mark.parametrize("mode", ["global", "replicated-job", "global-job"])
def test_only_replicated_services_are_in_play(mode: str) -> None:
    assert rebalanced(cluster(2, (web(4, mode=mode), [4, 0])))[0] == Moves()


def test_a_node_that_takes_no_new_tasks_keeps_what_it_has() -> None:
    closed = [PlainNode("n1", ready=False), PlainNode("n2"), PlainNode("n3")]
    moves, after = rebalanced(cluster(closed, (web(7), [5, 2, 0])))
    assert after.counts("web") == [5, 1, 1]
    assert len(moves.moves) == 1


def test_a_suspect_node_gets_nothing_and_is_named() -> None:
    flapping = [PlainNode("n1"), PlainNode("n2", suspect=True)]
    moves, _ = rebalanced(cluster(flapping, (web(2), [2, 0])))
    assert moves.moves == ()
    assert why(moves) == "N2 was lost several times lately"


def test_constraints_hold() -> None:
    zoned = [PlainNode("n1", labels={"disk": "ssd"}), PlainNode("n2"), PlainNode("n3", labels={"disk": "ssd"})]
    moves, after = rebalanced(cluster(zoned, (web(4, needs={"disk": "ssd"}), [4, 0, 0])))
    assert after.counts("web") == [2, 0, 2]
    assert moves.kept == ()


def test_limits_per_node_hold() -> None:
    moves, after = rebalanced(cluster(3, (web(6, max_replicas=4), [4, 2, 0])))
    assert after.counts("web") == [2, 2, 2]
    assert moves.kept == ()


def test_a_host_port_is_there_once() -> None:
    """A node where another service holds the port takes none; one task a node is as level as it gets."""
    other = PlainService("other", 1, port=80)
    moves, after = rebalanced(cluster(3, (web(2, port=80), [1, 1, 0]), (other, [0, 0, 1])))
    assert after.counts("web") == [1, 1, 0]
    assert moves.moves == ()


def test_zones_are_balanced_before_nodes() -> None:
    zoned = [PlainNode(f"n{n}", labels={"zone": zone}) for n, zone in enumerate("aaab")]
    moves, after = rebalanced(cluster(zoned, (web(6, preferences=("node.labels.zone", "node.ip")), [2, 2, 2, 0])))
    assert after.counts("web") == [1, 1, 1, 3]
    assert len(moves.moves) == 3


def test_tasks_with_local_volumes_stay_unless_told_otherwise() -> None:
    data = (("volume", "data", "/data"),)
    view = cluster(2, (web(4), [4, 0]), changed={f"web.00{n}": {"local_volumes": data} for n in range(1, 5)})
    moves, _ = rebalanced(view)
    assert moves.moves == ()
    assert why(moves) == "its tasks may not be moved now: too young, not running, or with local volumes"
    assert rebalanced(view, local_volumes=True)[1].counts("web") == [2, 2]


def test_young_tasks_stay_when_asked_for() -> None:
    view = cluster(2, (web(4), [4, 0]), changed={"web.004": {"age": Duration(0)}})
    moves, _ = rebalanced(view, min_age_seconds=10.0)
    assert [move.task for move in moves.moves] == ["web.003", "web.002"]


@pytest.mark.parametrize("change", [{"state": TaskState.STARTING}, {"desired_state": TaskState.READY}])
def test_only_running_tasks_move(change: dict[str, object]) -> None:
    moves, after = rebalanced(cluster(2, (web(4), [4, 0]), changed={"web.004": change}))
    assert [move.task for move in moves.moves] == ["web.003", "web.002"]
    assert after.counts("web") == [2, 2]


def test_tasks_that_were_told_to_stop_do_not_count() -> None:
    view = cluster(2, (web(2), [3, 1]), changed={f"web.00{n}": {"desired_state": TaskState.SHUTDOWN} for n in (1, 2)})
    assert rebalanced(view)[0] == Moves()


def test_a_slot_with_two_tasks_is_left_to_whoever_replaces_it() -> None:
    moves, _ = rebalanced(cluster(2, (web(3), [4, 0]), changed={"web.004": {"slot": 3}}))
    assert moves.moves == ()
    assert why(moves) == "one of its tasks is being replaced"


def test_tasks_without_a_node_fill_the_gap_first() -> None:
    """One of five replicas waits for a node; it will find the empty one, so nothing need move."""
    moves, _ = rebalanced(cluster(4, (web(5), [2, 1, 1, 0])))
    assert moves.moves == ()
    assert why(moves) == "1 task without a node yet"


def test_a_move_waits_for_the_room_that_another_makes() -> None:
    """Web can go to the second node only once api has left it; the order says so."""
    view = cluster(nodes(8, 4, 0), (PlainService("api", 2, cpus=2 * CPU), [0, 2, 0]), (web(2, cpus=2 * CPU), [2, 0, 0]))
    moves, after = rebalanced(view)
    assert [(move.task, move.to) for move in moves.moves] == [("api.002", "n1"), ("web.002", "n2")]
    assert (after.counts("api"), after.counts("web")) == ([1, 1, 0], [1, 1, 0])


def test_what_would_need_two_tasks_to_change_places_is_kept_with_the_reason() -> None:
    """Both nodes are full, and each service would have to give the other a task at the same moment."""
    view = cluster(nodes(2, 2), (PlainService("api", 2, cpus=CPU), [2, 0]), (web(2, cpus=CPU), [0, 2]))
    moves, after = rebalanced(view)
    assert moves.moves == ()
    assert {kept.service for kept in moves.kept} == {"api", "web"}
    assert all("insufficient CPU" in kept.reason or "no room" in kept.reason for kept in moves.kept)
    assert after.counts("web") == [0, 2]


def test_placing_is_spreads_business() -> None:
    view = cluster(3, (web(4), [2, 0, 0]))
    group: Group = view.group_of(ServiceId("web"), 2)
    (placement,) = Rebalance().place([group], view).placements
    assert (placement.nodes.tolist(), placement.counts.tolist()) == ([1, 2], [1, 1])


def test_many_names_are_cut_and_words_have_their_number() -> None:
    """A reason stays one line however many nodes it is about."""
    full = [PlainNode("n0"), *(PlainNode(f"n{n}", suspect=True) for n in range(1, 6))]
    moves, _ = rebalanced(cluster(full, (web(10), [10, 0, 0, 0, 0, 0])))
    assert why(moves) == "N1, N2, N3 and 2 more were lost several times lately"
    assert moves.kept == (Kept(ServiceId("web"), why(moves)),)
