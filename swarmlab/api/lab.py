"""What this laboratory answers beyond the control service: explanations, strategies, the cluster's own story."""

from collections.abc import Mapping

from msgspec import field

from swarmlab.api.enums import TaskState
from swarmlab.api.ids import NodeId, ServiceId, TaskId
from swarmlab.api.moments import Instant
from swarmlab.api.value import Value


class Shortage(Value, frozen=True):
    """One reason for which one or more nodes were refused."""

    #: The filter or plugin that refused.
    filter: str
    #: In words, for one node or many: "insufficient resources on 3 nodes".
    text: str
    #: How many nodes it refused, whatever else refused them too.
    nodes: int


class NodeVerdict(Value, frozen=True, kw_only=True):
    """What one node was to one decision."""

    node_id: NodeId
    hostname: str
    #: {filter: reason}, every filter that refused the node, not the first alone; empty where the node was suitable.
    refusals: Mapping[str, str] = field(default_factory=dict)
    #: {scorer: weighted score}; empty where the node was refused or the strategy does not score.
    scores: Mapping[str, float] = field(default_factory=dict)
    #: Tasks of this group put there by the decision.
    placed: int = 0


class Explanation(Value, frozen=True, kw_only=True):
    """Why a task is where it is, or why it is nowhere yet."""

    task_id: TaskId
    service_id: ServiceId
    service_name: str
    state: TaskState
    desired_state: TaskState
    #: "pending", "placed" or "ended".
    verdict: str
    #: One sentence for a person.
    summary: str
    strategy: str = ""
    node_id: NodeId = NodeId("")
    hostname: str = ""
    #: Version of the view that the decision saw, and when it was made; None where the record is from before a restart.
    version: int = 0
    decided_at: Instant | None = None
    #: Most common first.
    shortages: tuple[Shortage, ...] = ()
    #: Chosen node first, then suitable ones best first, then refused ones by id; at most 50, the rest is counted below.
    nodes: tuple[NodeVerdict, ...] = ()
    nodes_left_out: int = 0
    #: Nearest fixes: "fits if the memory reservation is <= 512 MiB (node w2)".
    suggestions: tuple[str, ...] = ()
    #: The task's states so far, oldest first, one line each.
    story: tuple[str, ...] = ()


class Violation(Value, frozen=True, kw_only=True):
    """A task that is where a hard term of its service does not allow it any more."""

    service_id: ServiceId
    service_name: str
    task_id: TaskId
    #: 0 for the global kinds.
    slot: int
    node_id: NodeId
    hostname: str
    #: In the words of the grammar: "service!=db domain=rack".
    term: str
    #: "2 tasks there, at most 1".
    reason: str


class StrategyInfo(Value, frozen=True, kw_only=True):
    """A strategy that can be chosen."""

    name: str
    #: Where it comes from: a distribution, or a file.
    origin: str
    summary: str
    #: {parameter: default, as text}.
    parameters: Mapping[str, str] = field(default_factory=dict)
    rebalances: bool = False
    active: bool = False
    #: What a node's score is, or what its order is, with the weights in use; empty where the strategy does not tell.
    formula: str = ""


class LabEvent(Value, frozen=True, kw_only=True):
    """A line of the cluster's story, as recorded by the part that decided."""

    #: Grows by one with each event of this process.
    index: int
    at: Instant
    component: str
    name: str
    #: The fields as a JSON object.
    fields: str


class WorkerInfo(Value, frozen=True, kw_only=True):
    """A worker that runs inside this process."""

    name: str
    node_id: NodeId
    executor: str
    running: bool


class LabStatus(Value, frozen=True, kw_only=True):
    """The cluster at a glance."""

    cluster_id: str
    strategy: str
    version: int
    state_dir: str = ""
    workers: tuple[WorkerInfo, ...] = ()
