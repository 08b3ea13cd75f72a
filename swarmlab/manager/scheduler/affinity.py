"""Terms held against where tasks are: hard ones as refusals and as room, the others as scores.

A *place* is all nodes with one text under the domain of a term; nodes without a text are one place like any other.
"""

from collections.abc import Sequence

import numpy as np

from swarmlab.api import InvalidSpec, ServiceId
from swarmlab.manager.constraint import Constraints
from swarmlab.manager.scheduler.table import Table
from swarmlab.manager.scheduler.wishes import Wish
from swarmlab.plugin import OWN, Counts, Flags, Floats, Group, Ints, Refusals, Scores, Term, levelled, sealed, written

#: What need and have of a refusal count.
ALLOWED = "tasks allowed"
WANTED = "tasks wanted"
#: Room where a term sets no limit.
PLENTY = np.iinfo(np.int64).max


def hard(group: Group, wishes: Sequence[Wish], table: Table) -> list[Refusals]:
    """The nodes that hard terms rule out."""
    found = []
    for wish in wishes:
        if not wish.term.hard:
            continue
        refusal = _ranked_refusal(wish, group, table) if wish.choices else _refusal(wish, group, table)
        if refusal is not None and refusal.mask.any():
            found.append(refusal)
    return found


def soft(group: Group, wishes: Sequence[Wish], table: Table) -> list[Scores]:
    """How well the nodes suit the terms that refuse nobody, one part for each, under the term's own words.

    Hard terms that are ranked score too, so that a decision tells which choice a node was; and those of other services
    that want to be near draw the group to where they are.
    """
    found = []
    for wish in wishes:
        term = wish.term
        if wish.choices:
            values = 1.0 - _rank(wish, group, table) / len(wish.choices)
        elif wish.owner != group.service:
            if term.hard and term.avoid:
                continue
            values = _share([wish.owner], term, table)
            if term.avoid:
                values = _within(wish, group, table) if term.most else 1.0 - values
        elif term.hard:
            continue
        elif not term.is_about_tasks or term.most:
            values = _within(wish, group, table)
        else:
            values = _share(wish.aims, term, table)
            values = 1.0 - values if term.avoid else values
        by = f"{wish.plugin}: {written(term)}"
        if wish.owner != group.service:
            by += f" (of {wish.owner})"
        found.append(Scores(sealed(values.astype(np.float64)), term.weight, by))
    return found


def limit(room: Ints, group: Group, wishes: Sequence[Wish], table: Table, *, bound: bool = False) -> Ints:
    """`room`, lent out so that no term is broken and none passed over, however the nodes that have room are filled.

    A place that may take fewer tasks than there are lends them to its nodes, those with fewest tasks of the service
    first: which of the nodes is taken cannot be left open while the others are counted. `bound`: the tasks have their
    nodes, so there is no better choice to wait for.
    """
    if not any(wish.term.hard for wish in wishes):
        return room
    for _, spare, codes in sorted(_limits(group, wishes, table), key=lambda entry: -entry[0]):
        room = _lent(room, spare, codes, group, table)
    for wish in wishes:
        if not wish.term.hard:
            continue
        if wish.choices and not bound:
            room = _by_rank(room, wish, group, table)
        elif not wish.choices and not wish.term.avoid and group.service in wish.aims and group.count > 1:
            room = _in_one_place(room, wish, table)
    return room


def holds(wish: Wish, group: Group, table: Table) -> Flags:
    """Whether one task of the group more may go to each node, as far as one choice of a term is concerned."""
    term = wish.term
    if not term.is_about_tasks:
        return holds_there(term, table)
    if term.avoid:
        spare, codes = _spare(wish, group, table)
        return spare[codes] > 0
    codes, size = places(term, table)
    there = in_places(wish.aims, codes, size, table)
    if not there.any() and group.service in wish.aims:
        # The first of those that are to be together may go anywhere.
        return np.ones(len(table), np.bool_)
    return there[codes] > 0


def holds_there(term: Term, table: Table) -> Flags:
    """Whether the expression of a term about nodes holds, for each node."""
    if not term.node:
        return np.ones(len(table), np.bool_)
    memo = (written(term), "term")
    sheet = table.sheet
    if memo not in sheet.memo:
        try:
            mask = Constraints.parse((term.node,)).mask(sheet.n, sheet.attribute)
        except InvalidSpec:
            # Requests with such terms are refused; what came in all the same is not held against nodes.
            mask = np.ones(sheet.n, np.bool_)
        sheet.memo[memo] = sealed(mask)
    found: Flags = sheet.memo[memo]
    return found


def places(term: Term, table: Table) -> tuple[Ints | Counts, int]:
    """The place of each node, and how many there are."""
    if term.domain == "node.id":
        return np.arange(len(table), dtype=np.int64), len(table)
    codes, texts = table.domain(term.domain)
    return codes, len(texts)


def in_places(services: Sequence[ServiceId], codes: Ints | Counts, size: int, table: Table) -> Ints:
    """Active tasks of the services in each place."""
    total = np.zeros(size, np.int64)
    for service in services:
        total += np.bincount(codes, table.tasks_of(service), size).astype(np.int64)
    return total


def allowed(wish: Wish) -> int:
    """Tasks of those that an `avoid` term means, beside its owner's, that a place may hold."""
    return wish.term.most or int(wish.owner in wish.aims)


def _spare(wish: Wish, group: Group, table: Table) -> tuple[Ints, Ints | Counts]:
    """How many more tasks of the group each place may take under an `avoid` term, and the place of each node."""
    codes, size = places(wish.term, table)
    there = in_places(wish.aims, codes, size, table)
    spare = np.full(size, PLENTY)
    left = np.maximum(allowed(wish) - there, 0)
    if wish.owner != group.service:
        # It binds us only where its owner is.
        beside = in_places((wish.owner,), codes, size, table) > 0
        spare[beside] = left[beside]
    elif group.service in wish.aims:
        spare = left
    else:
        spare[there > allowed(wish)] = 0
    return spare, codes


def _refusal(wish: Wish, group: Group, table: Table) -> Refusals | None:
    term = wish.term
    if wish.owner != group.service and not term.avoid:
        return None
    mask = ~holds(wish, group, table)
    if not mask.any():
        return None
    if not term.is_about_tasks:
        return Refusals(sealed(mask), f"{term.node} does not hold", plugin=wish.plugin)
    codes, size = places(term, table)
    have = in_places(wish.aims, codes, size, table)[codes]
    most = allowed(wish) if term.avoid else 1
    if wish.owner != group.service and not term.most:
        have = in_places((wish.owner,), codes, size, table)[codes]
        most = 0
    need = np.broadcast_to(np.int64(most), have.shape)
    unit = ALLOWED if term.avoid else WANTED
    return Refusals(sealed(mask), _reason(wish, group, table), need, sealed(have), unit, wish.plugin)


def _ranked_refusal(wish: Wish, group: Group, table: Table) -> Refusals:
    refused = _rank(wish, group, table) == len(wish.choices)
    return Refusals(sealed(refused), f"none of the choices holds: {written(wish.term)}", plugin=wish.plugin)


def _reason(wish: Wish, group: Group, table: Table) -> str:
    term = wish.term
    meant = term.service or f"services with {term.label[0]}={term.label[1]}"
    by = "" if term.domain == "node.id" else f" by {term.domain}"
    if not term.avoid:
        return f"must be where {meant} is{by}" if term.service else f"must be where {meant} are{by}"
    if wish.owner != group.service:
        owner = table.sheet.view.service(wish.owner)
        named = owner.spec.annotations.name if owner is not None else wish.owner
        return f"{named} is there and allows {_at_most(term)}{by}" if term.most else f"must be apart from {named}{by}"
    if term.most:
        return f"at most {_at_most(term)} in one place{by}"
    if group.service in wish.aims and not term.label[0]:
        return f"a task of the service is there already{by}"
    return f"must be apart from {meant}{by}"


def _at_most(term: Term) -> str:
    whose = "the service" if term.service == OWN else term.service or f"services with {term.label[0]}={term.label[1]}"
    return f"{term.most} task{'' if term.most == 1 else 's'} of {whose}"


def _rank(wish: Wish, group: Group, table: Table) -> Ints:
    """The first choice that holds, for each node; the number of choices where none does."""
    rank = np.full(len(table), len(wish.choices), np.int64)
    for number, choice in reversed(list(enumerate(wish.choices))):
        rank[holds(choice, group, table)] = number
    return rank


def _limits(group: Group, wishes: Sequence[Wish], table: Table) -> list[tuple[int, Ints, Ints | Counts]]:
    """(number of places, room of each, place of each node) of the terms that set a limit to several tasks of a group.

    The narrow places come first: what they lend is what the wider ones can still choose from.
    """
    found = []
    for wish in wishes:
        if wish.term.hard and wish.term.avoid and wish.term.is_about_tasks and not wish.choices:
            spare, codes = _spare(wish, group, table)
            if (spare < group.count).any():
                found.append((len(spare), spare, codes))
    return found


def _lent(room: Ints, spare: Ints, codes: Ints | Counts, group: Group, table: Table) -> Ints:
    """`room`, in each place no more than it has to spare; a place with enough for the whole group keeps all."""
    room = np.minimum(room, spare[codes])
    if len(spare) == len(room):
        # Each node is a place of its own, as good as always; two that share one have another that is empty.
        counted = np.bincount(codes, minlength=len(spare))
        if int(counted.max(initial=0)) <= 1:
            return room
    whole = np.bincount(codes, room, len(spare)).astype(np.int64)
    tight = (spare < group.count) & (whole > spare)
    at = np.flatnonzero(tight[codes] & (room > 0))
    if not len(at):
        return room
    own = table.tasks_of(group.service).astype(np.int64)
    # One entry for each task that a node could take, with the height that it would have there.
    node = np.repeat(at, room[at])
    step = np.arange(len(node)) - np.repeat(np.cumsum(room[at]) - room[at], room[at])
    order = np.lexsort((node, table.tasks[node] - own[node], own[node] + step, codes[node]))
    place = codes[node[order]]
    first = np.searchsorted(place, place)
    taken = node[order][np.arange(len(order)) - first < spare[place]]
    lent = room.copy()
    lent[at] = 0
    lent += np.bincount(taken, minlength=len(room)).astype(np.int64)
    return lent


def _by_rank(room: Ints, wish: Wish, group: Group, table: Table) -> Ints:
    """`room` on the nodes of the best choice, and on those of the next ones what the better ones leave to be placed."""
    rank = _rank(wish, group, table)
    result = np.zeros_like(room)
    left = group.count
    for number, choice in enumerate(wish.choices):
        tier = np.where(rank == number, room, 0)
        if choice.term.avoid and choice.term.is_about_tasks:
            spare, codes = _spare(choice, group, table)
            tier = _lent(tier, spare, codes, group, table)
        elif choice.term.is_about_tasks and group.service in choice.aims and group.count > 1:
            tier = _in_one_place(tier, choice, table)
        if left < group.count and int(tier.sum()) > left:
            own = table.tasks_of(group.service).astype(np.int64)
            tier = levelled(own, tier, left, table.tasks - own)
        result += tier
        left -= int(tier.sum())
        if left <= 0:
            break
    return result


def _in_one_place(room: Ints, wish: Wish, table: Table) -> Ints:
    """`room`, all of it in the place that has most, where the first of those that are to be together are placed."""
    codes, size = places(wish.term, table)
    if in_places(wish.aims, codes, size, table).any() or not room.any():
        return room
    most = np.argmax(np.bincount(codes, room, size))
    return np.where(codes == most, room, 0)


def _within(wish: Wish, group: Group, table: Table) -> Floats:
    values: Floats = holds(wish, group, table).astype(np.float64)
    return values


def _share(services: Sequence[ServiceId], term: Term, table: Table) -> Floats:
    """Tasks of the services in the place of each node, as a share of the most that any has."""
    codes, size = places(term, table)
    there = in_places(services, codes, size, table).astype(np.float64)
    values: Floats = (there / max(there.max(initial=0.0), 1.0))[codes]
    return values
