"""A whole cluster in this process, on real tasks.

Duty: joins a manager, its disk and control socket, and workers with executors by a wire inside the process; or runs
several managers and their workers as whole nodes over the loopback.
Takes: a configuration.
Gives: `EmbeddedCluster` and `Fleet`: started and stopped as a context, nodes that can be killed and revived by name.
Never: decides anything that a part of the cluster should.
"""

from swarmlab.daemon.story import Story
from swarmlab.embedded.cluster import EmbeddedCluster, EmbeddedConfig
from swarmlab.embedded.fleet import Fleet

__all__ = ["EmbeddedCluster", "EmbeddedConfig", "Fleet", "Story"]
