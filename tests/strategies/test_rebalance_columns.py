"""Rebalance on the views of a real cluster: they and the plain ones lead to the same moves."""

import random

import pytest
from plain_view import PlainView
from swarmlab_strategies.rebalance import Rebalance
from test_rebalance_properties import JOIN, equal_tasks, tight

from swarmlab.api import (
    Annotations,
    ContainerSpec,
    Create,
    Endpoint,
    EndpointSpec,
    Instant,
    Node,
    NodeDescription,
    NodeSpec,
    NodeState,
    NodeStatus,
    Placement,
    PlacementPreference,
    PortConfig,
    PublishMode,
    ReplicatedService,
    ResourceRequirements,
    Resources,
    Service,
    ServiceSpec,
    SpreadOver,
    StoreObject,
    Task,
    TaskSpec,
    TaskStatus,
    Version,
)
from swarmlab.manager.scheduler import ClusterColumns
from swarmlab.plugin import ClusterView, Host
from swarmlab.store import EMPTY, apply


def stored(plain: PlainView) -> list[list[StoreObject]]:
    """The objects of a plain cluster, in commits: younger tasks later."""
    first: list[StoreObject] = [
        Node(
            id=node.name,
            spec=NodeSpec(annotations=Annotations("", node.labels)),
            status=NodeStatus(state=NodeState.READY if node.ready else NodeState.DOWN),
            description=NodeDescription(hostname=node.name.upper(), resources=Resources(nano_cpus=node.cpus)),
        )
        for node in plain.own_nodes
    ]
    specs = {}
    for name, own in plain.own_services.items():
        port = PortConfig(target_port=80, published_port=own.port, publish_mode=PublishMode.HOST)
        specs[name] = ServiceSpec(
            annotations=Annotations(own.name, own.labels),
            replicated=ReplicatedService(own.replicas),
            endpoint=EndpointSpec(ports=(port,)) if own.port else None,
            task=TaskSpec(
                container=ContainerSpec(image="x"),
                resources=ResourceRequirements(reservations=Resources(nano_cpus=own.cpus)),
                placement=Placement(
                    constraints=tuple(f"node.labels.{key} == {value}" for key, value in own.needs.items()),
                    preferences=tuple(PlacementPreference(SpreadOver(key)) for key in own.preferences),
                    max_replicas=own.max_replicas,
                ),
            ),
        )
        endpoint = Endpoint(spec=specs[name].endpoint, ports=(port,)) if own.port else None
        first.append(Service(id=name, spec=specs[name], spec_version=Version(0), endpoint=endpoint))
    commits = [first]
    for task in sorted(plain.own_tasks.values(), key=lambda task: -task.age):
        spec = specs[task.service]
        endpoint = Endpoint(spec=spec.endpoint, ports=spec.endpoint.ports) if spec.endpoint else None
        commits.append(
            [
                Task(
                    id=task.id,
                    service_id=task.service,
                    slot=task.slot,
                    node_id=task.node_id,
                    spec=spec.task,
                    spec_version=Version(0),
                    endpoint=endpoint,
                    status=TaskStatus(state=task.state),
                    desired_state=task.desired_state,
                )
            ]
        )
    return commits


def columns_of(plain: PlainView) -> ClusterView:
    """The same cluster as the scheduler sees it."""
    view = EMPTY
    for number, objects in enumerate(stored(plain), 1):
        applied = apply(view, [[Create(each) for each in objects]], Instant(number), number)
        assert not applied.refused
        view = applied.snapshot
    columns = ClusterColumns()
    columns.led(view)
    return columns.cluster_view(view, Instant(10_000), random.Random(0), Host(Rebalance(), strict=True))


@pytest.mark.parametrize("case", range(60))
@pytest.mark.parametrize("made", [equal_tasks, tight])
def test_the_moves_are_the_same(made, case: int) -> None:
    plain = made(random.Random(50_000 + case))
    real = columns_of(plain)
    expected = Rebalance().rebalance(plain, JOIN)
    found = Host(Rebalance(), strict=True).rebalance(real, JOIN)
    assert [(move.task, move.to) for move in found.moves] == [(move.task, move.to) for move in expected.moves]
    assert [kept.service for kept in found.kept] == [kept.service for kept in expected.kept]
    assert (found.imbalance_before, found.imbalance_after, found.bound) == (
        expected.imbalance_before,
        expected.imbalance_after,
        expected.bound,
    )
