"""Where tasks may run and over what they spread."""

from swarmlab.api.value import Value


class Platform(Value, frozen=True):
    """A machine architecture and an operating system; an empty field matches every one."""

    #: Machine name as uname gives it (x86_64, aarch64).
    architecture: str = ""
    #: linux, windows.
    os: str = ""


class SpreadOver(Value, frozen=True):
    """A wish for equal numbers of tasks over the values of a node property."""

    #: `node.labels.zone`, `engine.labels.rack` ...
    spread_descriptor: str = ""


class PlacementPreference(Value, frozen=True):
    """One level of the tree over which tasks are spread."""

    spread: SpreadOver | None = None


class Placement(Value, frozen=True, kw_only=True):
    """Where tasks may run and where they should."""

    #: Expressions such as `node.hostname==w1`; all must hold.
    constraints: tuple[str, ...] = ()
    #: The first is the top of the tree.
    preferences: tuple[PlacementPreference, ...] = ()
    #: Any of them; empty: every platform.
    platforms: tuple[Platform, ...] = ()
    #: Tasks of the service on one node; 0: no limit.
    max_replicas: int = 0
