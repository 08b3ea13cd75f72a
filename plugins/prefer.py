"""Rather here, else there: by a label of the service.

`swarmlab.prefer` holds expressions, best first: "node.labels.dc == 1, node.labels.dc == 2". A node scores by the first
one that holds; where none holds it scores nothing, but is taken when the others are full. `spread` looks at scores
after the tasks of the service, so a preference there decides among nodes that hold equally many.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from swarmlab.plugin import Group, NodeTable, Option, Scores, hookimpl, sealed

LABEL = "swarmlab.prefer"


@hookimpl
def swarmlab_add_options() -> Sequence[Option]:
    """How much the preference weighs beside other scores."""
    return (Option("weight", 1.0, "weight of the score beside others, >= 0"),)


@hookimpl
def swarmlab_score(group: Group, nodes: NodeTable, options: Mapping[str, Any]) -> Scores | None:
    """1 for the first expression, less for each later one, 0 where none holds."""
    wishes = [item for item in group.labels.get(LABEL, "").split(",") if "==" in item]
    if not wishes:
        return None
    values = np.zeros(len(nodes))
    for rank, wish in reversed(list(enumerate(wishes))):
        key, _, value = (part.strip() for part in wish.partition("=="))
        codes, texts = nodes.domain(key)
        holds = np.array([text.casefold() == value.casefold() for text in texts], np.bool_)
        values[holds[codes]] = 1.0 - rank / len(wishes)
    return Scores(sealed(values), options["prefer.weight"])
