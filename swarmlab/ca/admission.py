"""Who belongs to the cluster, and who may join it."""

from swarmlab.api import (
    Cluster,
    Forbidden,
    Instant,
    InvalidSpec,
    JoinToken,
    NodeRole,
    Precondition,
    role_of,
    root_digest,
)
from swarmlab.ca.identity import Identity

#: What to do about a token, for whoever typed it.
_ADVICE = "get one with `docker swarm join-token` or `swarmlab swarm join-token` on a manager"


def check_member(cluster: Cluster, identity: Identity, now: Instant) -> None:
    """The certificate is one of a node of this cluster that was not removed. Its chain was verified by the connection.

    Raises:
        Forbidden: It is not.
    """
    if identity.cluster_id != cluster.id:
        raise Forbidden(
            f"node {identity.node_id} has a certificate of the cluster {identity.cluster_id}, wanted: {cluster.id}"
        )
    listed = cluster.blacklisted_certificates.get(identity.node_id)
    if listed is not None and (listed.expiry is None or listed.expiry > now):
        raise Forbidden(f"node {identity.node_id} was removed from this cluster; it has to leave and join again")


def check_role(cluster: Cluster, identity: Identity | None, roles: frozenset[NodeRole], now: Instant) -> Identity:
    """Whoever shows a certificate of one of `roles`, as a member of the cluster.

    Raises:
        Forbidden: There is no certificate, or it is not such a one.
    """
    if identity is None:
        raise Forbidden("this call takes a certificate of a node of this cluster, and none was shown")
    if identity.role not in roles:
        wanted = " or ".join(sorted(role.name.lower() for role in roles))
        raise Forbidden(f"node {identity.node_id} is a {identity.role.name.lower()}, wanted: a {wanted}")
    check_member(cluster, identity, now)
    return identity


def admitted_role(cluster: Cluster, token: str) -> NodeRole:
    """The role in which whoever has `token` may join.

    Raises:
        InvalidSpec: It is no join token of this cluster any more, or never was. The message says what is wrong with it
            as far as that is no secret: its form, and the root that it names.
        Precondition: The cluster has no certificate authority.
    """
    root = cluster.root_ca
    if not root.ca_cert:
        raise Precondition("this cluster has no certificate authority: nodes cannot join it over the network")
    role = role_of(root.join_tokens, token)
    if role is not None:
        return role
    if not token:
        raise InvalidSpec(f"a join token or a certificate of this cluster is needed; {_ADVICE}")
    parsed = JoinToken.parse(token)
    if parsed.digest != root_digest(root.ca_cert):
        raise InvalidSpec(
            f"the join token is of another cluster, or from before the root of trust of this one was rotated; {_ADVICE}"
        )
    raise InvalidSpec(f"the join token is not valid: it was mistyped, or rotated since; {_ADVICE}")
