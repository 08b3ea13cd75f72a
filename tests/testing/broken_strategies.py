"""One strategy for each promise, that breaks it."""

import numpy as np

from swarmlab.plugin import Move, Moves, Placement, Plan, Scores, Strategy


class Greedy(Strategy):
    """Puts every task on the first node that is ready, room or not."""

    name = "greedy"

    def place(self, groups, view):
        if not len(view.nodes):
            return Plan()
        return Plan(tuple(Placement.of(group.id, np.eye(1, len(view.nodes), 0, np.int64)[0]) for group in groups))


class Nan(Strategy):
    """A score divided by what a node may not have."""

    name = "nan"

    def score(self, group, nodes, view):
        with np.errstate(invalid="ignore", divide="ignore"):
            return Scores(nodes.cpu_free / nodes.cpu_total)


class TooGood(Strategy):
    name = "too-good"

    def score(self, group, nodes, view):
        return Scores(np.full(len(nodes), 1.5))


class Short(Strategy):
    """Scores the ready nodes alone."""

    name = "short"

    def score(self, group, nodes, view):
        return Scores(nodes.ready[nodes.ready].astype(np.float64))


class Lazy(Strategy):
    """Places one task of a group at a time."""

    name = "lazy"

    def place(self, groups, view):
        placements = []
        for group in groups:
            usable = np.flatnonzero(view.capacity(group))
            if len(usable):
                counts = np.zeros(len(view.nodes), np.int64)
                counts[usable[0]] = 1
                placements.append(Placement.of(group.id, counts))
                view = view.after(placements[-1])
        return Plan(tuple(placements))


class Moody(Strategy):
    """Remembers how often any of its kind was asked."""

    name = "moody"
    asked = 0

    def score(self, group, nodes, view):
        Moody.asked += 1
        return Scores(np.array([(at + Moody.asked) % 3 for at in range(len(nodes))]) / 2)


class Hashed(Strategy):
    """Prefers nodes by the hash of their names."""

    name = "hashed"

    def score(self, group, nodes, view):
        return Scores(np.array([hash(name) % 1000 for name in nodes.ids]) / 1000)


class Restless(Strategy):
    """Moves one task to the next node, always."""

    name = "restless"

    def rebalance(self, view, trigger):
        for service in view.services:
            group = view.group_of(service)
            for task in view.tasks_of(service):
                room = view.capacity(group)
                for at in np.flatnonzero(room).tolist():
                    if view.nodes.ids[at] != task.node_id:
                        return Moves(moves=(Move(task.id, view.nodes.ids[at], "because"),))
        return Moves()


class Pusher(Strategy):
    """Moves everything to the last node."""

    name = "pusher"

    def rebalance(self, view, trigger):
        if not len(view.nodes):
            return Moves()
        last = view.nodes.ids[-1]
        tasks = (task for service in view.services for task in view.tasks_of(service))
        return Moves(moves=tuple(Move(task.id, last, "because") for task in tasks if task.node_id != last))
