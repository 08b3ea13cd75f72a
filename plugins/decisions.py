"""Every decision as one line of JSON, in a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from swarmlab.plugin import Decision, Option, hookimpl


@hookimpl
def swarmlab_add_options() -> Sequence[Option]:
    """Where the lines go."""
    return (Option("path", "decisions.jsonl", "file that the lines are added to"),)


@hookimpl
def swarmlab_observe(decision: Decision, options: Mapping[str, Any]) -> None:
    """Adds a line; what is in the file stays."""
    with Path(options["decisions.path"]).open("ab") as file:
        file.write(msgspec.json.encode(decision) + b"\n")
