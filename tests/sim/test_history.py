"""The judge of histories: what one register could have done passes, what none could does not."""

import itertools
import random

import pytest

from swarmlab.sim.history import Deed, Operation, check_history, unexplained


def op(client: str, deed: Deed, called: int, returned: int | None, value: str = "", expected: str = "") -> Operation:
    return Operation(
        client=client, key="k", deed=deed, called=called, returned=returned, value=value, expected=expected
    )


C, U, X, R = Deed.CREATE, Deed.UPDATE, Deed.REMOVE, Deed.READ

GOOD = {
    "nothing happened": [],
    "one after the other": [
        *(op("a", C, 1, 2, "1"), op("b", R, 3, 4, "1"), op("a", U, 5, 6, "2", "1"), op("b", R, 7, 8, "2")),
        *(op("a", X, 9, 10, expected="1"), op("b", R, 11, 12)),
    ],
    "a read during a write sees what was before": [op("a", C, 1, 4, "1"), op("b", R, 2, 3)],
    "a read during a write sees what comes": [op("a", C, 1, 4, "1"), op("b", R, 2, 3, "1")],
    "two reads during a write see it in turn": [op("a", C, 1, 8, "1"), op("b", R, 2, 3), op("c", R, 4, 5, "1")],
    "a write without an answer happens late": [
        *(op("a", C, 1, None, "1"), op("b", R, 2, 3), op("b", R, 4, 5), op("b", R, 6, 7, "1")),
    ],
    "a write without an answer never happens": [op("a", C, 1, None, "1"), op("b", R, 2, 3), op("b", C, 4, 5, "2")],
    "a removal without an answer happens between two reads": [
        *(op("a", C, 1, 2, "1"), op("a", X, 3, None, expected="1"), op("b", R, 4, 5, "1"), op("b", R, 6, 7)),
    ],
    "removed and created again while another looks": [
        *(op("a", C, 1, 2, "1"), op("a", X, 3, 6, expected="1"), op("b", C, 4, 7, "2"), op("c", R, 5, 8, "2")),
    ],
    "a read without an answer says nothing": [op("a", C, 1, 2, "1"), op("b", R, 3, None, "9")],
}

BAD = {
    "a stale read": [op("a", C, 1, 2, "1"), op("a", U, 3, 4, "2", "1"), op("b", R, 5, 6, "1")],
    "a lost write": [op("a", C, 1, 2, "1"), op("b", R, 3, 4)],
    "a read of what was never written": [op("b", R, 1, 2, "7")],
    "a write that comes and goes": [op("a", C, 1, None, "1"), op("b", R, 2, 3, "1"), op("b", R, 4, 5)],
    "two of one name": [op("a", C, 1, 4, "1"), op("b", C, 2, 5, "2")],
    "two updates on one version": [
        *(op("a", C, 1, 2, "1"), op("a", U, 3, 6, "2", "1"), op("b", U, 4, 7, "3", "1")),
    ],
    "a read before the write was asked for": [op("b", R, 1, 2, "1"), op("a", C, 3, 4, "1")],
    "two readers disagree on the order": [
        *(op("a", C, 1, 2, "1"), op("a", U, 3, 20, "2", "1"), op("b", R, 4, 5, "2"), op("c", R, 6, 7, "1")),
    ],
    "another object removed": [op("a", C, 1, 2, "1"), op("a", X, 3, 4, expected="0")],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_history_passes(name: str) -> None:
    assert list(check_history(GOOD[name])) == []


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history_is_found_out(name: str) -> None:
    [message] = check_history(BAD[name])
    assert message.startswith("the history of k is not linearizable: ")


def test_a_verdict_names_what_could_not_be_explained() -> None:
    """And what was explained just before."""
    assert list(check_history(BAD["a stale read"])) == [
        "the history of k is not linearizable: "
        "a creates 1 on - (1 to 2); a updates 2 on 1 (3 to 4); b reads 1 on - (5 to 6)"
    ]


def test_each_key_is_judged_alone() -> None:
    """An order that fits both keys need not be sought: one per key is enough."""
    histories = [*GOOD.values(), *BAD.values()]
    keyed = [
        Operation(**{**{f: getattr(each, f) for f in each.__struct_fields__}, "key": f"k{number}"})
        for number, history in enumerate(histories)
        for each in history
    ]
    found = [message.split(" is not")[0] for message in check_history(keyed)]
    assert found == sorted(f"the history of k{number}" for number in range(len(GOOD), len(GOOD) + len(BAD)))


def _explained_by_trying(history: list[Operation]) -> bool:
    """The definition itself: some order of all that were answered, and of some that were not."""
    definite = [each for each in history if each.returned is not None]
    loose = [each for each in history if each.returned is None and each.deed is not Deed.READ]
    for size in range(len(loose) + 1):
        for chosen in itertools.combinations(loose, size):
            for order in itertools.permutations([*definite, *chosen]):
                late = any(
                    later.returned is not None and later.returned < earlier.called
                    for place, earlier in enumerate(order)
                    for later in order[place + 1 :]
                )
                if late:
                    continue
                state, possible = None, True
                for each in order:
                    fits, state = each.after(state)
                    possible = possible and fits
                if possible:
                    return True
    return False


def _drawn(rng: random.Random) -> list[Operation]:
    times = sorted(rng.sample(range(100), 12))
    rng.shuffle(times)
    history = []
    for number in range(rng.randint(1, 6)):
        called, returned = sorted(times[2 * number : 2 * number + 2])
        deed = rng.choice(list(Deed))
        values = ["1", "2", "3", ""] if deed is Deed.READ else ["1", "2", "3"]
        end = None if rng.random() < 0.3 else returned
        history.append(op(f"c{number}", deed, called, end, rng.choice(values), rng.choice("12")))
    return history


def test_it_agrees_with_the_definition() -> None:
    """On small histories, where all orders can be tried."""
    verdicts = set()
    for seed in range(600):
        history = _drawn(random.Random(seed))
        expected = _explained_by_trying(history)
        assert (unexplained(history) == ()) == expected, f"seed {seed}: {[str(each) for each in history]}"
        verdicts.add(expected)
    assert verdicts == {True, False}


def test_a_long_history_takes_no_longer_than_it_has_to() -> None:
    """Hundreds of operations of several clients at once, some without an answer, as a real register would do them."""
    rng = random.Random(1)
    state, history, clock, written = None, [], 0, 0
    for _ in range(150):
        batch = []
        for client in range(4):
            written += 1
            deed = rng.choice([R, R, U if state else C, X if state and rng.random() < 0.2 else R])
            value = state[1] if state and deed is R else "" if deed in (R, X) else f"v{written}"
            expected = "" if state is None or deed is R else state[0] if deed is X else state[1]
            operation = op(f"c{client}", deed, 0, 1, value, expected)
            possible, after = operation.after(state)
            assert possible
            state = after
            batch.append((operation, written))
        starts = rng.sample(range(clock, clock + 4), 4)
        for (operation, _), start in zip(batch, starts, strict=True):
            returned = None if operation.deed is not R and rng.random() < 0.05 else clock + 10 + start % 4
            history.append(op(operation.client, operation.deed, start, returned, operation.value, operation.expected))
        clock += 20
    assert unexplained(history) == ()
    broken = [*history, op("z", R, clock + 1, clock + 2, "no such value")]
    assert broken[-1] in unexplained(broken)
