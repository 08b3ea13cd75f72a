"""Brings a node's role to what its spec wishes. Source: SwarmKit `manager/role_manager.go`."""

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from swarmlab.api import SECOND, Duration, Instant, ManagerStatus, Node, NodeId, NodeRole, NotFound, Update, after
from swarmlab.component import Effect, Event, Proposed, Record, SetTimer, TimerFired
from swarmlab.manager.orchestrator.desk import RETRY, Desk, Entry
from swarmlab.store import EMPTY, Committed, Led

#: When a departure that came to nothing is tried again. SwarmKit `roleReconcileInterval`.
AGAIN_AFTER = Duration(5 * SECOND)
_AGAIN = "again"


class LeaveRaft(Effect, frozen=True):
    """Remove that member from the raft group; the part hears `RaftLeft(node_id)`."""

    node_id: NodeId
    raft_id: int


class RaftLeft(Event, frozen=True):
    """The end of a `LeaveRaft`: the node is no member any more, or why it still is, or may be, one."""

    node_id: NodeId
    error: Exception | None = None


class RoleManager:
    """Promotes and demotes. Lives for one leader term.

    A node that is to be a manager gets the role at once: with the certificate that follows it joins the group by
    itself. One that is to be a worker leaves the group first: who has a worker's certificate could not. So does a
    member without a node, which a removal can leave behind when the leader changes in the middle of it.

    Args:
        managers: The members of the raft group by their nodes, as they are now.
    """

    name = "roles"

    def __init__(self, managers: Callable[[], Mapping[NodeId, ManagerStatus]]) -> None:
        self._managers = managers
        self._view = EMPTY
        self._desk: Desk[NodeId] = Desk()
        #: Nodes to look at.
        self._nodes: set[NodeId] = set()
        #: Nodes that are leaving the group, and those that could not and are looked at again after a while.
        self._leaving: set[NodeId] = set()
        self._later: set[NodeId] = set()

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """React to a commit, to the end of a departure, or to the answer to a proposal."""
        effects: list[Effect] = []
        match event:
            case Led(view=view):
                self._view = view
                self._desk.reset()
                self._leaving, self._later = set(), set()
                self._nodes = {node.id for node in view.nodes()} | set(self._managers())
            case Committed(view=view, changes=changes):
                self._view = view
                self._nodes.update(change.object.id for change in changes if type(change.object) is Node)
            case RaftLeft(node_id=node_id, error=error) if node_id in self._leaving:
                effects += self._left(node_id, error, now)
            case Proposed():
                settled = self._desk.settle(event, now)
                effects += settled.effects
                self._nodes.update(settled.again)
            case TimerFired(name=name) if name == RETRY:
                self._desk.resume()
            case TimerFired(name=name) if name == _AGAIN:
                self._nodes |= self._later
                self._later = set()
            case _:
                return ()
        return [*effects, *self._reconcile()]

    def _reconcile(self) -> list[Effect]:
        """Do what can be done now for the nodes that are to be looked at."""
        if not self._nodes or self._view.cluster() is None:
            return []
        effects: list[Effect] = []
        entries: list[Entry[NodeId]] = []
        busy: set[NodeId] = set()
        managers = self._managers()
        for node_id in sorted(self._nodes):
            node, member = self._view.node(node_id), managers.get(node_id)
            wished = NodeRole.WORKER if node is None else node.spec.desired_role
            if wished == NodeRole.WORKER and member is not None:
                if node_id not in self._leaving:
                    self._leaving.add(node_id)
                    effects.append(LeaveRaft(node_id, member.raft_id))
            elif node is not None and node.role != wished:
                if self._desk.busy:
                    busy.add(node_id)
                else:
                    entries.append(_role_change(node))
        self._nodes = busy
        return [*effects, *(self._desk.propose(entries) if entries else ())]

    def _left(self, node_id: NodeId, error: Exception | None, now: Instant) -> list[Effect]:
        self._leaving.discard(node_id)
        if error is None or isinstance(error, NotFound):
            self._nodes.add(node_id)
            return [Record("raft-left", {"node": node_id})]
        self._later.add(node_id)
        return [
            Record("raft-not-left", {"node": node_id, "error": str(error)}),
            SetTimer(_AGAIN, after(now, AGAIN_AFTER)),
        ]


def _role_change(node: Node) -> Entry[NodeId]:
    role = node.spec.desired_role
    record = Record("role-changed", {"node": node.id, "role": role.name.lower()})
    return Entry(node.id, (Update(replace(node, role=role)),), (record,))
