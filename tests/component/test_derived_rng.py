"""Chance by seed and name: the same everywhere, and of no other part."""

from swarmlab.component import derived_rng


def test_it_is_the_same_on_every_platform_and_python() -> None:
    """The numbers that every run of this seed has drawn since the first release; they may not change."""
    rng = derived_rng(8123, "manager/scheduler")
    assert [rng.getrandbits(32) for _ in range(3)] == [2302877734, 2204366456, 3729586397]
    assert derived_rng(8123, "manager/scheduler").random() == 0.536180507490367


def test_each_part_has_its_own() -> None:
    drawn = {
        derived_rng(seed, name).getrandbits(64)
        for seed in (0, 1, 2, 12)
        for name in ("", "a", "b", "2/a", "agent/n1", "agent/n2")
    }
    assert len(drawn) == 24, "seed and name are told apart, wherever one ends and the other begins"


def test_drawing_from_one_leaves_the_others_alone() -> None:
    first, second = derived_rng(1, "a"), derived_rng(1, "b")
    expected = derived_rng(1, "b").random()
    for _ in range(100):
        first.random()
    assert second.random() == expected
