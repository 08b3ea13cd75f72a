"""What clients of a cluster did and saw, and whether one copy that does one thing after the other could explain it.

The checker is that of Wing and Gong, with the memory of Lowe: "Testing for linearizability", 2017. It knows nothing of
managers; each key is a register of its own, so each key's history is judged alone (Herlihy and Wing, 1990: locality).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum

from swarmlab.api import Value

#: (what its creation wrote, what was written last); None: there is none.
State = tuple[str, str] | None


class Deed(Enum):
    """What a client asks for."""

    CREATE = "creates"
    UPDATE = "updates"
    REMOVE = "removes"
    READ = "reads"


class Operation(Value, frozen=True, kw_only=True):
    """One request of a client. One that surely did nothing is left out of a history."""

    client: str
    key: str
    deed: Deed
    #: When it was asked and answered: places in the order of all that clients did. `returned` is None where no answer
    #: came: it may take effect at any time after, or never.
    called: int
    returned: int | None
    #: What CREATE and UPDATE write, each time something new; what READ saw, empty where there was nothing.
    value: str = ""
    #: UPDATE: the value that it builds on. REMOVE: what the creation of the removed object wrote.
    expected: str = ""

    def after(self, state: State) -> tuple[bool, State]:
        """Whether it can happen in that state, and the state after it."""
        match self.deed:
            case Deed.CREATE:
                return state is None, (self.value, self.value)
            case Deed.UPDATE:
                return state is not None and state[1] == self.expected, (state[0] if state else "", self.value)
            case Deed.REMOVE:
                return state is not None and state[0] == self.expected, None
            case Deed.READ:
                return (state[1] if state is not None else "") == self.value, state

    def __str__(self) -> str:
        end = "never answered" if self.returned is None else f"to {self.returned}"
        return f"{self.client} {self.deed.value} {self.value or '-'} on {self.expected or '-'} ({self.called} {end})"


def check_history(operations: Iterable[Operation]) -> Iterator[str]:
    """The keys whose history no order explains, one line each, with what could not be explained."""
    by_key: defaultdict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        by_key[operation.key].append(operation)
    for key, history in sorted(by_key.items()):
        stuck = unexplained(history)
        if stuck:
            yield f"the history of {key} is not linearizable: " + "; ".join(map(str, stuck))


def unexplained(history: Sequence[Operation]) -> Sequence[Operation]:
    """Nothing where the history of one key is linearizable; otherwise where the longest explanation of it ends.

    That is the operations that were explained last, in their order, and then those of which one had to come next.
    """
    # A read that was never answered says nothing.
    kept = [each for each in history if each.returned is not None or each.deed is not Deed.READ]
    kept.sort(key=lambda each: each.called)
    definite = sum(1 << place for place, each in enumerate(kept) if each.returned is not None)
    furthest: tuple[int, list[int]] = (-1, [])
    # Depth first: what is done, the state, what is left to try, and how it came to be.
    seen: set[tuple[int, State]] = {(0, None)}
    order: list[int] = []
    states: list[State] = [None]
    untried: list[Iterator[int]] = [iter(_next(kept, 0))]
    done = 0
    while untried:
        if done & definite == definite:
            return ()
        explained = (done & definite).bit_count()
        if explained > furthest[0]:
            furthest = explained, list(order)
        for place in untried[-1]:
            possible, state = kept[place].after(states[-1])
            now = done | 1 << place
            if possible and (now, state) not in seen:
                seen.add((now, state))
                done = now
                order.append(place)
                states.append(state)
                untried.append(iter(_next(kept, done)))
                break
        else:
            untried.pop()
            states.pop()
            if order:
                done &= ~(1 << order.pop())
    _, path = furthest
    stuck = _next(kept, sum(1 << place for place in path))
    return [kept[place] for place in (*path[-4:], *stuck)]


def _next(history: Sequence[Operation], done: int) -> list[int]:
    """Places of operations that may be the next: called before any other that is left was answered.

    Those that were answered come first, by their answers: mostly that is how it was.
    """
    left: list[int] = []
    horizon: int | None = None
    for place, each in enumerate(history):
        if done >> place & 1:
            continue
        if horizon is not None and each.called > horizon:
            break
        left.append(place)
        if each.returned is not None and (horizon is None or each.returned < horizon):
            horizon = each.returned
    last = 1 << 62
    return sorted(
        (place for place in left if horizon is None or history[place].called <= horizon),
        key=lambda place: (history[place].returned or last, place),
    )
