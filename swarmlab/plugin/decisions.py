"""What plugins and strategies answer with."""

from collections.abc import Sequence

import numpy as np

from swarmlab.api import Instant, NodeId, ServiceId, Shortage, TaskId, Value
from swarmlab.plugin.arrays import Counts, Flags, Floats, Ints, sealed

#: As `Term.service`: the service of the group itself.
OWN = "self"


class Refusals(Value, frozen=True, eq=False):
    """The nodes that must not run tasks of a group, for one reason."""

    #: True: refused. One entry per node.
    mask: Flags
    #: In words that continue "insufficient ...": kept, counted and shown to users.
    reason: str
    #: What one task wants, per node; in the unit of `unit`.
    need: Ints | None = None
    #: What the node has of it.
    have: Ints | None = None
    #: What `need` and `have` count: "nano-CPUs", "bytes", "gpu".
    unit: str = ""
    #: The filter or plugin that refused; the host writes it.
    plugin: str = ""


class Scores(Value, frozen=True, eq=False):
    """How well each node suits a group."""

    #: One entry per node, each in [0.0, 1.0]; higher is better.
    values: Floats
    #: Merged as a sum of weight x value; >= 0.
    weight: float = 1.0
    #: The plugin or strategy that scored; the host writes it.
    plugin: str = ""


class Term(Value, frozen=True, kw_only=True):
    """One wish of a group: about the tasks of services, or about the node itself.

    One of `service`, `label` and `node` is given; a term with none of them holds everywhere.
    """

    #: The service meant, by name or id; `OWN` is the group's own.
    service: str = ""
    #: (key, value) of a label of services: all services that have it are meant.
    label: tuple[str, str] = ("", "")
    #: An expression as constraints have them: "node.labels.dc == 1".
    node: str = ""
    #: True: stay apart from their tasks; False: be where they are. Expressions say it themselves.
    avoid: bool
    #: What counts as one place: a key of constraints. The default is the node itself.
    domain: str = "node.id"
    #: Hard terms refuse nodes; the others score them.
    hard: bool = True
    #: Of a soft term, as the weight of a score.
    weight: float = 1.0
    #: Hold it against the other services too, when those are placed: they keep apart, or are drawn near.
    symmetric: bool = True
    #: Of `avoid`: at most so many of their tasks in a place of the group, its own counted where it is meant itself.
    #: 0: none beside its own one.
    most: int = 0
    #: Second and further choices, best first. A hard term with choices takes the first one that has room; where none
    #: holds, the node is refused.
    otherwise: tuple["Term", ...] = ()

    @property
    def is_about_tasks(self) -> bool:
        """It is about tasks of services, not about the node."""
        return bool(self.service or self.label[0])


class Terms(Value, frozen=True):
    """All wishes that one plugin knows for a group."""

    terms: tuple[Term, ...] = ()


class Placement(Value, frozen=True, eq=False):
    """So many tasks of one group to each of these nodes."""

    #: `Group.id`.
    group: str
    #: Indices into the node table, ascending, each once.
    nodes: Ints
    #: Tasks for each of `nodes`, all >= 1.
    counts: Ints

    @classmethod
    def of(cls, group: str, counts: Ints | Counts) -> "Placement":
        """From one count per node of the table, zeros left out."""
        nodes = np.flatnonzero(counts)
        return cls(group, sealed(nodes.astype(np.int64)), sealed(counts[nodes].astype(np.int64)))

    @property
    def total(self) -> int:
        """Tasks placed."""
        return int(self.counts.sum())


#: The goal of a proof that was not even tried.
NOT_SEARCHED = "not searched"


class Proof(Value, frozen=True, kw_only=True):
    """How near a plan is to the best one. Goals come one after the other; this is the one that tells the difference.

    That is the first goal in which the search found better than it began with, or could not prove its result; else the
    last one.
    """

    #: What is minimised, by name.
    goal: str
    #: Of the best plan that was found.
    value: float
    #: Of the plan that the search began with: the greedy one, or the one that is judged.
    start: float
    #: No plan can be below; None where nothing is proven.
    bound: float | None = None
    #: "optimal"; "better" than the start, but the budget ran out; "greedy": the start, which was not improved.
    outcome: str = "optimal"
    #: Why it is not "optimal".
    why: str = ""

    @property
    def gap(self) -> float | None:
        """(value - bound), as a share of the value where that is above 1; None where nothing is proven."""
        return None if self.bound is None else (self.value - self.bound) / max(1.0, abs(self.value))

    @property
    def regret(self) -> float:
        """What the start costs more than the best plan that was found, >= 0."""
        return self.start - self.value


class Plan(Value, frozen=True, eq=False):
    """Placements decided on one view. They are taken in order: a later one counts on what an earlier one left."""

    placements: tuple[Placement, ...] = ()
    #: Of strategies that know how good the plan is.
    proof: Proof | None = None


class Trigger(Value, frozen=True):
    """Why a rebalance is asked for."""

    #: "join", "return", "labels", "drift" or "manual".
    kind: str
    #: The nodes that it is about; empty: all.
    nodes: tuple[NodeId, ...] = ()


class Move(Value, frozen=True):
    """A wish: a new task in the slot of `task` on node `to`, and then `task` may go."""

    task: TaskId
    to: NodeId
    reason: str


class Kept(Value, frozen=True):
    """A service that is left as it is, though it is not balanced, and why."""

    service: ServiceId
    reason: str


class Moves(Value, frozen=True, kw_only=True):
    """A plan of moves, with its account."""

    moves: tuple[Move, ...] = ()
    kept: tuple[Kept, ...] = ()
    #: Sum over the services of (most - fewest tasks on a usable node), in the units of the strategy that made it.
    imbalance_before: float = 0.0
    imbalance_after: float = 0.0
    #: The fewest moves that any plan with the same end could have.
    bound: int = 0


class Spot(Value, frozen=True, kw_only=True):
    """What one node was to a decision that placed tasks there, or next to it."""

    node: NodeId
    placed: int
    #: {scorer: weight x value}.
    scores: tuple[tuple[str, float], ...] = ()


class Decision(Value, frozen=True, kw_only=True):
    """What was decided for one group, once it is committed. Observers get it."""

    #: Version of the view that was decided on.
    version: int
    at: Instant
    strategy: str
    group: str
    service: ServiceId = ServiceId("")
    service_name: str = ""
    spec_version: int = 0
    #: (task, node), by task id.
    placed: tuple[tuple[TaskId, NodeId], ...] = ()
    #: Tasks that found no node, by id.
    pending: tuple[TaskId, ...] = ()
    #: Why nodes were refused, most common first; of decisions that left tasks pending.
    shortages: tuple[Shortage, ...] = ()


def merged(parts: Sequence[Scores], n: int) -> Floats:
    """The weighted sum of `parts` for n nodes; zeros without any."""
    total = np.zeros(n)
    for part in parts:
        total += part.weight * part.values
    return sealed(total)
