"""The change of the cluster's root: who trusts what at which time.

1. The new root is made, or taken from the user, and the old one signs its subject and key: the cross certificate. From
   then on certificates are signed by the new root and carry the cross certificate, so that nodes which trust only the
   old root accept them.
2. Nodes are told, so many at a time, to renew their certificates. A node has changed over when it reports the new
   root as the issuer of its certificate.
3. Once all have, the new root takes the place of the old one, with new join tokens, and nodes hear of it in their
   sessions. A node that is down holds this up until it comes back or is removed.

Source: SwarmKit `ca/reconciler.go`, `manager/controlapi/ca_rotation.go`.
"""

import random
from collections.abc import Iterable
from typing import NamedTuple

from msgspec.structs import replace

from swarmlab.api import (
    SECOND,
    Changes,
    Cluster,
    Duration,
    Instant,
    IssuanceState,
    IssuanceStatus,
    Node,
    NodeId,
    RootCA,
    RootRotation,
    SigningRoot,
    Update,
    after,
    fingerprint,
    new_tokens,
)
from swarmlab.api.trust import Subject, same_certificates, subject_of
from swarmlab.ca.issue import OPEN
from swarmlab.ca.messages import MakeRoot, RootMade
from swarmlab.component import CancelTimer, Effect, Propose, Record, SetTimer
from swarmlab.store import Snapshot

#: Nodes that are told to renew in one round, and the time between two rounds.
BATCH = 30
ROUND = Duration(3 * SECOND)

TIMER = "rotation"
TAG = "rotation/"


class RootWish(NamedTuple):
    """A root that the cluster's settings ask for and that is not under way yet."""

    #: None: a fresh one.
    given: SigningRoot | None
    force_rotate: int


class Rotation:
    """Brings the cluster to the root that its settings ask for.

    Args:
        entropy: Join tokens are drawn from it.
    """

    def __init__(self, entropy: random.Random) -> None:
        self._entropy = entropy
        self._proposals = 0
        #: Tag of the proposal that is not answered yet.
        self._under_way = ""
        #: {tag of the root that is being made: what for}
        self._making: tuple[str, RootWish] | None = None
        #: A wish that came to nothing is not tried again until it changes.
        self._hopeless: RootWish | None = None
        #: Subject and key that nodes are to have as their issuer; None while no rotation runs.
        self._target: tuple[bytes, Subject] | None = None
        #: Nodes that have another issuer.
        self._behind: set[NodeId] = set()
        self._timer = False

    def lead(self, view: Snapshot, now: Instant) -> list[Effect]:
        """Begin a term."""
        self._under_way, self._making, self._hopeless, self._target, self._timer = "", None, None, None, False
        return self.steer(view, now)

    def steer(
        self, view: Snapshot, now: Instant, changed: Iterable[Node] = (), *, removed: Iterable[NodeId] = ()
    ) -> list[Effect]:
        """Do what is to be done next; `changed` and `removed` are the nodes that the last commits touched."""
        cluster = view.cluster()
        if cluster is None or not cluster.root_ca.ca_key:
            return []
        effects = self._obey(cluster, now)
        rotation = cluster.root_ca.root_rotation
        if rotation is None:
            self._target = None
            self._behind.clear()
            return [*effects, *self._rest()]
        if self._target is None or self._target[0] != rotation.ca_cert:
            self._target = rotation.ca_cert, subject_of(rotation.ca_cert)
            self._behind = {node.id for node in view.nodes() if not self._has_changed_over(node)}
            return effects if self._under_way else effects + self._round(view, cluster, now)
        self._behind.difference_update(removed)
        for node in changed:
            if self._has_changed_over(node):
                self._behind.discard(node.id)
            else:
                self._behind.add(node.id)
        return effects + self._finish(cluster)

    def fired(self, view: Snapshot, now: Instant) -> list[Effect]:
        """The time of the next round has come."""
        self._timer = False
        cluster = view.cluster()
        return [] if cluster is None or self._target is None else self._round(view, cluster, now)

    def root_made(self, view: Snapshot, event: RootMade, now: Instant) -> list[Effect]:
        """Take the root that was made, if it is still wanted."""
        if self._making is None or self._making[0] != event.tag:
            return []
        _, made_for = self._making
        self._making = None
        cluster = view.cluster()
        if cluster is None or root_wish(cluster) != made_for:
            return self.steer(view, now)
        if event.error:
            self._hopeless = made_for
            return [Record("root-rotation-failed", {"cluster": cluster.id, "error": event.error})]
        rotation = RootRotation(event.root.ca_cert, event.root.ca_key, event.cross_signed_ca_cert)
        changed = replace(
            cluster.root_ca, root_rotation=rotation, last_forced_rotation=cluster.spec.ca_config.force_rotate
        )
        record = Record("root-rotation-begun", {"cluster": cluster.id, "root": fingerprint(rotation.ca_cert)})
        return [record, self._propose(cluster, changed)]

    def proposed(self, view: Snapshot, tag: str, now: Instant) -> list[Effect]:
        """The end of a proposal, good or bad; what is still to be done is seen from the view."""
        if tag != self._under_way:
            return []
        self._under_way = ""
        effects = self.steer(view, now)
        cluster = view.cluster()
        if self._target is None or cluster is None or self._timer or self._under_way:
            return effects
        return effects + self._round(view, cluster, now)

    def _obey(self, cluster: Cluster, now: Instant) -> list[Effect]:
        """Begin, or end, what the settings ask for."""
        if self._under_way or self._making is not None:
            return []
        root, config = cluster.root_ca, cluster.spec.ca_config
        wish = root_wish(cluster)
        if wish is not None:
            if wish == self._hopeless:
                return []
            self._proposals += 1
            tag = f"{TAG}root/{self._proposals}"
            self._making = tag, wish
            by = SigningRoot(root.ca_cert, root.ca_key)
            return [MakeRoot(tag=tag, by=by, given=wish.given, now=now)]
        called_off = (
            config.signing_ca_cert != b""
            and root.root_rotation is not None
            and same_certificates(config.signing_ca_cert, root.ca_cert)
        )
        if not called_off and root.last_forced_rotation == config.force_rotate:
            return []
        kept = None if called_off else root.root_rotation
        return [self._propose(cluster, replace(root, root_rotation=kept, last_forced_rotation=config.force_rotate))]

    def _round(self, view: Snapshot, cluster: Cluster, now: Instant) -> list[Effect]:
        """Tell some of those that are behind to renew, unless they are about to."""
        effects = self._finish(cluster)
        if self._under_way:
            return [*effects, *self._next_round(now)]
        told: list[Update] = []
        for node_id in sorted(self._behind):
            node = view.node(node_id)
            if node is None or node.certificate.status.state in OPEN | {IssuanceState.ROTATE}:
                continue
            rotate = replace(node.certificate, status=IssuanceStatus(IssuanceState.ROTATE))
            told.append(Update(replace(node, certificate=rotate)))
            if len(told) == BATCH:
                break
        if told:
            self._proposals += 1
            self._under_way = f"{TAG}{self._proposals}"
            effects.append(Propose(Changes.each(told), self._under_way))
        return [*effects, *self._next_round(now)]

    def _finish(self, cluster: Cluster) -> list[Effect]:
        """Let the new root take the place of the old one, if every node has changed over."""
        rotation = cluster.root_ca.root_rotation
        if self._behind or self._under_way or rotation is None or self._making is not None:
            return []
        root = RootCA(
            ca_key=rotation.ca_key,
            ca_cert=rotation.ca_cert,
            ca_cert_hash=fingerprint(rotation.ca_cert),
            join_tokens=new_tokens(rotation.ca_cert, self._entropy, fips=cluster.fips),
            last_forced_rotation=cluster.root_ca.last_forced_rotation,
        )
        record = Record("root-rotation-ended", {"cluster": cluster.id, "root": root.ca_cert_hash})
        return [record, self._propose(cluster, root)]

    def _propose(self, cluster: Cluster, root: RootCA) -> Propose:
        self._proposals += 1
        self._under_way = f"{TAG}{self._proposals}"
        return Propose(Changes.atomic(Update(replace(cluster, root_ca=root))), self._under_way)

    def _next_round(self, now: Instant) -> list[Effect]:
        self._timer = True
        return [SetTimer(TIMER, after(now, ROUND))]

    def _rest(self) -> list[Effect]:
        if not self._timer:
            return []
        self._timer = False
        return [CancelTimer(TIMER)]

    def _has_changed_over(self, node: Node) -> bool:
        assert self._target is not None
        info = node.description.tls_info if node.description is not None else None
        return info is not None and (info.cert_issuer_subject, info.cert_issuer_public_key) == self._target[1]


def root_wish(cluster: Cluster) -> RootWish | None:
    """The root that has to be made, or signed, for the settings of the cluster; None where it is there already."""
    config, root = cluster.spec.ca_config, cluster.root_ca
    if not config.signing_ca_cert:
        return RootWish(None, config.force_rotate) if config.force_rotate != root.last_forced_rotation else None
    present = [root.ca_cert, *([root.root_rotation.ca_cert] if root.root_rotation is not None else [])]
    if any(same_certificates(config.signing_ca_cert, certificate) for certificate in present):
        return None
    return RootWish(SigningRoot(config.signing_ca_cert, config.signing_ca_key), config.force_rotate)
