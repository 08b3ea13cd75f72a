"""Signs what the authority wants signed."""

from swarmlab.api import InvalidSpec, SigningRoot
from swarmlab.ca import Identity, MakeRoot, RootMade, Sign, Signed
from swarmlab.edges.tls.x509 import cross_sign, issue, make_root


def signed(wish: Sign) -> Signed:
    """The certificate, in about half a millisecond; or why there is none."""
    try:
        certificate = issue(
            wish.csr,
            Identity(wish.node_id, wish.cluster_id, wish.role),
            wish.signer,
            not_before=wish.not_before,
            not_after=wish.not_after,
            intermediates=wish.intermediates,
        )
    except InvalidSpec as error:
        return Signed(node_id=wish.node_id, csr=wish.csr, error=str(error))
    return Signed(node_id=wish.node_id, csr=wish.csr, certificate=certificate)


def root_made(wish: MakeRoot) -> RootMade:
    """The new root, or the given one, with its certificate by the old one; or why there is none."""
    try:
        root = wish.given if wish.given is not None else make_root(wish.now)
        crossed = cross_sign(root.ca_cert, wish.by)
    except InvalidSpec as error:
        return RootMade(tag=wish.tag, error=str(error))
    return RootMade(tag=wish.tag, root=SigningRoot(root.ca_cert, root.ca_key), cross_signed_ca_cert=crossed)
