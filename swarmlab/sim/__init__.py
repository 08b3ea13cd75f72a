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
from swarmlab.sim.history import Deed, Operation, check_history
from swarmlab.sim.machine import GroupModel, SimManager
from swarmlab.sim.managers import SimManagers
from swarmlab.sim.mesh import Mesh, MeshModel, MeshWire
from swarmlab.sim.network import Network, NetworkModel
from swarmlab.sim.proposer import CommitModel, HeapProposer
from swarmlab.sim.reading import load_scenario
from swarmlab.sim.rest import unrest
from swarmlab.sim.run import Regret, ScenarioResult, play_scenario, recipe, run_scenario
from swarmlab.sim.scenario import Scenario
from swarmlab.sim.soak import Verdict, play_seed
from swarmlab.sim.stories import draw_story
from swarmlab.sim.world import LogLine, World, WorldConfig
from swarmlab.sim.writers import check_proposal

__all__ = [
    "CommitModel",
    "Deed",
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
    "Operation",
    "Regret",
    "Scenario",
    "ScenarioResult",
    "SimDisk",
    "SimExecutor",
    "SimManager",
    "SimManagers",
    "TaskModel",
    "Verdict",
    "World",
    "WorldConfig",
    "check_commit",
    "check_converged",
    "check_history",
    "check_proposal",
    "draw_scenario",
    "draw_story",
    "load_scenario",
    "play_scenario",
    "play_seed",
    "recipe",
    "run_scenario",
    "running_by_node",
    "unrest",
    "write_scenario",
]
