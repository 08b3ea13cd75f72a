"""Whether a task is what its service wants now."""

from msgspec.structs import replace

from swarmlab.api import InvalidSpec, Node, Service, Task, TaskSpec, TaskState
from swarmlab.manager.constraint import Constraints
from swarmlab.store import Snapshot


class DirtyCheck:
    """Compares tasks with one service as it is now.

    A task is dirty when its spec differs from the service's in more than where it may run, or when it may no longer run
    where it is. Tasks of one spec version have one spec, so the specs are compared once for each version.
    Source: SwarmKit `manager/orchestrator/task.go`, IsTaskDirty.
    """

    def __init__(self, service: Service, view: Snapshot) -> None:
        self._service = service
        self._view = view
        self._differences: dict[int | None, _Difference] = {}
        self._constraints: Constraints | None = None

    def __call__(self, task: Task) -> bool:
        """Whether the task should be replaced by a new one."""
        version = task.spec_version
        wanted = self._service.spec_version
        if version is not None and wanted is not None and version.index == wanted.index:
            return False
        index = None if version is None else version.index
        difference = self._differences.get(index) if index is not None else None
        if difference is None:
            difference = self._differences[index] = _Difference(self._service, task)
        return difference.matters(task, self)

    def suits(self, node: Node | None) -> bool:
        """Whether the node meets the constraints of the service as it is now."""
        if node is None:
            return False
        if self._constraints is None:
            placement = self._service.spec.task.placement
            try:
                self._constraints = Constraints.parse(placement.constraints if placement is not None else ())
            except InvalidSpec:
                return False
        return self._constraints.match(node)

    def suits_node_of(self, task: Task) -> bool:
        """Whether the task has a node that meets the constraints."""
        return bool(task.node_id) and self.suits(self._view.node(task.node_id))


class _Difference:
    """In what the tasks of one spec version differ from their service."""

    def __init__(self, service: Service, task: Task) -> None:
        wanted, present = service.spec.task, task.spec
        endpoint = task.endpoint is not None and task.endpoint.spec != service.spec.endpoint
        self._pull_only = not endpoint and _without_pull_options(present) == _without_pull_options(wanted)
        self._any = endpoint or present != wanted
        self._place_only = not endpoint and replace(present, placement=wanted.placement) == wanted

    def matters(self, task: Task, check: DirtyCheck) -> bool:
        if not self._any:
            return False
        if self._place_only and check.suits_node_of(task):
            return False
        settled = task.desired_state <= TaskState.RUNNING and TaskState.READY <= task.status.state <= TaskState.RUNNING
        return not (settled and self._pull_only)


def _without_pull_options(spec: TaskSpec) -> TaskSpec:
    """The spec as far as it matters to a task whose image is there already."""
    if spec.container is None or spec.container.pull_options is None:
        return spec
    return replace(spec, container=replace(spec.container, pull_options=None))
