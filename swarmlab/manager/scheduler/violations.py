"""What is broken now: tasks that are where a hard term of their service does not allow them any more.

No placement breaks a term; labels, terms and lost neighbours do.
"""

from collections.abc import Iterator

import numpy as np

from swarmlab.api import ServiceId, Task, Violation, node_name
from swarmlab.manager.scheduler import affinity
from swarmlab.manager.scheduler.demand import active, on_node
from swarmlab.manager.scheduler.table import Table
from swarmlab.manager.scheduler.view import View
from swarmlab.manager.scheduler.wishes import Wish
from swarmlab.plugin import Flags, written


def violations(view: View) -> tuple[Violation, ...]:
    """By service, term and task. Of a service with too many of its own in one place the newest ones are named."""
    return tuple(found for service in view.bound_services for found in _of_service(service, view))


def _of_service(service_id: ServiceId, view: View) -> Iterator[Violation]:
    service = view.snapshot.service(service_id)
    assert service is not None, f"service {service_id} has terms and is gone"
    tasks = [task for task in view.snapshot.tasks_of(service_id) if on_node(task) and active(task)]
    for wish in view.own_wishes(service_id):
        if not wish.term.hard or not tasks:
            continue
        for task, reason in _broken(wish, tasks, view.table):
            node = view.snapshot.node(task.node_id)
            yield Violation(
                service_id=service_id,
                service_name=service.spec.annotations.name,
                task_id=task.id,
                slot=task.slot,
                node_id=task.node_id,
                hostname=node_name(node) if node is not None else "",
                term=written(wish.term),
                reason=reason,
            )


def _broken(wish: Wish, tasks: list[Task], table: Table) -> list[tuple[Task, str]]:
    """The tasks of the wish's owner that break it, and why."""
    places = {task.id: table.index(task.node_id) for task in tasks}
    if wish.choices:
        kept = np.logical_or.reduce([_kept(choice, table) for choice in wish.choices])
    else:
        kept = _kept(wish, table)
    found = [(task, place) for task in tasks if (place := places[task.id]) is not None and not kept[place]]
    if wish.choices:
        return [(task, "none of the choices holds") for task, _ in found]
    if not wish.term.is_about_tasks:
        return [(task, f"{wish.term.node} does not hold") for task, _ in found]
    codes, size = affinity.places(wish.term, table)
    there = affinity.in_places(wish.aims, codes, size, table)
    if not wish.term.avoid:
        return [(task, "none of them there") for task, _ in found]
    most = affinity.allowed(wish)
    beside = int(wish.owner in wish.aims and not wish.term.most)
    text = "{} tasks there, at most {}" if not beside else "{} tasks there, its own among them, at most {}"
    told = [(task, place, text.format(int(there[codes[place]]), most)) for task, place in found]
    if wish.aims != (wish.owner,):
        return [(task, reason) for task, _, reason in told]
    newest = sorted(told, key=lambda entry: (-(entry[0].meta.created_at or 0), -entry[0].slot, entry[0].id))
    left = np.maximum(there - most, 0)
    surplus = []
    for task, place, reason in newest:
        if left[codes[place]] > 0:
            left[codes[place]] -= 1
            surplus.append((task, reason))
    return sorted(surplus, key=lambda entry: entry[0].id)


def _kept(wish: Wish, table: Table) -> Flags:
    """Where the tasks that the owner has on a node may be, as far as one choice of a term is concerned."""
    term = wish.term
    if not term.is_about_tasks:
        return affinity.holds_there(term, table)
    codes, size = affinity.places(term, table)
    if term.avoid:
        few: Flags = affinity.in_places(wish.aims, codes, size, table) <= affinity.allowed(wish)
        return few[codes]
    others = affinity.in_places([aim for aim in wish.aims if aim != wish.owner], codes, size, table)
    if wish.owner in wish.aims and not others.any():
        # They are to be with each other: where most of them are is right.
        own = affinity.in_places((wish.owner,), codes, size, table)
        fullest: Flags = np.arange(size) == np.argmax(own)
        return fullest[codes]
    near: Flags = others > 0
    return near[codes]
