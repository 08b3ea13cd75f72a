"""Signs what the authority wants signed."""

import random

from swarmlab.api import InvalidSpec
from swarmlab.ca import Identity, MakeRoot, RootMade, Sign, Signed
from swarmlab.edges.tls.x509 import cross_sign, issue, make_root, normalized
from swarmlab.node import AuthorityPorts


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
        root = normalized(wish.given) if wish.given is not None else make_root(wish.now)
        crossed = cross_sign(root.ca_cert, wish.by)
    except InvalidSpec as error:
        return RootMade(tag=wish.tag, error=str(error))
    return RootMade(tag=wish.tag, root=root, cross_signed_ca_cert=crossed)


def authority_ports() -> AuthorityPorts:
    """What a live manager needs for its authority: signatures made at once, and the operating system's entropy."""
    return AuthorityPorts(
        sign=lambda wish, answer: answer(signed(wish)),
        make_root=lambda wish, answer: answer(root_made(wish)),
        entropy=random.SystemRandom(),
    )
