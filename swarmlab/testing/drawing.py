"""Clusters to try a strategy on: drawn by chance, easily forgotten, or the smallest that still breaks."""

import random
from collections.abc import Callable, Iterator

from msgspec.structs import replace

from swarmlab.testing.builders import MIB
from swarmlab.testing.cases import Case, Machine, Wanted
from swarmlab.testing.judge import Books

#: Near the end of what fits 64 bits, in bytes and in cores: a sum of three of them would not.
HUGE_MEMORY = 2**62
HUGE_CORES = 4_000_000_000


def drawn(rng: random.Random) -> Case:
    """A cluster of up to 8 nodes and 4 services. What runs has room: a cluster does not begin overcommitted."""
    machines = tuple(
        Machine(
            cpus=rng.randint(0, 6),
            memory_mib=rng.choice((0, 256, 1024, 4096)),
            gpus=rng.choice((0, 0, 0, 2)),
            zone=rng.choice("abc"),
            ready=rng.random() < 0.85,
        )
        for _ in range(rng.randint(1, 8))
    )
    services: list[Wanted] = []
    for number in range(rng.randint(1, 4)):
        wanted = Wanted(
            count=rng.randint(0, 9),
            cpus=rng.choice((0, 0, 1, 2)),
            memory_mib=rng.choice((0, 0, 128, 512)),
            gpus=rng.choice((0, 0, 0, 0, 1)),
            zone=rng.choice(("", "", "", "a", "b")),
            spread=rng.random() < 0.3,
            max_replicas=rng.choice((0, 0, 0, 1, 2)),
            port=8000 + number if rng.random() < 0.15 else 0,
        )
        services.append(with_running(wanted, machines, services, [rng.randint(0, 3) for _ in machines]))
    return Case(machines, tuple(services))


def with_running(wanted: Wanted, machines: tuple[Machine, ...], beside: list[Wanted], wish: list[int]) -> Wanted:
    """`wanted` with as much of `wish` running as has room beside the others."""
    books = Books(Case(machines, (*beside, wanted)))
    held = [0] * len(machines)
    for number, count in enumerate(wish):
        for _ in range(count):
            if books.objection(len(beside), number):
                break
            books.take(len(beside), number)
            held[number] += 1
    return replace(wanted, running=tuple(held))


#: Clusters that are easily forgotten.
CORNERS: dict[str, Case] = {
    "no nodes": Case((), (Wanted(count=3),)),
    "no tasks": Case((Machine(),) * 3, ()),
    "nothing at all": Case(),
    "services without tasks": Case((Machine(),) * 2, (Wanted(count=0, running=(1, 1)),)),
    "no node is ready": Case((Machine(ready=False),) * 3, (Wanted(count=2),)),
    "every second node is down": Case(tuple(Machine(ready=not at % 2) for at in range(6)), (Wanted(count=7),)),
    "nodes without resources": Case((Machine(cpus=0, memory_mib=0),) * 3, (Wanted(count=4),)),
    "huge nodes": Case((Machine(cpus=HUGE_CORES, memory_mib=HUGE_MEMORY // MIB),) * 3, (Wanted(count=5, cpus=1),)),
    "huge tasks": Case(
        (Machine(cpus=HUGE_CORES, memory_mib=HUGE_MEMORY // MIB),) * 3,
        (Wanted(count=5, cpus=HUGE_CORES, memory_mib=HUGE_MEMORY // MIB),),
    ),
    "more tasks than fit": Case((Machine(cpus=2),) * 2, (Wanted(count=50, cpus=1), Wanted(count=50))),
    "one node holds all": Case((Machine(),) * 4, (Wanted(count=0, running=(8,)),)),
}


def smallest(case: Case, breaks: Callable[[Case], str]) -> tuple[Case, str]:
    """A case that still breaks, of which no smaller one does, and what `breaks` says of it."""
    said = breaks(case)
    while True:
        for smaller in _smaller(case):
            found = breaks(smaller)
            if found:
                case, said = smaller, found
                break
        else:
            return case, said


def _smaller(case: Case) -> Iterator[Case]:
    machines, services = case.machines, case.services
    for at in range(len(services)):
        yield Case(machines, (*services[:at], *services[at + 1 :]))
    for at in range(len(machines)):
        kept = tuple(replace(wanted, running=(*wanted.running[:at], *wanted.running[at + 1 :])) for wanted in services)
        yield Case((*machines[:at], *machines[at + 1 :]), kept)
    for at, wanted in enumerate(services):
        for smaller in _simpler(wanted):
            yield Case(machines, (*services[:at], smaller, *services[at + 1 :]))


def _simpler(wanted: Wanted) -> Iterator[Wanted]:
    for count in {0, wanted.count // 2, wanted.count - 1}:
        if 0 <= count < wanted.count:
            yield replace(wanted, count=count)
    for at, held in enumerate(wanted.running):
        if held:
            yield replace(wanted, running=(*wanted.running[:at], held - 1, *wanted.running[at + 1 :]))
    for name in ("cpus", "memory_mib", "gpus", "zone", "spread", "max_replicas", "port"):
        plain = getattr(Wanted(), name)
        if getattr(wanted, name) != plain:
            yield replace(wanted, **{name: plain})
