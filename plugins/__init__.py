"""The shipped plugins, written against `swarmlab.plugin` alone and found like anybody's."""

from collections.abc import Mapping

from swarmlab.plugin import hookimpl

from . import affinity, decisions, flapping, prefer


@hookimpl
def swarmlab_register_plugins() -> Mapping[str, object]:
    """One module for each name."""
    return {"affinity": affinity, "decisions": decisions, "flapping": flapping, "prefer": prefer}
