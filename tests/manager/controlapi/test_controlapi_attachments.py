"""Attachments: plain containers of a node on networks of the cluster."""

import pytest
from asked import Requests, node, task
from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    AttachNetworkRequest,
    DetachNetworkRequest,
    DetachNetworkResponse,
    Forbidden,
    InvalidSpec,
    Network,
    NetworkAttachmentConfig,
    NetworkAttachmentSpec,
    NetworkId,
    NetworkSpec,
    NodeId,
    NotFound,
    Precondition,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
)
from swarmlab.manager.controlapi import attach_network, detach_network

N1, N2 = NodeId("n1"), NodeId("n2")


@pytest.fixture
def networks(at: Requests) -> Requests:
    at.put(
        node("n1"),
        node("n2"),
        Network(id=NetworkId("id1"), spec=NetworkSpec(annotations=Annotations("back"), attachable=True)),
        Network(id=NetworkId("id2"), spec=NetworkSpec(annotations=Annotations("front"))),
        # Named like the id of another: the id wins.
        Network(id=NetworkId("id3"), spec=NetworkSpec(annotations=Annotations("id1"))),
    )
    return at


def asked(target: str = "back", container: str = "c0ffee", *addresses: str) -> AttachNetworkRequest:
    return AttachNetworkRequest(NetworkAttachmentConfig(target=target, addresses=addresses), container)


@pytest.mark.parametrize("target", ["id1", "back"])
def test_a_place_is_a_task_of_the_caller_without_a_service(networks: Requests, target: str) -> None:
    now = networks.now
    answer = networks.commit(attach_network(networks.view, N1, asked(target, "c0ffee", "10.0.0.9"), networks.ids, now))
    (found,) = networks.view.tasks()
    assert found == Task(
        id=answer.attachment_id,
        meta=found.meta,
        node_id=N1,
        spec=TaskSpec(
            attachment=NetworkAttachmentSpec("c0ffee"),
            networks=(NetworkAttachmentConfig(target="id1", addresses=("10.0.0.9",)),),
        ),
        status=TaskStatus(timestamp=now, state=TaskState.NEW, message="created"),
        desired_state=TaskState.RUNNING,
    )
    gone = networks.commit(detach_network(networks.view, N1, DetachNetworkRequest(answer.attachment_id)))
    assert gone == DetachNetworkResponse()
    assert networks.view.tasks() == ()


@pytest.mark.parametrize(
    ("who", "request_", "error", "about"),
    [
        (N1, asked(""), InvalidSpec, "config.target"),
        (N1, AttachNetworkRequest(None, "c0ffee"), InvalidSpec, "config.target"),
        (N1, asked("back", ""), InvalidSpec, "container_id"),
        (N1, asked("nowhere"), NotFound, "network nowhere not found"),
        (N1, asked("front"), Forbidden, "network front not manually attachable"),
        (NodeId("n9"), asked(), NotFound, "node n9 not found"),
    ],
)
def test_who_may_not_be_attached(
    networks: Requests, who: NodeId, request_: AttachNetworkRequest, error: type[Exception], about: str
) -> None:
    with pytest.raises(error, match=about):
        attach_network(networks.view, who, request_, networks.ids, networks.now)


def test_nobody_joins_a_network_that_is_going(networks: Requests) -> None:
    held = networks.view.network(NetworkId("id1"))
    networks.put(replace(held, id="id9", spec=replace(held.spec, annotations=Annotations("late")), pending_delete=True))
    with pytest.raises(Precondition, match="being removed"):
        attach_network(networks.view, N1, asked("late"), networks.ids, networks.now)


def test_only_its_node_detaches_and_only_attachments(networks: Requests) -> None:
    answer = networks.commit(attach_network(networks.view, N1, asked(), networks.ids, networks.now))
    networks.put(task("t1", node="n1"))
    for who, attachment, error in (
        (N2, answer.attachment_id, Forbidden),
        (N1, TaskId("t1"), NotFound),
        (N1, TaskId("gone"), NotFound),
        (N1, TaskId(""), InvalidSpec),
    ):
        with pytest.raises(error):
            detach_network(networks.view, who, DetachNetworkRequest(attachment))
