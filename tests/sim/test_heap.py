"""Virtual time, and timers on it."""

from swarmlab.api import Instant, after, seconds
from swarmlab.sim import Heap, HeapTimers

START = Instant(1_000)


def test_what_is_due_first_happens_first_and_of_equals_what_was_planned_first() -> None:
    heap, story = Heap(START), list[tuple[str, int]]()
    for at, name in ((1_020, "late"), (1_010, "a"), (1_010, "b"), (1_005, "early")):
        heap.at(Instant(at), lambda name=name: story.append((name, heap.now)))  # type: ignore[misc]
    heap.run_until(Instant(1_030))
    assert story == [("early", 1_005), ("a", 1_010), ("b", 1_010), ("late", 1_020)]
    assert (heap.now, heap.clock(), heap.steps) == (1_030, 1_030, 4)


def test_what_is_due_at_the_end_happens_and_later_things_wait() -> None:
    heap, story = Heap(START), list[str]()
    heap.at(Instant(1_010), lambda: story.append("at the end"))
    heap.at(Instant(1_011), lambda: story.append("after it"))
    heap.run_until(Instant(1_010))
    assert story == ["at the end"]
    assert heap.next_due() == 1_011


def test_the_past_is_now_and_behind_what_is_planned_for_now() -> None:
    heap, story = Heap(START), list[str]()
    heap.at(START, lambda: story.append("now"))
    heap.at(Instant(5), lambda: story.append("past"))
    heap.run_until(START)
    assert story == ["now", "past"]
    assert heap.now == START


def test_what_happens_may_plan_more() -> None:
    heap, story = Heap(START), list[str]()

    def first() -> None:
        story.append("first")
        heap.later(seconds(0), lambda: story.append("soon"))
        heap.later(seconds(2), lambda: story.append("too late"))

    heap.at(START, first)
    heap.run_until(after(START, seconds(1)))
    assert story == ["first", "soon"]


def test_what_is_cancelled_does_not_happen_and_counts_for_nothing() -> None:
    heap, story = Heap(START), list[str]()
    heap.at(Instant(1_001), lambda: story.append("never")).cancel()
    kept = heap.at(Instant(1_002), lambda: story.append("kept"))
    assert heap.next_due() == 1_002
    heap.run_until(Instant(1_003))
    kept.cancel()
    assert story == ["kept"]
    assert heap.steps == 1
    assert heap.next_due() is None


def test_time_never_goes_back() -> None:
    heap = Heap(START)
    heap.run_until(Instant(500))
    assert heap.now == START


def test_a_timer_moves_when_it_is_set_again() -> None:
    heap, fired = Heap(START), list[tuple[str, str, int]]()
    timers = HeapTimers(heap, lambda owner, name: fired.append((owner, name, heap.now)))
    timers.set("a", "t", Instant(1_010))
    timers.set("b", "t", Instant(1_010))
    timers.set("a", "t", Instant(1_020))
    timers.set("a", "u", Instant(1_015))
    timers.cancel("a", "u")
    timers.cancel("a", "never set")
    heap.run_until(Instant(1_100))
    assert fired == [("b", "t", 1_010), ("a", "t", 1_020)]


def test_a_timer_may_be_set_again_as_it_fires() -> None:
    heap, fired = Heap(START), list[int]()

    def fire(owner: str, name: str) -> None:
        fired.append(heap.now)
        timers.set(owner, name, after(heap.now, 10))

    timers = HeapTimers(heap, fire)
    timers.set("a", "t", Instant(1_010))
    heap.run_until(Instant(1_030))
    assert fired == [1_010, 1_020, 1_030]


def test_closed_timers_neither_fire_nor_take_more() -> None:
    """A machine that died in the middle of a step sets the timers of that step no more."""
    heap, fired = Heap(START), list[str]()
    timers = HeapTimers(heap, lambda _, name: fired.append(name))
    timers.set("a", "t", Instant(1_010))
    timers.close()
    timers.set("a", "u", Instant(1_010))
    heap.run_until(Instant(1_100))
    assert fired == []
