"""Who may join in which role, and when certificates and roots are renewed.

Duty: the rules of the certificate authority: tokens, identities, issue and renewal, the rotation of the root.
Takes: requests for certificates with the identity of the caller, commits, the time.
Gives: answers, changes of nodes and of the cluster, requests to sign.
Never: holds a private key longer than it takes to hand it on, or touches a socket, a clock or a file.
"""

from swarmlab.ca.admission import admitted_role, check_member, check_role
from swarmlab.ca.authority import CertificateAuthority
from swarmlab.ca.identity import ANONYMOUS, Identity, Peer
from swarmlab.ca.issue import BACKDATE, trusted_roots
from swarmlab.ca.messages import Asked, MakeRoot, RootMade, Sign, Signed
from swarmlab.ca.renewal import NodeTold, Renew, Renewal, RenewalFailed, Renewed

__all__ = [
    "ANONYMOUS",
    "BACKDATE",
    "Asked",
    "CertificateAuthority",
    "Identity",
    "MakeRoot",
    "NodeTold",
    "Peer",
    "Renew",
    "Renewal",
    "RenewalFailed",
    "Renewed",
    "RootMade",
    "Sign",
    "Signed",
    "admitted_role",
    "check_member",
    "check_role",
    "trusted_roots",
]
