"""Wishes about other services, held against where their tasks are."""

from collections.abc import Sequence

import numpy as np

from swarmlab.api import ServiceId
from swarmlab.manager.scheduler.table import Table
from swarmlab.plugin import Counts, Group, Ints, Refusals, Scores, Term, sealed

#: (plugin, wish, the service that it is about)
Wish = tuple[str, Term, ServiceId]


def hard(group: Group, wishes: Sequence[Wish], table: Table) -> list[Refusals]:
    """The nodes that hard wishes rule out."""
    found = []
    for plugin, term, service in wishes:
        if not term.hard or (service == group.service and not term.avoid):
            continue
        near = _there(term, service, table) > 0
        if term.avoid and service == group.service:
            reason = "a task of the service is there already"
        else:
            reason = f"must be apart from {term.service}" if term.avoid else f"must be where {term.service} is"
        mask = near if term.avoid else ~near
        if mask.any():
            found.append(Refusals(sealed(mask), reason, plugin=plugin))
    return found


def soft(group: Group, wishes: Sequence[Wish], table: Table) -> list[Scores]:
    """How well the nodes suit soft wishes: by the tasks there are in the place of each, as a share of the most."""
    found = []
    for plugin, term, service in wishes:
        if term.hard or (service == group.service and not term.avoid):
            continue
        there = _there(term, service, table).astype(np.float64)
        share = there / max(there.max(initial=0.0), 1.0)
        found.append(Scores(sealed(1.0 - share if term.avoid else share), term.weight, plugin))
    return found


def limit(room: Ints, group: Group, wishes: Sequence[Wish], table: Table) -> Ints:
    """`room`, where tasks of the group must be apart from each other: one for each place.

    A place of several nodes lends its room to the first of them that has any: which of them is taken cannot be left
    open while the others are counted.
    """
    for _, term, service in wishes:
        if not (term.hard and term.avoid and service == group.service):
            continue
        codes, _ = table.domain(term.domain)
        usable = np.flatnonzero(room > 0)
        _, first = np.unique(codes[usable], return_index=True)
        room = np.zeros_like(room)
        room[usable[first]] = 1
    return room


def _there(term: Term, service: ServiceId, table: Table) -> Counts:
    """Tasks of the service in the place of each node."""
    tasks = table.tasks_of(service)
    if term.domain == "node.id":
        return tasks
    codes, texts = table.domain(term.domain)
    return np.bincount(codes, tasks, len(texts)).astype(np.int32)[codes]
