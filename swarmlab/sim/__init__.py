"""The simulated world: the same cluster in virtual time.

Duty: virtual time, a modelled wire, modelled tasks; scenarios, and checkers of what must always hold.
Takes: a configuration with a seed, or a scenario file; a plugin host.
Gives: worlds that run on the parts of `node/`; decision logs that are the same for the same seed.
Never: reads a clock, waits, or draws from a generator that does not derive from the seed.
"""

from swarmlab.sim.broken import InvariantBroken
from swarmlab.sim.checkers import check_commit, check_converged
from swarmlab.sim.disk import DiskModel, SimDisk
from swarmlab.sim.executor import ExecutorModel, SimExecutor, TaskModel
from swarmlab.sim.expectations import running_by_node
from swarmlab.sim.faults import draw_scenario, write_scenario
from swarmlab.sim.heap import Heap, HeapTimers
from swarmlab.sim.managers import GroupModel, SimManager, SimManagers
from swarmlab.sim.mesh import Mesh, MeshModel, MeshWire
from swarmlab.sim.network import Network, NetworkModel
from swarmlab.sim.proposer import CommitModel, HeapProposer
from swarmlab.sim.reading import load_scenario
from swarmlab.sim.rest import unrest
from swarmlab.sim.run import ScenarioResult, play_scenario, recipe, run_scenario
from swarmlab.sim.scenario import Scenario
from swarmlab.sim.world import LogLine, World, WorldConfig
from swarmlab.sim.writers import check_proposal

__all__ = [
    "CommitModel",
    "DiskModel",
    "ExecutorModel",
    "GroupModel",
    "Heap",
    "HeapProposer",
    "HeapTimers",
    "InvariantBroken",
    "LogLine",
    "Mesh",
    "MeshModel",
    "MeshWire",
    "Network",
    "NetworkModel",
    "Scenario",
    "ScenarioResult",
    "SimDisk",
    "SimExecutor",
    "SimManager",
    "SimManagers",
    "TaskModel",
    "World",
    "WorldConfig",
    "check_commit",
    "check_converged",
    "check_proposal",
    "draw_scenario",
    "load_scenario",
    "play_scenario",
    "recipe",
    "run_scenario",
    "running_by_node",
    "unrest",
    "write_scenario",
]
