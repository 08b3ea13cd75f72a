"""Nothing new for nodes that come and go."""

from swarmlab.plugin import NodeTable, Refusals, hookimpl


@hookimpl
def swarmlab_filter(nodes: NodeTable) -> Refusals:
    """Refuses nodes that were lost three times or more within the last ten minutes."""
    return Refusals(nodes.suspect, "node comes and goes")
