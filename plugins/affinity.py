"""Apart from some services, together with others: by labels of the service.

    swarmlab.apart           "db, cache@node.labels.rack": never on a node of db, never in a rack of cache
    swarmlab.apart.prefer    the same as a preference
    swarmlab.together        "db": only where db is
    swarmlab.together.prefer the same as a preference

Who is kept apart keeps the other apart, whichever of the two is placed later.
"""

from swarmlab.plugin import Group, Term, Terms, hookimpl

#: {label: (apart, hard)}
LABELS = {
    "swarmlab.apart": (True, True),
    "swarmlab.apart.prefer": (True, False),
    "swarmlab.together": (False, True),
    "swarmlab.together.prefer": (False, False),
}


@hookimpl
def swarmlab_affinity(group: Group) -> Terms | None:
    """What the labels of the group's service say."""
    terms = []
    for label, (avoid, hard) in LABELS.items():
        for item in group.labels.get(label, "").split(","):
            service, _, domain = item.strip().partition("@")
            if service:
                terms.append(Term(service=service, avoid=avoid, hard=hard, domain=domain or "node.id"))
    return Terms(tuple(terms)) if terms else None
