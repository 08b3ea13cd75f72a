"""Why no node would do, in words and numbers."""

from collections.abc import Sequence

import numpy as np

from swarmlab.api import Shortage
from swarmlab.manager.scheduler.filters import TEXTS
from swarmlab.plugin import Flags, Refusals


def shortages(refused: Sequence[Refusals]) -> tuple[Shortage, ...]:
    """Each reason with the number of nodes that it rules out, whatever else does; most nodes first.

    The reasons of one built-in filter count as one; those of a plugin by their words.
    """
    masks: dict[tuple[str, str], Flags] = {}
    for refusal in refused:
        key = (refusal.plugin, "" if refusal.plugin in TEXTS else refusal.reason)
        masks[key] = masks[key] | refusal.mask if key in masks else refusal.mask
    counted = [(key, int(np.count_nonzero(mask))) for key, mask in masks.items()]
    return tuple(
        Shortage(plugin, in_words(plugin, reason, nodes), nodes)
        for (plugin, reason), nodes in sorted(counted, key=lambda entry: -entry[1])
    )


def in_words(plugin: str, reason: str, nodes: int) -> str:
    """One reason, for so many nodes."""
    if plugin not in TEXTS:
        return f"{reason} on {nodes} node{'' if nodes == 1 else 's'}"
    one, many = TEXTS[plugin]
    return one if nodes == 1 else many.format(n=nodes)


def explained(found: Sequence[Shortage]) -> str:
    """The text for `status.err`. Source: SwarmKit `scheduler/pipeline.go`, but with every reason of every node."""
    return f"no suitable node ({'; '.join(shortage.text for shortage in found)})" if found else "no suitable node"
