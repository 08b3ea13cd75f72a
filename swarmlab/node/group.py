"""The group of managers as one member knows it: who is in it, who answers, who can be spared."""

import random
from collections.abc import Mapping, Sequence

from swarmlab.api import ManagerStatus, NodeId, NotFound, Precondition, Reachability
from swarmlab.node.image import Image
from swarmlab.node.members import RaftMember, Roster
from swarmlab.raft import NOBODY, ChangeKind, ConfigChange, RaftId


class Group:
    """Members, as the applied part of the log has them, and when each was last heard of. Times are ticks.

    Args:
        own: The member that this is the view of.
        image: What its log begins with.
        silence_ticks: After how long without a word a member counts as unreachable.
        fresh_ticks: How lately the others must have been heard of when one of them is to be spared. Shorter: a group
            that lets one go and counts on another that has just died is stuck until that one is back.
    """

    def __init__(self, own: RaftMember, image: Image, silence_ticks: int, fresh_ticks: int) -> None:
        self._own = own
        self._silence_ticks = silence_ticks
        self._fresh_ticks = fresh_ticks
        self.roster: Roster = image.roster
        self._heard: dict[RaftId, int] = {}

    def restore(self, image: Image) -> None:
        """Take the members of a snapshot."""
        self.roster = image.roster

    def apply(self, change: ConfigChange) -> None:
        """Take a committed change."""
        self.roster = self.roster.changed(change)
        if change.kind is ChangeKind.REMOVE:
            self._heard.pop(change.raft_id, None)

    def hear(self, raft_id: RaftId, tick: int) -> None:
        """A message of that member came."""
        self._heard[raft_id] = tick

    def is_reachable(self, raft_id: RaftId, tick: int) -> bool:
        """Whether the member was heard of lately; this one always is."""
        return self._was_heard(raft_id, tick, self._silence_ticks)

    def statuses(self, leader: RaftId, tick: int) -> Mapping[NodeId, ManagerStatus]:
        """{node: its place in the group}. Followers do not talk to each other, so only a leader knows who is away."""
        silent = Reachability.UNREACHABLE if leader == self._own.raft_id else Reachability.UNKNOWN
        return {
            member.node_id: ManagerStatus(
                raft_id=member.raft_id,
                addr=member.addr,
                leader=member.raft_id == leader,
                reachability=Reachability.REACHABLE if self.is_reachable(member.raft_id, tick) else silent,
            )
            for member in self.roster.members
        }

    def check_spare(self, raft_id: RaftId, voters: Sequence[RaftId], tick: int) -> None:
        """The group, of which these members vote, can do without that member.

        Raises:
            NotFound: It is no member.
            Precondition: It is the last one, or too few of the others answer.
        """
        if self.roster.get(raft_id) is None:
            raise NotFound(f"no member of the raft group has the id {raft_id}")
        others = [member for member in voters if member != raft_id]
        if not others:
            raise Precondition(f"member {raft_id} is the last manager of the swarm")
        reachable = sum(1 for member in others if self._was_heard(member, tick, self._fresh_ticks))
        quorum = len(others) // 2 + 1
        if reachable < quorum:
            raise Precondition(
                f"member {raft_id} cannot be removed from the raft group, this would result in a loss of quorum: "
                f"{reachable} of the other {len(others)} managers answer, {quorum} are needed"
            )

    def fresh_id(self, rng: random.Random) -> RaftId:
        """A number that no member has or had."""
        taken = {member.raft_id for member in self.roster.members} | set(self.roster.removed)
        while (raft_id := RaftId(rng.getrandbits(63))) in taken or raft_id == NOBODY:
            pass
        return raft_id

    def _was_heard(self, raft_id: RaftId, tick: int, span: int) -> bool:
        if raft_id == self._own.raft_id:
            return True
        heard = self._heard.get(raft_id)
        return heard is not None and tick - heard < span
