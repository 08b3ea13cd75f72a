"""Each field has one writer: what the parts of a manager propose, checked from outside of them.

`spec` is the user's, except that an update may roll it back. The status of a task is written by the allocator, then by
the scheduler, then by its agent, for whom the dispatcher writes; that a node no longer fits (REJECTED) or is gone for
good (ORPHANED) is said by those who know.
"""

from collections.abc import Iterator, Mapping

from swarmlab.api import (
    Changes,
    Cluster,
    Create,
    Delete,
    Network,
    Node,
    Service,
    StoreObject,
    Task,
    TaskState,
    Update,
    Volume,
)
from swarmlab.sim.broken import InvariantBroken
from swarmlab.store import Snapshot

_ORCHESTRATORS = frozenset({"replicated", "global", "jobs"})
_UPDATERS = frozenset({"replicated", "global"})

#: {kind: {field: parts that write it}}; a status of a task has rules of its own.
_WRITERS: Mapping[type[StoreObject], Mapping[str, frozenset[str]]] = {
    Task: {
        # The scheduler: of a task that was to move to where it does not fit.
        "desired_state": _ORCHESTRATORS | {"enforcer", "reaper", "scheduler"},
        "node_id": frozenset({"scheduler"}),
        "assigned_generic_resources": frozenset({"scheduler"}),
        "volumes": frozenset({"scheduler"}),
        "endpoint": frozenset({"allocator"}),
        "networks": frozenset({"allocator"}),
    },
    Service: {
        "spec": _UPDATERS,
        "spec_version": _UPDATERS,
        "previous_spec": _UPDATERS,
        "previous_spec_version": _UPDATERS,
        # A job's rollback is over once it has begun.
        "update_status": _ORCHESTRATORS,
        "job_status": frozenset({"jobs"}),
        "endpoint": frozenset({"allocator"}),
    },
    Volume: {"publish_status": frozenset({"scheduler"})},
    Node: {
        "status": frozenset({"dispatcher"}),
        "description": frozenset({"dispatcher"}),
        "role": frozenset({"roles"}),
        "attachments": frozenset({"allocator"}),
    },
    Network: {"driver_state": frozenset({"allocator"}), "ipam": frozenset({"allocator"})},
    Cluster: {
        "network_bootstrap_keys": frozenset({"keymanager"}),
        "encryption_key_lamport_clock": frozenset({"keymanager"}),
    },
}
_CREATORS: Mapping[type[StoreObject], frozenset[str]] = {Task: _ORCHESTRATORS | {"resourceapi"}}
#: Orchestrators remove what was on nodes that are gone.
_REMOVERS: Mapping[type[StoreObject], frozenset[str]] = {
    Task: _ORCHESTRATORS | {"reaper", "resourceapi"},
    # Those that were to go when nobody uses them any more.
    Network: frozenset({"allocator"}),
}


def check_proposal(source: str, changes: Changes, view: Snapshot) -> None:
    """Look at what the part `source` proposes on `view`.

    Raises:
        InvariantBroken: It writes what is not its to write.
    """
    wrong = [text for group in changes.groups for action in group for text in _action(source, action, view)]
    if wrong:
        raise InvariantBroken(f"after version {view.version}: " + "; ".join(wrong))


def _action(source: str, action: Create | Update | Delete, view: Snapshot) -> Iterator[str]:
    if isinstance(action, Delete):
        if source not in _REMOVERS.get(action.kind, ()):
            yield f"{source} removes {action.kind.__name__} {action.id}"
        return
    new = action.object
    kind = type(new)
    if isinstance(action, Create):
        if source not in _CREATORS.get(kind, ()):
            yield f"{source} creates {kind.__name__} {new.id}"
        return
    old = view.get(kind, new.id)
    if old is None or old.meta.version != new.meta.version:
        return  # the store will refuse it
    for name in kind.__struct_fields__:
        if name == "meta" or getattr(new, name) == getattr(old, name):
            continue
        if isinstance(new, Task) and isinstance(old, Task) and name == "status":
            yield from _status(source, old, new)
        elif source not in _WRITERS.get(kind, {}).get(name, ()):
            yield f"{source} writes {name} of {kind.__name__} {new.id}"


def _status(source: str, old: Task, new: Task) -> Iterator[str]:
    was, becomes = old.status.state, new.status.state
    unwanted = becomes == TaskState.SHUTDOWN and new.desired_state >= TaskState.SHUTDOWN
    if becomes == TaskState.ORPHANED:
        allowed = source in ("reaper", "dispatcher")
    elif source == "enforcer":
        allowed = becomes == TaskState.REJECTED
    elif was < TaskState.PENDING:
        allowed = source == "allocator" and (becomes <= TaskState.PENDING or unwanted)
    elif was < TaskState.ASSIGNED:
        allowed = source == "scheduler" and (becomes <= TaskState.ASSIGNED or unwanted)
    else:
        allowed = source == "dispatcher"
    if not allowed:
        yield f"{source} takes Task {new.id} from {was.name} to {becomes.name}"
