"""What things are called when people read them. Source: SwarmKit `api/naming`."""

from swarmlab.api.changes import StoreObject
from swarmlab.api.objects import Extension, Node, Resource, Task
from swarmlab.api.specs import TaskSpec


def task_name(task: Task) -> str:
    """`service.slot.id`, with the node's id in place of slot 0; or the name that the task has of its own."""
    if task.annotations.name:
        return task.annotations.name
    return f"{task.service_annotations.name}.{task.slot or task.node_id}.{task.id}"


def node_name(node: Node) -> str:
    """The node's host name; empty as long as its agent has not reported one."""
    return node.description.hostname if node.description is not None else ""


def name_of(obj: StoreObject) -> str:
    """The name under which `obj` is found: a node's host name, a task's display name, else what the user gave."""
    match obj:
        case Node():
            return node_name(obj)
        case Task():
            return task_name(obj)
        case Resource() | Extension():
            return obj.annotations.name
        case _:
            return obj.spec.annotations.name


def runtime_of(spec: TaskSpec) -> str:
    """What runs a task: `container`, `attachment`, or the kind of its generic runtime; empty where none is set."""
    if spec.container is not None:
        return "container"
    if spec.attachment is not None:
        return "attachment"
    return spec.generic.kind if spec.generic is not None else ""
