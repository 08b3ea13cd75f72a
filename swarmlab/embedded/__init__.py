"""A whole cluster in this process, on real tasks.

Duty: joins a manager, its disk and control socket, and workers with executors by a wire inside the process.
Takes: a configuration.
Gives: `EmbeddedCluster`: started and stopped as a context, workers that can be killed and revived by name.
Never: decides anything that a part of the cluster should.
"""

from swarmlab.daemon.story import Story
from swarmlab.embedded.cluster import EmbeddedCluster, EmbeddedConfig

__all__ = ["EmbeddedCluster", "EmbeddedConfig", "Story"]
