"""A manager: requests, terms, and the first objects of a cluster."""

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from swarmlab.api import (
    Annotations,
    Changes,
    ContainerSpec,
    Create,
    InvalidSpec,
    NameConflict,
    Node,
    NodeId,
    NodeRole,
    NotFound,
    NotLeader,
    ProposalDropped,
    ReplicatedService,
    Service,
    ServiceId,
    ServiceSpec,
    TaskId,
    TaskSpec,
    Unsupported,
    seconds,
)
from swarmlab.manager.controlapi import create_service, remove_service
from swarmlab.node import Manager, ManagerConfig, Ports, admit_worker, found_cluster
from swarmlab.plugin import Host
from swarmlab.sim import Heap, HeapTimers
from swarmlab.store import EMPTY, Entry, Snapshot

NOTHING: Mapping[str, Any] = {}


class Slow:
    """A proposer that answers when it is told to."""

    max_entry_bytes = None

    def __init__(self) -> None:
        self.waiting: list[Callable[[Exception | None], None]] = []
        self.at_once = False

    def propose(self, _: Entry, done: Callable[[Exception | None], None]) -> None:
        if self.at_once:
            done(None)
        else:
            self.waiting.append(done)

    def commit(self, count: int | None = None) -> None:
        """Make the next ones final, or with None all that wait and all that follow from them."""
        while self.waiting and count != 0:
            self.waiting.pop(0)(None)
            count = None if count is None else count - 1


class Desk:
    """A manager on a heap, and what it sent and recorded."""

    def __init__(self, snapshot: Snapshot = EMPTY) -> None:
        self.heap = Heap()
        self.proposer = Slow()
        self.sent: list[tuple[str, Any, int]] = []
        self.proposed: list[tuple[str, Changes]] = []
        ports = Ports(
            clock=self.heap.clock,
            timers=lambda fire: HeapTimers(self.heap, fire),
            send=lambda to, message, call: self.sent.append((to, message, call)),
            record=lambda *_: None,
            proposing=lambda source, changes, _: self.proposed.append((source, changes)),
        )
        self.manager = Manager(ManagerConfig(seed=3), Host.load("spread"), ports, self.proposer, snapshot)

    def ask(self, request: Any) -> list[tuple[Any, Exception | None]]:
        """Make a request; the list gets its answer when it comes."""
        answers: list[tuple[Any, Exception | None]] = []
        self.manager.mutate(request, lambda answer, error: answers.append((answer, error)))
        return answers


def spec(name: str = "web") -> ServiceSpec:
    return ServiceSpec(
        annotations=Annotations(name=name),
        task=TaskSpec(container=ContainerSpec(image="app:1")),
        replicated=ReplicatedService(replicas=2),
    )


def founded() -> Desk:
    """A manager that leads a cluster without nodes."""
    desk = Desk()
    desk.proposer.at_once = True
    desk.ask(lambda view, ids, _: found_cluster(view, ids, heartbeat=seconds(1)))
    desk.manager.lead()
    return desk


# Requests


def test_a_request_is_answered_when_its_changes_are_final() -> None:
    desk = founded()
    desk.proposer.at_once = False
    answers = desk.ask(lambda view, ids, now: create_service(view, spec(), ids, now))
    assert answers == []
    assert desk.manager.view.services() == ()
    desk.proposer.commit()
    [(service, error)] = answers
    assert error is None
    assert [found.id for found in desk.manager.view.services()] == [service.id]


def test_a_request_without_changes_is_answered_at_once() -> None:
    desk = founded()
    desk.proposer.at_once = False
    assert desk.ask(lambda view, *_: (Changes(), view.version)) == [(2, None)]
    assert desk.proposer.waiting == []


def test_the_error_of_a_request_is_raised_here() -> None:
    desk = founded()

    def refuse(*_: Any) -> Any:
        raise InvalidSpec("no such thing")

    with pytest.raises(InvalidSpec, match="no such thing"):
        desk.ask(refuse)


def test_a_refusal_of_the_store_is_the_answer() -> None:
    """Two ask for one name at the same time: both find it free, and the store decides."""
    desk = founded()
    desk.proposer.at_once = False
    first = desk.ask(lambda view, ids, now: create_service(view, spec(), ids, now))
    second = desk.ask(lambda view, ids, now: create_service(view, spec(), ids, now))
    desk.proposer.commit()
    assert first[0][1] is None
    assert second[0][0] is None
    assert isinstance(second[0][1], NameConflict)


def test_a_dropped_proposal_is_the_answer() -> None:
    desk = founded()
    desk.proposer.at_once = False
    answers = desk.ask(lambda view, ids, now: create_service(view, spec(), ids, now))
    desk.proposer.waiting.pop()(ProposalDropped("no disk"))
    [(answer, error)] = answers
    assert answer is None
    assert isinstance(error, ProposalDropped)


def test_an_unknown_task_is_not_explained() -> None:
    with pytest.raises(NotFound, match="task nobody not found"):
        founded().manager.explain(TaskId("nobody"))


# Terms


def test_a_manager_that_does_not_lead_does_nothing() -> None:
    """It decides nothing, and a call ends with the word that another one leads."""
    desk = Desk()
    desk.proposer.at_once = True
    desk.ask(lambda view, ids, _: found_cluster(view, ids, heartbeat=seconds(1)))
    desk.ask(lambda view, ids, now: create_service(view, spec(), ids, now))
    desk.manager.receive("n", "hello", 1)
    desk.manager.disconnected("n")
    desk.heap.run_until(desk.heap.start + seconds(60))  # type: ignore[arg-type]
    assert (desk.proposed, desk.manager.view.tasks()) == ([], ())
    [(sender, error, call)] = desk.sent
    assert (sender, type(error), call) == ("n", NotLeader, 1)


def test_a_message_that_no_part_takes() -> None:
    """Its call ends with an error, so that nobody waits for an answer."""
    desk = founded()
    desk.manager.receive("n", "hello", 1)
    [(sender, error, call)] = desk.sent
    assert (sender, type(error), call) == ("n", Unsupported, 1)


def test_at_the_start_of_a_term_it_makes_up_for_what_was_left_undone() -> None:
    desk = Desk()
    desk.proposer.at_once = True
    desk.ask(lambda view, ids, _: found_cluster(view, ids, heartbeat=seconds(1)))
    desk.ask(lambda view, ids, now: create_service(view, spec(), ids, now))
    desk.manager.lead()
    assert [task.slot for task in desk.manager.view.tasks()] in ([1, 2], [2, 1])
    assert "replicated" in {source for source, _ in desk.proposed}


def test_a_manager_that_resigned_decides_nothing_more() -> None:
    """The end of a proposal found a part on a view that stood still: it decided the same for ever, and was refused.

    A cluster that was stopped just after a service was removed took minutes to stop, or did not.
    """
    desk = founded()
    desk.proposer.at_once = False
    desk.ask(lambda view, ids, now: create_service(view, spec(), ids, now))
    desk.proposer.commit(1)
    [service] = desk.manager.view.services()
    desk.ask(lambda view, *_: remove_service(view, service.id))
    desk.proposer.commit(2)  # the tasks are created, then the service is removed
    assert [source for source, _ in desk.proposed] == ["keymanager", "replicated", "allocator", "reaper"]
    desk.manager.resign()
    desk.proposer.commit(1)  # what the allocator did to the tasks, so that what the reaper wants is refused
    assert len(desk.proposed) == 4
    assert desk.proposer.waiting == []


def test_a_manager_that_starts_again_draws_other_ids() -> None:
    first = founded()
    service = first.ask(lambda view, ids, now: create_service(view, spec("a"), ids, now))[0][0]
    second = Desk(first.manager.view)
    second.proposer.at_once = True
    second.manager.lead()
    other = second.ask(lambda view, ids, now: create_service(view, spec("b"), ids, now))[0][0]
    assert other.id != service.id
    tasks = [task.id for task in second.manager.view.tasks()]
    assert len(tasks) == len(set(tasks)) == 4


def test_the_same_seed_draws_the_same_ids() -> None:
    def ids() -> list[str]:
        desk = founded()
        desk.ask(lambda view, ids, now: create_service(view, spec(), ids, now))
        return [*(task.id for task in desk.manager.view.tasks()), *(one.id for one in desk.manager.view.services())]

    assert ids() == ids()


# The first objects


def test_a_cluster_is_founded_once() -> None:
    desk = founded()
    cluster = desk.manager.view.cluster()
    assert cluster is not None
    assert cluster.spec.dispatcher.heartbeat_period == seconds(1)
    assert cluster.spec.orchestration.task_history_retention_limit == 5
    changes, cluster_id = found_cluster(desk.manager.view, random.Random(9), heartbeat=seconds(5))
    assert (changes, cluster_id) == (Changes(), cluster.id)


def test_a_worker_is_admitted_under_its_own_id_or_a_new_one() -> None:
    desk = founded()
    [(first, _)] = desk.ask(lambda view, ids, _: admit_worker(view, "w1", ids))
    node = desk.manager.view.node(first)
    assert node is not None
    assert node.role is NodeRole.WORKER
    assert node.description is not None
    assert node.description.hostname == "w1"
    assert desk.ask(lambda view, ids, _: admit_worker(view, "w1", ids, first)) == [(first, None)]
    assert len(desk.manager.view.nodes()) == 1
    # One whose node was removed, or whose manager lost its state, joins again as who it was.
    assert desk.ask(lambda view, ids, _: admit_worker(view, "w2", ids, NodeId("mine"))) == [("mine", None)]
    assert desk.manager.view.get(Node, "mine") is not None


def test_what_a_part_proposes_can_be_overheard() -> None:
    desk = founded()
    desk.ask(lambda view, ids, now: create_service(view, spec(), ids, now))
    first = next(changes for source, changes in desk.proposed if source == "replicated")
    assert all(isinstance(action, Create) for group in first.groups for action in group)
    assert desk.manager.view.get(Service, ServiceId("nobody")) is None
