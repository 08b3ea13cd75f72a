"""A host that runs swarmlab's node process."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from interop.hosts import Host, end, until
from interop.steps import Steps

SWARMLAB = str(Path(sys.executable).with_name("swarmlab"))
PORT = 2377


class Lab:
    """The node process of one host, and the commands that are typed there.

    Args:
        host: Where it runs.
        executor: What runs its tasks.
        flags: More flags of `swarmlab daemon`.
    """

    def __init__(self, host: Host, steps: Steps, executor: str = "process", flags: tuple[str, ...] = ()) -> None:
        self.host = host
        self.steps = steps
        self.state = host.home / "state"
        self._words = (
            "daemon", "--state-dir", str(self.state), "--hostname", host.name, "--executor", executor,
            "--listen-addr", f"{host.address}:{PORT}", "--advertise-addr", host.address, *flags,
        )  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it is reached as a manager."""
        return f"{self.host.address}:{PORT}"

    @property
    def runs(self) -> bool:
        """Its process was started, and not ended by `stop`."""
        return self._process is not None

    def start(self) -> None:
        """Start the node's process, and wait until it answers."""
        self._process = self.host.start(SWARMLAB, *self._words, log="swarmlab.log", env={"SWARMLAB_PULL": "never"})
        until(lambda: bool(self("swarm", "status", "-o", "json")), what=f"an answer of the node of {self.host.name}")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the process by that signal."""
        assert self._process is not None, "it was not started"
        end(self._process, number)
        self._process = None

    def __call__(self, *words: str, check: bool = True, seconds: float = 60) -> str:
        """What `swarmlab WORDS` prints here."""
        return self.host.run(SWARMLAB, *words, check=check, env=self._environment(), seconds=seconds).strip()

    def show(self, *words: str, check: bool = True, seconds: float = 60) -> str:
        """The same, told."""
        shown = self(*words, check=check, seconds=seconds)
        return self.steps.shown(f"{self.host.name}: swarmlab {' '.join(words)}", shown)

    def follow(self, *words: str, log: str) -> subprocess.Popen[bytes]:
        """`swarmlab WORDS` in the background, whose output goes to the file `log` of the host."""
        return self.host.start(SWARMLAB, *words, log=log, env=self._environment())

    def json(self, *words: str) -> Any:
        """What it prints with `-o json`, read."""
        return json.loads(self(*words, "-o", "json"))

    def _environment(self) -> dict[str, str]:
        # Wide, so that no line of a table is folded.
        return {"SWARMLAB_SOCKET": str(self.state / "swarmlab.sock"), "COLUMNS": "200", "NO_COLOR": "1"}

    # What the manager knows

    def nodes(self) -> dict[str, Any]:
        """{host name, or id without a session so far: node}; of nodes of one name the newest."""
        found = sorted(self.json("node", "ls"), key=lambda node: str(node["meta"]["created_at"]))
        return {node.get("description", {}).get("hostname") or node["id"]: node for node in found}

    def node_states(self) -> dict[str, str]:
        """{host name: state}."""
        return {name: node["status"].get("state", "unknown") for name, node in self.nodes().items()}

    def node_id(self, host: Host) -> str:
        """The id of the node of that host."""
        return str(self.nodes()[host.name]["id"])

    def on(self, host: Host) -> tuple[str, str]:
        """The flags that put a task there."""
        return "--constraint", f"node.hostname=={host.name}"

    def tasks(self, service: str) -> list[Any]:
        """All its tasks, the ended ones too."""
        found: list[Any] = self.json("service", "ps", service)
        return found

    def states(self, service: str) -> set[str]:
        """The states of its tasks."""
        return {task["status"]["state"] for task in self.tasks(service)}

    def running(self, service: str) -> dict[str, str]:
        """{task id: node id} of the tasks that run and are to run; what ran on a lost node is not to."""
        return {
            task["id"]: task["node_id"]
            for task in self.tasks(service)
            if task["status"]["state"] == "running" == task["desired_state"]
        }

    def gone(self, service: str) -> None:
        """Remove the service."""
        self("service", "rm", service)
