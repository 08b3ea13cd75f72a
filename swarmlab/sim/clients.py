"""Clients of several managers: they write and read registers at whichever manager, and what they see is judged."""

import random
from collections import deque
from collections.abc import Iterator
from typing import Any

from swarmlab.api import Duration, Instant, after, between
from swarmlab.api.quantities import format_duration
from swarmlab.sim.chance import Spread
from swarmlab.sim.front import Front, is_definite, view_of
from swarmlab.sim.history import Deed, Operation, check_history
from swarmlab.sim.machine import SimManager
from swarmlab.sim.registers import Register, Seen
from swarmlab.sim.world import World
from swarmlab.store import Committed

#: Registers that all clients share; half of them are services.
REGISTERS = 6
#: How often a client at the very end looks again for a manager that does not answer.
TRIES = 10


class Clients:
    """The clients of a run, and their common history.

    Reads through consensus and writes must be linearizable. Plain reads, of a manager that believes to lead, may be
    old, but not older than a leader without a quorum takes to notice; and they never show what surely did not happen.

    Args:
        world: The cluster; it has several managers.
        count: How many clients.
        pace: How long each rests between two requests.
        until: When they stop. Then each manager is asked for each register once more.
        rng: All that they choose.
    """

    def __init__(self, world: World, count: int, pace: Spread, until: Instant, rng: random.Random) -> None:
        assert world.managers is not None, "clients want several managers"
        self._world = world
        self._managers = world.managers
        self.heap = world.heap
        self.pace = pace
        self.until = until
        self.front = Front(self.heap, rng, self._managers)
        self.registers = [Register(f"r{number}", number % 2 == 1) for number in range(REGISTERS)]
        self.history: list[Operation] = []
        #: Requests that were granted.
        self.granted = 0
        self._order = 0
        self._written = 0
        #: Values that surely were never written.
        self._refused: set[str] = set()
        self._problems: list[str] = []
        #: (when it was committed, version), not older than plain reads may be.
        self._commits: deque[tuple[Instant, int]] = deque()
        raft = self._managers.model.raft
        self.oldest = Duration((2 * raft.election_ticks + 1) * self._managers.model.tick)
        #: What every plain read must show at least.
        self._floor = 0
        world.follow(self._committed)
        self._left = count
        for number in range(1, count + 1):
            _Client(self, f"c{number}", random.Random(rng.getrandbits(64))).rest()

    def failures(self) -> Iterator[str]:
        """What is wrong with what the clients saw, one line each."""
        yield from self._problems
        yield from check_history(self.history)
        if self._left:
            yield f"{self._left} clients have not come to their end"

    def managers(self) -> list[SimManager]:
        """All there are, down or not: a client does not know."""
        return [each for each in self._managers.all if not each.left]

    def tick(self) -> int:
        """The next place in the order of all that happens to clients."""
        self._order += 1
        return self._order

    def fresh(self) -> str:
        """A value that nobody ever wrote."""
        self._written += 1
        return f"v{self._written}"

    def note(self, operation: Operation, error: Exception | None) -> None:
        """A request has ended."""
        if error is None:
            self.granted += 1
            self.history.append(operation)
        elif is_definite(error):
            if operation.value:
                self._refused.add(operation.value)
        else:
            self.history.append(operation)

    def judge_look(self, register: Register, seen: Seen | None, version: int, floor: int) -> None:
        """Judge a plain read, which had to show the cluster at least as it was at version `floor`."""
        if seen is not None and seen.written in self._refused:
            self._problems.append(f"{register.name} shows {seen.written}, which was refused")
        if version < floor:
            age = format_duration(self.oldest)
            self._problems.append(f"a leader shows version {version}, though {floor} was there {age} before")

    def floor(self) -> int:
        """The version that every leader has by now."""
        while self._commits and between(self._commits[0][0], self.heap.now) >= self.oldest:
            _, self._floor = self._commits.popleft()
        return self._floor

    def finish(self) -> None:
        """A client has stopped; after the last one every manager is asked for everything."""
        self._left -= 1
        if not self._left:
            for owner in self.managers():
                self._read_all(owner, TRIES)

    def _read_all(self, owner: SimManager, tries: int) -> None:
        called = self.tick()

        def answered(value: Any, error: Exception | None) -> None:
            if error is None:
                view = view_of(value)
                for register in self.registers:
                    self.note(self.read(owner.name, register, called, register.seen(view)), None)
            elif tries:
                self._read_all(owner, tries - 1)
            else:
                self._problems.append(f"manager {owner.name} answers no reads at the end: {error}")

        self.front.read(owner, answered)

    def read(self, client: str, register: Register, called: int, seen: Seen | None) -> Operation:
        """The operation of a read that was answered now."""
        value = seen.written if seen is not None else ""
        return Operation(
            client=client, key=register.name, deed=Deed.READ, called=called, returned=self.tick(), value=value
        )

    def _committed(self, event: Committed) -> None:
        self._commits.append((self.heap.now, event.view.version))


class _Client:
    """One client: asks, waits for the answer, rests, and asks again. It stays with a manager that answers."""

    def __init__(self, clients: Clients, name: str, rng: random.Random) -> None:
        self._clients = clients
        self._name = name
        self._rng = rng
        self._at: SimManager | None = None
        #: What it read last; a register that it has not read since it wrote is not in it.
        self._known: dict[Register, Seen | None] = {}

    def rest(self) -> None:
        """Ask again, later."""
        clients = self._clients
        if clients.heap.now >= clients.until:
            clients.finish()
        else:
            clients.heap.at(after(clients.heap.now, clients.pace.draw(self._rng)), self._ask)

    def _ask(self) -> None:
        rng = self._rng
        register = rng.choice(self._clients.registers)
        if self._at is None or self._at.left or rng.random() < 0.1:
            self._at = rng.choice(self._clients.managers())
        if register not in self._known or rng.random() < 0.3:
            if rng.random() < 0.2:
                self._look(register, self._at)
            else:
                self._read(register, self._at)
            return
        seen = self._known.pop(register)
        if seen is None:
            self._write(register, Deed.CREATE, None)
        else:
            self._write(register, Deed.REMOVE if rng.random() < 0.2 else Deed.UPDATE, seen)

    def _read(self, register: Register, at: SimManager) -> None:
        clients, called = self._clients, self._clients.tick()

        def answered(value: Any, error: Exception | None) -> None:
            if error is None:
                seen = self._known[register] = register.seen(view_of(value))
                clients.note(clients.read(self._name, register, called, seen), None)
            self._ended(error)

        clients.front.read(at, answered)

    def _look(self, register: Register, at: SimManager) -> None:
        clients, floor = self._clients, self._clients.floor()

        def answered(value: Any, error: Exception | None) -> None:
            if error is None:
                view = view_of(value)
                clients.judge_look(register, register.seen(view), view.version, floor)
            self._ended(error)

        clients.front.look(at, answered)

    def _write(self, register: Register, deed: Deed, seen: Seen | None) -> None:
        clients, value = self._clients, "" if deed is Deed.REMOVE else self._clients.fresh()
        if seen is None:
            request, expected = register.create(value), ""
        elif deed is Deed.UPDATE:
            request, expected = register.update(seen, value), seen.written
        else:
            request, expected = register.remove(seen), seen.born
        called = clients.tick()

        def answered(_: Any, error: Exception | None) -> None:
            operation = Operation(
                client=self._name,
                key=register.name,
                deed=deed,
                called=called,
                returned=clients.tick() if error is None else None,
                value=value,
                expected=expected,
            )
            clients.note(operation, error)
            self._ended(error)

        assert self._at is not None
        clients.front.write(self._at, request, answered)

    def _ended(self, error: Exception | None) -> None:
        if error is not None:
            self._at = None
        self.rest()
