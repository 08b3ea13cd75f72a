"""An assembly hands each event to its end before the next one begins, and every effect to its port."""

from collections.abc import Sequence

import pytest

from swarmlab.api import Changes, Instant
from swarmlab.component import (
    Assembly,
    Component,
    Effect,
    Event,
    Propose,
    Proposed,
    Received,
    Record,
    Send,
    Tell,
    TimerFired,
)

NOW = Instant(7)


class Part:
    """Answers events by a table, and writes down what it was handed and when."""

    def __init__(self, name: str, story: list[str], answers: dict[str, Sequence[Effect]] | None = None) -> None:
        self.name = name
        self._story = story
        self._answers = answers or {}

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        assert isinstance(event, TimerFired)
        self._story.append(f"{self.name} hears {event.name}")
        return self._answers.get(event.name, [])


def test_a_broadcast_is_heard_in_the_order_of_the_parts() -> None:
    story: list[str] = []
    assembly = Assembly([Part("b", story), Part("a", story), Part("c", story)], {}, lambda: NOW)
    assert assembly.names == ("b", "a", "c")
    assembly.broadcast(TimerFired("x"))
    assert story == ["b hears x", "a hears x", "c hears x"]


def test_effects_are_carried_out_in_their_order_before_the_next_part_hears_the_event() -> None:
    story: list[str] = []
    effects = [Record("first", {}), Record("second", {})]
    parts = [Part("a", story, {"x": effects}), Part("b", story)]

    def record(source: str, effect: Effect) -> None:
        assert isinstance(effect, Record)
        story.append(f"{source} records {effect.name}")

    Assembly(parts, {Record: record}, lambda: NOW).broadcast(TimerFired("x"))
    assert story == ["a hears x", "a records first", "a records second", "b hears x"]


def test_no_event_begins_before_the_one_at_hand_is_over() -> None:
    """A commits at once; what follows from it waits until b has heard the event that a answered, too."""
    story: list[str] = []
    parts = [Part("a", story, {"x": [Propose(Changes(), tag="t")]}), Part("b", story)]

    def propose(source: str, effect: Effect) -> None:
        story.append(f"{source} proposes")
        assembly.broadcast(TimerFired("committed"))
        assembly.post(source, TimerFired("proposed"))
        story.append("the port is left")

    assembly = Assembly(parts, {Propose: propose}, lambda: NOW)
    assembly.broadcast(TimerFired("x"))
    assert story == [
        "a hears x",
        "a proposes",
        "the port is left",
        "b hears x",
        "a hears committed",
        "b hears committed",
        "a hears proposed",
    ]


def test_what_is_told_comes_after_what_is_queued() -> None:
    story: list[str] = []
    tell = [Tell("b", TimerFired("told")), Record("note", {})]

    def record(source: str, effect: Effect) -> None:
        story.append(f"{source} records")
        assembly.post("c", TimerFired("posted"))

    parts = [Part("a", story, {"x": tell}), Part("b", story), Part("c", story)]
    assembly = Assembly(parts, {Record: record}, lambda: NOW)
    assembly.post("a", TimerFired("x"))
    assert story == ["a hears x", "a records", "b hears told", "c hears posted"]


def test_a_part_may_tell_itself() -> None:
    story: list[str] = []
    assembly = Assembly([Part("a", story, {"x": [Tell("a", TimerFired("y"))]})], {}, lambda: NOW)
    assembly.post("a", TimerFired("x"))
    assert story == ["a hears x", "a hears y"]


def test_the_clock_is_asked_once_for_each_event() -> None:
    """All parts hear a broadcast at one time, however long the first ones took."""
    asked = iter(range(10))
    seen: list[tuple[str, Instant]] = []
    assembly = Assembly(
        [Part("a", []), Part("b", [])],
        {},
        lambda: Instant(next(asked)),
        observe=lambda name, _, now: seen.append((name, now)),
    )
    assembly.broadcast(TimerFired("x"))
    assembly.post("b", TimerFired("y"))
    assert seen == [("a", 0), ("b", 0), ("b", 1)]


def test_a_name_that_nobody_has_is_refused_with_those_there_are() -> None:
    assembly = Assembly([Part("a", []), Part("b", [])], {}, lambda: NOW)
    with pytest.raises(KeyError, match="no component 'c' here; there are a, b"):
        assembly.post("c", TimerFired("x"))
    teller = Assembly([Part("a", [], {"x": [Tell("nobody", TimerFired("y"))]})], {}, lambda: NOW)
    with pytest.raises(KeyError, match="no component 'nobody' here"):
        teller.post("a", TimerFired("x"))


def test_an_effect_without_a_port_is_a_bug_with_a_name() -> None:
    assembly = Assembly([Part("a", [], {"x": [Send("b", "hello")]})], {Record: lambda *_: None}, lambda: NOW)
    with pytest.raises(LookupError, match="a gave Send, for which this assembly has no port"):
        assembly.post("a", TimerFired("x"))


def test_two_parts_of_one_name_are_refused() -> None:
    parts: list[Component] = [Part("a", []), Part("b", []), Part("a", [])]
    with pytest.raises(ValueError, match=r"two components of one name: \['a', 'b', 'a'\]"):
        Assembly(parts, {}, lambda: NOW)


def test_events_are_values() -> None:
    """Equal content is equal, and nothing can be changed after the fact."""
    assert Received("n", "hello", 3) == Received("n", "hello", 3)
    assert Proposed("t", version=4) != Proposed("t", version=5)
    with pytest.raises(AttributeError):
        TimerFired("x").name = "y"  # type: ignore[misc]


class Broken:
    """Fails at every event."""

    name = "broken"

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        raise ZeroDivisionError("no way")


def test_an_assembly_that_failed_takes_no_further_event() -> None:
    """Half of the parts have heard of what the other half has not; nothing that they decide from then on counts."""
    story: list[str] = []
    assembly = Assembly([Part("a", story), Broken(), Part("c", story)], {}, lambda: NOW)
    with pytest.raises(ZeroDivisionError):
        assembly.broadcast(TimerFired("x"))
    with pytest.raises(RuntimeError, match="an earlier event was not handled to its end") as later:
        assembly.post("c", TimerFired("y"))
    assert isinstance(later.value.__cause__, ZeroDivisionError)
    assert story == ["a hears x"]
