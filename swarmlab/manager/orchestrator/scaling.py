"""Which slots of a replicated service stay when it is scaled down, and which numbers new ones get."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from swarmlab.api import NodeId, Task, TaskState


def kept_slots(slots: Mapping[int, Sequence[Task]], count: int) -> list[int]:
    """The numbers of the `count` slots that stay, ascending.

    Slots with a running task come before others, low numbers before high ones. In that order, each slot is the n-th
    copy on its node; then all first copies come before all second ones, and so on. A slot without a node, or with more
    than one task, comes last. Ties keep their order. Source: SwarmKit `replicated/services.go`, with a stable sort.

    Args:
        slots: {number: the tasks that serve the slot}, at least `count` of them.
        count: How many stay.
    """
    order = sorted(slots, key=lambda number: (not _runs(slots[number]), number))
    copies: dict[NodeId, int] = {}
    rank: dict[int, int] = {}
    for number in order:
        tasks = slots[number]
        if len(tasks) == 1 and tasks[0].node_id:
            node = tasks[0].node_id
            rank[number] = copies[node] = copies.get(node, 0) + 1
    last = len(slots) + 1
    return sorted(sorted(order, key=lambda number: rank.get(number, last))[:count])


def free_slots(taken: Collection[int]) -> Iterator[int]:
    """The numbers from 1 on that are not taken, ascending, without end."""
    number = 0
    while True:
        number += 1
        if number not in taken:
            yield number


def _runs(tasks: Sequence[Task]) -> bool:
    return any(task.status.state == TaskState.RUNNING for task in tasks)
