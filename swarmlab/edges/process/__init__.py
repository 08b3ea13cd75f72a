"""Tasks as plain processes of this machine.

Duty: the executor for machines without a container engine: each task a process in a session and directory of its own,
with environment, secrets, health check, logs, stop signal and grace.
Takes: the steps of the agent, through `edges/execution.py`.
Gives: exit codes, output, host ports; nothing of ours left running, after a kill -9 of the worker too.
Never: isolates. A task shares the file system, network and users of the machine. Linux only.
"""

from swarmlab.edges.process.executor import ProcessExecutor
from swarmlab.edges.process.proctable import kill_all_of

__all__ = ["ProcessExecutor", "kill_all_of"]
