"""The leader's side of membership: who comes, who goes, who gets a vote, one change at a time."""

import random
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from swarmlab.api import NodeId, NotFound, ProposalDropped, ProposalUnknown, SwarmlabError
from swarmlab.node.group import Group
from swarmlab.node.members import RaftMember, encode_member
from swarmlab.node.status import Joined
from swarmlab.raft import ChangeKind, ConfigChange, Raft, RaftId

#: Told once, with None when the change is committed, otherwise why it was not or may not have been.
Ended = Callable[[Exception | None], None]
#: Told once: the new member, or why there is none.
Admitted = Callable[[Joined | None, Exception | None], None]

#: How far a learner may be behind the leader and become a voter.
CAUGHT_UP_ENTRIES = 100


class _Wish(NamedTuple):
    change: ConfigChange
    ended: Ended
    #: Of the node that is admitted or moves; empty for other changes.
    node_id: NodeId = NodeId("")
    #: Where the entry stands in the log; 0 while it waits.
    place: int = 0


class ChangeDesk:
    """The queue of changes. One is under way; it is asked for again while consensus is busy with another.

    Args:
        raft: Takes the changes.
        group: The members, as the applied part of the log has them.
        rng: New raft ids.
        record: Takes (event, fields).
    """

    def __init__(
        self, raft: Raft, group: Group, rng: random.Random, record: Callable[[str, Mapping[str, Any]], None]
    ) -> None:
        self._raft = raft
        self._group = group
        self._rng = rng
        self._record = record
        self._waiting: deque[_Wish] = deque()
        self._under_way: _Wish | None = None

    def join(self, node_id: NodeId, addr: str, done: Admitted) -> None:
        """Admit the node as a learner, or note its new address; a member of that address is told at once."""
        if any(wish.node_id == node_id for wish in self._wishes()):
            done(None, ProposalDropped(f"node {node_id} is being admitted already"))
            return
        known = self._group.roster.of_node(node_id)
        if known is not None and known.addr == addr:
            done(Joined(known, self._group.roster), None)
            return
        if known is not None:
            member, kind = RaftMember(known.raft_id, node_id, addr), ChangeKind.UPDATE
        else:
            member, kind = RaftMember(self._group.fresh_id(self._rng), node_id, addr), ChangeKind.ADD_LEARNER

        def ended(error: Exception | None) -> None:
            done(None if error else Joined(member, self._group.roster), error)

        self._waiting.append(_Wish(ConfigChange(kind, member.raft_id, encode_member(member)), ended, node_id))

    def remove(self, raft_id: RaftId, ended: Ended) -> None:
        """Remove the member for good."""
        self._waiting.append(_Wish(ConfigChange(ChangeKind.REMOVE, raft_id), ended))

    def promote_learners(self, tick: int) -> None:
        """Give those a vote that have caught up and answer."""
        progress = self._raft.progress()
        for raft_id in self._raft.members.learners:
            change = ConfigChange(ChangeKind.ADD_VOTER, raft_id)
            found = progress.get(raft_id)
            if found is None or not self._group.is_reachable(raft_id, tick):
                continue
            wished = any(wish.change == change for wish in self._wishes())
            if not wished and found.match + CAUGHT_UP_ENTRIES >= self._raft.commit:
                self._waiting.append(_Wish(change, partial(self._promoted, raft_id)))

    def proceed(self) -> bool:
        """Propose the next one, if none is under way; whether there may be more to do."""
        if self._under_way is not None or not self._waiting:
            return False
        wish = self._waiting.popleft()
        if wish.change.kind is ChangeKind.ADD_VOTER and wish.change.raft_id not in self._raft.members.learners:
            # 1. The leader wishes to promote learner 4. 2. A removal of 4 that came before is committed. 3. A vote for
            # 4 would be one that nobody ever casts.
            wish.ended(NotFound(f"member {wish.change.raft_id} is no learner any more"))
            return bool(self._waiting)
        try:
            place = self._raft.propose_change(wish.change)
        except ProposalDropped:
            self._waiting.appendleft(wish)
            return False
        except SwarmlabError as error:
            wish.ended(error)
            return bool(self._waiting)
        self._under_way = wish._replace(place=place)
        return True

    def settle(self, index: int) -> None:
        """The entry at `index` was applied."""
        wish = self._under_way
        if wish is not None and wish.place <= index:
            self._under_way = None
            wish.ended(None if wish.place == index else ProposalUnknown("another entry stands in its place"))

    def give_up(self, error: Exception) -> None:
        """The leadership is lost: what waits ends with `error`, what is under way may yet be committed."""
        wish, self._under_way = self._under_way, None
        waiting, self._waiting = self._waiting, deque()
        if wish is not None:
            wish.ended(ProposalUnknown(f"the membership may have changed: {error}"))
        for each in waiting:
            each.ended(error)

    def _promoted(self, raft_id: RaftId, error: Exception | None) -> None:
        if error is None:
            self._record("promoted", {"raft_id": raft_id})
        else:
            self._record("not-promoted", {"raft_id": raft_id, "error": str(error)})

    def _wishes(self) -> list[_Wish]:
        return [*self._waiting, *([self._under_way] if self._under_way else [])]
