"""The tasks of this node, and the secrets and configs that they may see."""

from collections.abc import Iterable, Sequence

from swarmlab.agent.exec import Dependencies, Executed, Kept, Persist
from swarmlab.agent.reporter import Reporter
from swarmlab.agent.task import TaskMachine
from swarmlab.api import (
    Assignment,
    AssignmentAction,
    AssignmentChange,
    Config,
    ConfigId,
    Instant,
    Secret,
    SecretId,
    Task,
    TaskId,
    TaskStatus,
    configs_of,
    secrets_of,
)
from swarmlab.component import Effect, Record


class Worker:
    """Starts, updates and drops tasks until they match what is assigned.

    Nothing is ever stopped for want of a manager. Secrets and configs live in memory only; a task sees those that it
    refers to. Restored tasks that refer to some not here yet wait for the first complete assignment.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._machines: dict[TaskId, TaskMachine] = {}
        #: Assigned anew while an earlier life of the task is still being taken off the node.
        self._again: dict[TaskId, Task] = {}
        self._secrets: dict[SecretId, Secret] = {}
        self._configs: dict[ConfigId, Config] = {}
        self._leaving = False

    @property
    def empty(self) -> bool:
        """Nothing of any task is left on the node."""
        return not self._machines

    def statuses(self) -> list[tuple[TaskId, TaskStatus]]:
        """What every assigned task is at, sorted by id."""
        machines = sorted(self._machines.items())
        return [(task_id, machine.status) for task_id, machine in machines if not machine.removing]

    def restore(self, tasks: Iterable[Kept], now: Instant) -> list[Effect]:
        """Go on with the tasks of an earlier life, from where they were."""
        for kept in tasks:
            machine = TaskMachine(kept.task, kept.status, self._dependencies, kept=True)
            machine.held = not self._has_all(kept.task)
            self._machines[kept.task.id] = machine
        return self._advance(sorted(self._machines), now)

    def replace(self, changes: Sequence[AssignmentChange], now: Instant) -> list[Effect]:
        """Make `changes` the whole of what is assigned."""
        self._secrets, self._configs = {}, {}
        effects = self._depend(changes)
        tasks = {task.id: task for _, task in _tasks(changes)}
        for task_id, machine in self._machines.items():
            machine.held = False
            if task_id not in tasks:
                machine.unassign()
        for task in tasks.values():
            self._assign(task)
        return effects + self._advance(sorted(self._machines), now)

    def amend(self, changes: Sequence[AssignmentChange], now: Instant) -> list[Effect]:
        """Apply `changes` to what is assigned: secrets, then configs, then tasks."""
        effects = self._depend(changes)
        touched = set()
        for action, task in _tasks(changes):
            if action is AssignmentAction.UPDATE:
                self._assign(task)
            else:
                self._again.pop(task.id, None)
                if task.id in self._machines:
                    self._machines[task.id].unassign()
            touched.add(task.id)
        return effects + self._advance(sorted(touched), now)

    def leave(self, now: Instant) -> list[Effect]:
        """Take every task off the node; later assignments are not taken."""
        self._leaving = True
        self._again = {}
        for machine in self._machines.values():
            machine.unassign()
        return self._advance(sorted(self._machines), now)

    def executed(self, event: Executed, now: Instant) -> list[Effect]:
        """Take the end of an operation."""
        machine = self._machines.get(event.task_id)
        if machine is None or not machine.executed(event, now):
            in_hand = machine.in_hand.value if machine is not None and machine.in_hand is not None else None
            fields = {"task": event.task_id, "operation": event.operation.value, "in_hand": in_hand}
            return [Record("stray-answer", fields)]
        return self._advance([event.task_id], now)

    def retry(self, task_id: TaskId, now: Instant) -> list[Effect]:
        """The wait of that task after a temporary error is over."""
        machine = self._machines.get(task_id)
        if machine is None:
            return []
        machine.retry()
        return self._advance([task_id], now)

    def _assign(self, task: Task) -> None:
        machine = self._machines.get(task.id)
        if self._leaving:
            return
        if machine is None:
            # What we kept would win; without a record the manager's knowledge is all there is.
            self._machines[task.id] = TaskMachine(task, task.status, self._dependencies)
        elif machine.removing:
            self._again[task.id] = task
        else:
            machine.assign(task)

    def _advance(self, task_ids: Iterable[TaskId], now: Instant) -> list[Effect]:
        """Take these tasks as far as they go; the records to keep come first, so that one write can keep them all."""
        effects = self._advanced(task_ids, now)
        return sorted(effects, key=lambda effect: not isinstance(effect, Persist))

    def _advanced(self, task_ids: Iterable[TaskId], now: Instant) -> list[Effect]:
        effects: list[Effect] = []
        for task_id in task_ids:
            machine = self._machines.get(task_id)
            if machine is None:
                continue
            effects += machine.advance(now)
            if machine.gone:
                del self._machines[task_id]
                self._reporter.forget(task_id)
                if task_id in self._again:
                    self._assign(self._again.pop(task_id))
                    effects += self._advanced([task_id], now)
            elif machine.removing:
                self._reporter.forget(task_id)
            elif machine.take_news():
                self._reporter.report(task_id, machine.status)
        return effects

    def _depend(self, changes: Sequence[AssignmentChange]) -> list[Effect]:
        """Apply the secrets and configs among `changes`."""
        effects: list[Effect] = []
        for change in changes:
            item = change.assignment or Assignment()
            keep = change.action is AssignmentAction.UPDATE
            if item.secret is not None:
                if keep:
                    self._secrets[item.secret.id] = item.secret
                else:
                    self._secrets.pop(item.secret.id, None)
            elif item.config is not None:
                if keep:
                    self._configs[item.config.id] = item.config
                else:
                    self._configs.pop(item.config.id, None)
            elif item.volume is not None:
                effects.append(Record("assignment-ignored", {"kind": "volume", "id": item.volume.id}))
        return effects

    def _dependencies(self, task: Task) -> Dependencies:
        return Dependencies(
            tuple(self._secrets[key] for key in secrets_of(task.spec) if key in self._secrets),
            tuple(self._configs[key] for key in configs_of(task.spec) if key in self._configs),
        )

    def _has_all(self, task: Task) -> bool:
        secrets, configs = secrets_of(task.spec), configs_of(task.spec)
        return all(key in self._secrets for key in secrets) and all(key in self._configs for key in configs)


def _tasks(changes: Sequence[AssignmentChange]) -> list[tuple[AssignmentAction, Task]]:
    """The tasks among `changes`, in their order."""
    return [
        (change.action, change.assignment.task)
        for change in changes
        if change.assignment is not None and change.assignment.task is not None
    ]
