"""The simulated wire: order, loss, and what each end notices of it."""

import random
from typing import Any

from swarmlab.api import Duration, between, seconds
from swarmlab.sim import Heap, Network, NetworkModel
from swarmlab.sim.chance import Spread

PLAIN = NetworkModel(delay=Spread(median=seconds(0.001)))


class Wire:
    """A network, and the story of what comes out of it."""

    def __init__(self, model: NetworkModel = PLAIN, seed: int = 1) -> None:
        self.heap = Heap()
        self.story: list[str] = []
        self.network = Network(
            self.heap,
            random.Random(seed),
            lambda: model,
            to_manager=lambda node, message, call: self._note(f"{node} -> manager: {message} #{call}"),
            to_worker=lambda node, message, call: self._note(f"manager -> {node}: {message} #{call}"),
            broken=lambda node, end: self._note(f"{node}: the {end} notices"),
        )

    def up(self, message: Any, call: int = 1) -> None:
        """The worker sends."""
        self.network.send("n", "manager", message, call)

    def down(self, message: Any, call: int = 1) -> None:
        """The manager sends."""
        self.network.send("n", "worker", message, call)

    def wait(self, span: float) -> list[str]:
        """What happens in so many seconds."""
        self.story.clear()
        self.heap.run_until(self.heap.start + self.elapsed + seconds(span))  # type: ignore[arg-type]
        return list(self.story)

    @property
    def elapsed(self) -> Duration:
        return between(self.heap.start, self.heap.now)

    def _note(self, text: str) -> None:
        self.story.append(text)


def test_a_message_arrives_after_the_delay_with_its_call() -> None:
    wire = Wire()
    wire.up("hello", 7)
    assert wire.wait(0.0009) == []
    assert wire.wait(0.0001) == ["n -> manager: hello #7"]


def test_messages_keep_their_order_each_way_whatever_their_delays() -> None:
    wire = Wire(NetworkModel(delay=Spread(median=seconds(1), sigma=1.0)))
    for number in range(50):
        wire.up(number)
        wire.down(number)
    heard = wire.wait(3_600)
    assert [text for text in heard if "-> manager" in text] == [f"n -> manager: {number} #1" for number in range(50)]
    assert [text for text in heard if "-> n" in text] == [f"manager -> n: {number} #1" for number in range(50)]


def test_links_of_different_nodes_do_not_wait_for_each_other() -> None:
    wire = Wire()
    wire.network.cut("m")
    wire.network.send("m", "manager", "lost", 1)
    wire.up("hello")
    assert wire.wait(1) == ["n -> manager: hello #1"]


def test_a_broken_connection_carries_nothing_that_was_on_its_way() -> None:
    wire = Wire()
    wire.up("on its way")
    wire.down("on its way")
    wire.network.break_connection("n")
    assert wire.wait(1) == ["n: the manager notices", "n: the worker notices"]
    wire.up("again")
    assert wire.wait(1) == ["n -> manager: again #1"]


def test_chance_breaks_the_connection_with_the_message() -> None:
    wire = Wire(NetworkModel(delay=Spread(median=seconds(0.001)), breaks=1.0))
    wire.up("never")
    assert wire.wait(1) == ["n: the manager notices", "n: the worker notices"]


def test_a_short_cut_that_nobody_sends_into_is_not_noticed() -> None:
    wire = Wire()
    wire.network.cut("n")
    assert wire.wait(5) == []
    wire.network.heal("n")
    wire.up("hello")
    assert wire.wait(60) == ["n -> manager: hello #1"]


def test_a_cut_that_ends_soon_breaks_the_connection_if_something_was_lost() -> None:
    """A stream may not lose a message and carry the next one."""
    wire = Wire()
    wire.network.cut("n")
    wire.up("lost")
    assert wire.wait(5) == []
    wire.network.heal("n")
    assert wire.wait(60) == ["n: the manager notices", "n: the worker notices"]


def test_what_was_on_its_way_when_the_wire_was_cut_is_lost_with_the_connection() -> None:
    wire = Wire()
    wire.down("on its way")
    wire.network.cut("n")
    assert wire.wait(1) == []
    wire.network.heal("n")
    assert wire.wait(60) == ["n: the manager notices", "n: the worker notices"]


def test_a_long_cut_is_noticed_by_the_end_that_sends() -> None:
    wire = Wire()
    wire.network.cut("n")
    wire.up("lost")
    assert wire.wait(14.9) == []
    assert wire.wait(0.1) == ["n: the worker notices"]
    assert wire.wait(60) == []


def test_the_other_end_learns_of_it_when_the_first_one_comes_again() -> None:
    """The manager holds a connection that is long gone; the worker's new one tells it, before anything else."""
    wire = Wire()
    wire.network.cut("n")
    wire.up("lost")
    wire.wait(20)
    wire.network.heal("n")
    wire.up("again", 2)
    assert wire.wait(60) == ["n: the manager notices", "n -> manager: again #2"]
    wire.down("answer", 2)
    assert wire.wait(60) == ["manager -> n: answer #2"]


def test_or_when_it_sends_itself() -> None:
    wire = Wire()
    wire.network.cut("n")
    wire.up("lost")
    wire.wait(20)
    wire.network.heal("n")
    wire.down("into the old connection")
    assert wire.wait(60) == ["n: the manager notices"]


def test_a_node_without_power_is_noticed_by_silence_alone() -> None:
    wire = Wire()
    wire.up("on its way")
    wire.network.silence("n")
    assert wire.wait(60) == []
    wire.down("into the dark")
    assert wire.wait(14.9) == []
    assert wire.wait(0.1) == ["n: the manager notices"]


def test_a_node_that_comes_back_hears_nothing_of_its_last_life() -> None:
    """Its calls count from 1 again: an answer to call 1 of the last life must not come to this one."""
    wire = Wire()
    wire.up("call of the first life", 1)
    wire.wait(1)
    wire.down("on its way", 1)
    wire.network.silence("n")
    wire.network.open("n")
    wire.down("late answer", 1)
    assert wire.wait(1) == ["n: the manager notices"]
    wire.up("call of the second life", 1)
    assert wire.wait(1) == ["n -> manager: call of the second life #1"]
    wire.down("its answer", 1)
    assert wire.wait(1) == ["manager -> n: its answer #1"]


def test_the_end_of_a_process_is_told_to_the_manager() -> None:
    wire = Wire()
    wire.network.close("n")
    assert wire.wait(0.001) == ["n: the manager notices"]
    wire.network.open("n")
    wire.up("hello")
    assert wire.wait(1) == ["n -> manager: hello #1"]


def test_the_end_of_a_process_behind_a_cut_is_not() -> None:
    wire = Wire()
    wire.network.cut("n")
    wire.network.close("n")
    assert wire.wait(60) == []


def test_the_same_seed_gives_the_same_delays() -> None:
    def times(seed: int) -> list[int]:
        wire = Wire(NetworkModel(), seed)
        arrived: list[int] = []
        wire._note = lambda text: arrived.append(wire.elapsed)  # type: ignore[method-assign]
        for number in range(5):
            wire.up(number)
        wire.wait(1)
        return arrived

    assert times(1) == times(1)
    assert times(1) != times(2)
