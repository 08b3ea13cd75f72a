"""Random: any node with room, all equally likely, from the seed."""

from collections import Counter

from scheduling import Desk, a_node, a_service, tasks_of

from swarmlab.plugin import Host


def placed(seed: int, replicas: int = 30) -> dict[str, int]:
    web = a_service("web", replicas, cpus=1)
    desk = Desk(
        [a_node(f"n{number}", cpus=size) for number, size in enumerate([4, 4, 100, 100, 0])],
        web,
        host=Host.load("random", strict=True),
        seed=seed,
    )
    desk.create(*tasks_of(web, replicas))
    return desk.on()


def test_the_same_seed_gives_the_same_placement() -> None:
    assert placed(7) == placed(7)


def test_other_seeds_give_others_and_all_nodes_are_used_in_the_end() -> None:
    found = [placed(seed) for seed in range(20)]
    assert len({tuple(on.values()) for on in found}) > 5
    total = Counter[str]()
    for on in found:
        total.update(on)
    assert all(on["n0"] <= 4 and on["n1"] <= 4 for on in found)
    assert total["n4"] == 0
    assert 0.35 < total["n2"] / sum(total.values()) < 0.55


def test_what_does_not_fit_stays_pending() -> None:
    assert sum(placed(1, replicas=300).values()) == 208
