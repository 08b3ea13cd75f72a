"""Ways back: an expired certificate of a manager, and a cluster that has lost its quorum."""

from msgspec.structs import replace

from swarmlab.api import ClusterId, Instant, NodeRole, StateError
from swarmlab.ca.issue import sign_effect
from swarmlab.edges.tls.credentials import Credentials
from swarmlab.edges.tls.signer import signed
from swarmlab.edges.tls.x509 import make_request
from swarmlab.node import RaftMember, Recovered
from swarmlab.node.image import alone
from swarmlab.store import Snapshot


def reissued(view: Snapshot, credentials: Credentials, now: Instant) -> Credentials | None:
    """Credentials by the cluster's own root for the manager that has `credentials`.

    None where the root's key is not there, or the node is no manager any more.

    Managers hold the key of the root. One whose certificate has expired, as after a long time switched off, could not
    ask the others, whose certificates have expired too.
    """
    cluster = view.cluster()
    node = view.node(credentials.identity().node_id)
    if cluster is None or not cluster.root_ca.ca_key or node is None or node.role is not NodeRole.MANAGER:
        return None
    csr, key = make_request()
    wish = sign_effect(cluster, replace(node, certificate=replace(node.certificate, role=node.role, csr=csr)), now)
    answer = signed(wish)
    if answer.error:
        raise StateError(f"the certificate of node {node.id} cannot be issued anew: {answer.error}")
    return Credentials(cluster.root_ca.ca_cert, answer.certificate, key)


def whole_view(recovered: Recovered) -> Snapshot:
    """The state with every entry of the log in it, committed or not."""
    return alone(recovered).image.view


def only_survivor(recovered: Recovered | None, cluster_id: ClusterId, addr: str) -> Recovered:
    """What is there, as a cluster of this manager alone at `addr`.

    Raises:
        StateError: Nothing is there, or another cluster.
    """
    if recovered is None:
        raise StateError("there is no log of a manager here; a new cluster can be made where one was a manager")
    lonely = alone(recovered)
    cluster = lonely.image.view.cluster()
    if cluster is None or cluster.id != cluster_id:
        found = "none" if cluster is None else cluster.id
        raise StateError(f"the log holds the cluster {found}, wanted: {cluster_id}")
    member = RaftMember(lonely.member.raft_id, lonely.member.node_id, addr)
    image = lonely.image._replace(roster=replace(lonely.image.roster, members=(member,)))
    return lonely._replace(member=member, image=image)
