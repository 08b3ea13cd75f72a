"""Near to some services and apart from others, on some nodes before others: by labels of the service.

`swarmlab.affinity.NAME` holds one term: "service!=db domain=rack", "node.labels.dc==1 else node.labels.dc==2". Who is
kept apart keeps the other apart, whichever of the two is placed later. docs/affinity.md has all of it.
"""

from swarmlab.plugin import AFFINITY_LABEL, Group, InvalidSpec, Terms, hookimpl, parse_term


@hookimpl
def swarmlab_affinity(group: Group) -> Terms | None:
    """What the labels of the group's service say."""
    terms = []
    for label in sorted(group.labels):
        if label.startswith(AFFINITY_LABEL):
            try:
                terms.append(parse_term(group.labels[label]))
            except InvalidSpec:
                # Requests with such labels are refused; what came in all the same binds nobody.
                continue
    return Terms(tuple(terms)) if terms else None
