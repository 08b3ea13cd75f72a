"""Tasks as containers of a local Docker Engine.

Duty: the executor for machines with an engine, which is not in swarm mode: images, containers, their files, health,
logs and ports; finds its own containers again after a restart of the worker or the engine.
Takes: the steps of the agent, through `edges/execution.py`.
Gives: exit codes, output, host ports, and what the engine tells of its machine.
Never: touches a container without the label of its node; shows a secret to `docker inspect` or a log.
"""

from swarmlab.edges.docker.engine import Engine, engine_answers, engine_url
from swarmlab.edges.docker.executor import DockerExecutor, containers, remove_containers

__all__ = ["DockerExecutor", "Engine", "containers", "engine_answers", "engine_url", "remove_containers"]
