"""What a plugin lets users set."""

from swarmlab.api import Value


class Option(Value, frozen=True):
    """One setting of a plugin; users write it as "plugin.name"."""

    name: str
    #: Its type is the type of the option: bool, int, float or str.
    default: bool | int | float | str
    #: One sentence.
    help: str = ""
