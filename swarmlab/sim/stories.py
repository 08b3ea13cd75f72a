"""Draws stories of several managers: they lose power, disks and each other, are promoted and demoted; then peace.

Every third story is one of the faults of nodes and the deeds of users, too. In the others nodes are well, and whatever
befalls managers may restart no task.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from swarmlab.api.quantities import parse_duration
from swarmlab.component import derived_rng
from swarmlab.sim.entries import NodeEntry, ServiceEntry
from swarmlab.sim.faults import draw_scenario
from swarmlab.sim.misfortunes import FAILS, STALLS, WELL
from swarmlab.sim.scenario import EventEntry, Expectation, GroupEntry, LoadEntry, Scenario

#: Seconds from the end of act one until the cluster must be at rest, where nodes and tasks are well.
PEACE = 180
#: How many managers there are at most, those that were demoted included.
MOST_MANAGERS = 7
#: Seconds after the beginning at which the first thing goes wrong, and for which clients go on when all is well again.
BEGIN, AFTERWARDS = 8, 20


def draw_story(seed: int, managers: int | None = None) -> Scenario:
    """The story of that seed, of that many managers at first; by default the seed decides on 3 or 5."""
    rng = derived_rng(seed, "stories")
    count = rng.choice((3, 3, 5))
    count = count if managers is None else managers
    scenario = draw_scenario(seed) if seed % 3 == 0 else _well(rng)
    [calm] = [parse_duration(event.at) / 1e9 for event in scenario.events if event.calm is not None]
    mischief = _Mischief(rng, count, calm).events()
    # Restarts of managers are part of the mischief; here they would start those that are to be down.
    others = [event for event in scenario.events if event.restart_manager is None]
    return replace(
        scenario,
        managers=count,
        events=tuple(sorted((*others, *mischief), key=lambda event: parse_duration(event.at))),
        commit_delay="0s",
        commit_drops=0.0,
        group=GroupEntry(
            delay=rng.choice(("1ms~0.3", "10ms~1", "0s")),
            loses=rng.choice((0.0, 0.0, 0.02)),
            duplicates=rng.choice((0.0, 0.0, 0.05)),
            disk=rng.choice(("0s", "2ms~0.5", "20ms~1")),
            snapshot_every=rng.choice((0, 20, 100)),
            slow_entries=rng.choice((0, 10, 500)),
        ),
        load=LoadEntry(
            clients=rng.randint(2, 5), pace=rng.choice(("200ms~0.5", "1s~0.5")), until=_text(calm + AFTERWARDS)
        ),
    )


def _well(rng: random.Random) -> Scenario:
    """Nodes and tasks that are well, and users who only ever add something."""
    end = rng.uniform(60, 150)
    nodes = tuple(NodeEntry(name=f"n{number}") for number in range(1, rng.randint(2, 5)))
    modes = ("replicated", "replicated", "global")
    services = {
        f"s{number}": ServiceEntry(mode=rng.choice(modes), replicas=rng.randint(1, 6))
        for number in range(1, rng.randint(2, 5))
    }
    events = [
        EventEntry(
            at=_text(rng.uniform(BEGIN, end)), deploy={f"late{number}": ServiceEntry(replicas=rng.randint(1, 4))}
        )
        for number in range(rng.randint(0, 4))
    ]
    rest = _text(end + PEACE)
    return Scenario(
        description="A story of managers that fail, of nodes that do not, and of peace.",
        strategies=(rng.choice(("spread", "binpack")),),
        nodes=nodes,
        services=services,
        events=(
            *events,
            EventEntry(at=_text(end), calm="act two"),
            EventEntry(at=rest, expect=Expectation(at_rest=True, restarts=0, moves=0)),
        ),
        until=rest,
        heartbeat=rng.choice(("5s", "5s", "10s")),
        delay=rng.choice(("1ms~0.3", "20ms~1", "0s")),
        lenient=True,
    )


def _text(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


class _Mischief:
    """Writes what befalls managers. It need not know who is up: an event that cannot happen is passed over.

    Args:
        rng: All that it chooses, how often each kind of fault comes included.
        count: Managers at the beginning.
        calm: Seconds at which everything is mended.
    """

    def __init__(self, rng: random.Random, count: int, calm: float) -> None:
        self._rng = rng
        self._calm = calm
        self._now = float(BEGIN)
        self._events: list[EventEntry] = []
        self._managers = [f"m{number}" for number in range(1, count + 1)]
        self._wished = set(self._managers)
        self._parted: list[str] = []
        self._failed: set[str] = set()

    def events(self) -> Sequence[EventEntry]:
        """All of it, and how it is mended."""
        rng = self._rng
        deeds: Sequence[Callable[[], None]] = (
            *(self._power_off, self._kill_leader, self._hand_over, self._part, self._slow_disk, self._stall_disk),
            *(self._fail_disk, self._promote, self._demote),
        )
        rates = {deed: rng.choice((0.0, 0.02, 0.08)) for deed in deeds}
        rates[self._kill_leader] += 0.02
        rates[self._power_on] = rng.choice((0.1, 0.3))
        rates[self._heal] = rng.choice((0.05, 0.2))
        while True:
            self._now += rng.expovariate(sum(rates.values()))
            if self._now >= self._calm - 1:
                break
            [deed] = rng.choices(list(rates), list(rates.values()))
            deed()
        self._mend()
        return self._events

    def _tell(self, **action: Any) -> None:
        self._events.append(EventEntry(at=_text(self._now), **action))

    def _any(self) -> str:
        return self._rng.choice(self._managers)

    def _power_off(self) -> None:
        self._tell(manager_down=self._any())

    def _power_on(self) -> None:
        self._tell(manager_up=self._any())

    def _kill_leader(self) -> None:
        self._tell(kill_leader=self._rng.choice(("100ms", "3s", "20s")))

    def _hand_over(self) -> None:
        self._tell(hand_over="mischief")

    def _part(self) -> None:
        """Two sides, one of them perhaps deaf only; earlier partitions stay."""
        rng = self._rng
        some = rng.sample(self._managers, rng.randint(1, len(self._managers) - 1))
        others = [name for name in self._managers if name not in some]
        text = f" {rng.choice('||>')} ".join((" ".join(some), " ".join(others)))
        self._parted.append(text)
        self._tell(partition=text)

    def _heal(self) -> None:
        for text in self._parted:
            self._tell(heal=text)
        self._parted.clear()

    def _slow_disk(self) -> None:
        self._tell(disk={self._any(): self._rng.choice(("20ms~1", "300ms~1", "1s"))})

    def _stall_disk(self) -> None:
        self._tell(disk={self._any(): self._rng.choice((STALLS, WELL))})

    def _fail_disk(self) -> None:
        name = self._any()
        self._failed.add(name)
        self._tell(disk={name: FAILS})

    def _promote(self) -> None:
        former = sorted(set(self._managers) - self._wished)
        if former and self._rng.random() < 0.5:
            name = self._rng.choice(former)
        elif len(self._managers) < MOST_MANAGERS:
            name = f"m{len(self._managers) + 1}"
            self._managers.append(name)
        else:
            return
        self._wished.add(name)
        self._tell(promote=name)

    def _demote(self) -> None:
        """Of three that are wished for none goes: one more that fails would be one too many."""
        if len(self._wished) > 3:
            name = self._rng.choice(sorted(self._wished))
            self._wished.discard(name)
            self._tell(demote=name)

    def _mend(self) -> None:
        self._now = self._calm
        self._heal()
        for name in self._managers:
            if name in self._failed:
                # A replica whose disk has failed once takes no part until it is started again.
                self._tell(manager_down=name)
            self._tell(disk={name: WELL})
            self._tell(manager_up=name)
