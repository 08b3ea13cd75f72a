"""Calls of nodes that attach containers: answered when what they ask for is final."""

import random

from swarmlab.api import (
    Annotations,
    AttachNetworkRequest,
    AttachNetworkResponse,
    DetachNetworkRequest,
    DetachNetworkResponse,
    Forbidden,
    Instant,
    Network,
    NetworkAttachmentConfig,
    NetworkId,
    NetworkSpec,
    Node,
    NodeId,
    NotLeader,
    ProposalDropped,
    TaskId,
)
from swarmlab.api.changes import Changes, Create, Refused
from swarmlab.component import Propose, Proposed, Received, Send
from swarmlab.manager.resourceapi import ResourceAllocator
from swarmlab.store import EMPTY, Committed, Led, apply

NOW = Instant(1)
ASKED = AttachNetworkRequest(NetworkAttachmentConfig(target="back"), "c0ffee")


class Desk:
    """The component over a store that commits when it is told to."""

    def __init__(self) -> None:
        self.part = ResourceAllocator(random.Random(3))
        spec = NetworkSpec(annotations=Annotations("back"), attachable=True)
        self.view = apply(
            EMPTY,
            ((Create(Node(id=NodeId("n1"))), Create(Network(id=NetworkId("id1"), spec=spec))),),
            NOW,
            1,
        ).snapshot

    def ask(self, message: object, sender: str = "n1", call: int = 4) -> list:
        return list(self.part.step(Received(sender, message, call), NOW))

    def commit(self, changes: Changes) -> None:
        applied = apply(self.view, changes.groups, NOW, self.view.version + 1)
        assert not applied.refused
        self.view = applied.snapshot
        self.part.step(Committed(self.view, applied.changes), NOW)


def led() -> Desk:
    desk = Desk()
    desk.part.step(Led(desk.view), NOW)
    return desk


def test_an_attachment_is_answered_when_its_task_is_stored_and_goes_when_it_is_detached() -> None:
    desk = led()
    [proposal] = desk.ask(ASKED)
    assert isinstance(proposal, Propose)
    desk.commit(proposal.changes)
    [task] = desk.view.tasks()
    assert desk.part.step(Proposed(proposal.tag), NOW) == [Send("n1", AttachNetworkResponse(task.id), 4)]
    assert desk.part.step(Proposed(proposal.tag), NOW) == []
    [refusal] = desk.ask(DetachNetworkRequest(task.id), "n2")
    assert isinstance(refusal.message, Forbidden)
    [proposal] = desk.ask(DetachNetworkRequest(task.id), call=5)
    desk.commit(proposal.changes)
    assert desk.part.step(Proposed(proposal.tag), NOW) == [Send("n1", DetachNetworkResponse(), 5)]
    assert desk.view.tasks() == ()


def test_what_is_not_committed_is_answered_with_why() -> None:
    desk = led()
    dropped, taken = ProposalDropped("no quorum"), Forbidden("taken")
    [one] = desk.ask(ASKED, call=1)
    [two] = desk.ask(ASKED, call=2)
    assert one.tag != two.tag
    assert desk.part.step(Proposed(two.tag, error=dropped), NOW) == [Send("n1", dropped, 2)]
    assert desk.part.step(Proposed(one.tag, refused=(Refused(0, taken),)), NOW) == [Send("n1", taken, 1)]


def test_calls_of_an_earlier_term_are_over() -> None:
    desk = Desk()
    assert [type(effect.message) for effect in desk.ask(ASKED)] == [NotLeader]
    desk.part.step(Led(desk.view), NOW)
    [proposal] = desk.ask(ASKED)
    [ended] = desk.part.step(Led(desk.view), NOW)
    assert (ended.to, ended.call, type(ended.message)) == ("n1", 4, NotLeader)
    assert desk.part.step(Proposed(proposal.tag), NOW) == []


def test_what_cannot_be_is_refused_at_once() -> None:
    [refusal] = led().ask(DetachNetworkRequest(TaskId("")))
    assert str(refusal.message).startswith("attachment_id: ''")
