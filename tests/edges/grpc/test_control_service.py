"""Every method of the control service, over a real socket, with values in and values out."""

import asyncio

import pytest
from msgspec.structs import replace

from swarmlab.api import (
    SECOND,
    Annotations,
    AnyValue,
    Availability,
    BlockVolume,
    ChangeKind,
    Changes,
    Config,
    ConfigSpec,
    ContainerSpec,
    Create,
    Delete,
    Driver,
    Duration,
    Filters,
    InvalidSpec,
    KeyRotation,
    NameConflict,
    NetworkSpec,
    Node,
    NodeDescription,
    NodeId,
    NodeSpec,
    NodeState,
    NodeStatus,
    NotFound,
    OutOfSequence,
    Placement,
    Precondition,
    ReplicatedService,
    Secret,
    SecretSpec,
    Service,
    ServiceId,
    ServiceSpec,
    ServiceStatus,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
    Unsupported,
    UpdateConfig,
    VolumeAccessMode,
    VolumeSpec,
)
from swarmlab.api.proto import control_pb2
from swarmlab.edges.grpc import control

WEB = ServiceSpec(
    annotations=Annotations("web", {"team": "a", "tier": "front"}),
    task=TaskSpec(container=ContainerSpec(image="nginx", env=("A=1",), stop_grace_period=Duration(0))),
    replicated=ReplicatedService(3),
    update=UpdateConfig(parallelism=2, max_failure_ratio=0.1),
)


async def test_service_from_create_to_remove(served):
    """A service comes back as it was asked for, with id, version and times."""
    client = served.client
    created = await client.create_service(WEB)
    assert created.spec == WEB
    assert len(created.id) == 25
    assert created.meta.version.index == served.plane.view.version
    assert created.meta.created_at == served.plane.now
    assert await client.get_service(created.id) == created
    assert await client.list_services() == (created,)
    assert await client.list_services(Filters(labels={"team": "a"}, names=("WEB",))) == (created,)
    assert await client.list_services(Filters(labels={"team": "b"})) == ()
    assert await client.list_services(Filters(runtimes=("plugin",))) == ()
    wished = replace(WEB, replicated=ReplicatedService(5))
    updated = await client.update_service(created.id, created.meta.version.index, wished)
    assert updated.spec == wished
    assert updated.previous_spec == WEB
    assert updated.meta.version.index > created.meta.version.index
    back = await client.update_service(created.id, updated.meta.version.index, rollback=True)
    assert back.spec == WEB
    assert await client.list_service_statuses([created.id, "unknown"]) == (
        ServiceStatus(service_id=created.id, desired_tasks=3),
        ServiceStatus(service_id=ServiceId("unknown")),
    )
    await client.remove_service(created.id)
    assert await client.list_services() == ()


async def test_get_service_with_defaults(served):
    """With `insert_defaults` what was left out is filled in, and what was given stays."""
    created = await served.client.create_service(WEB)
    full = await served.client.get_service(created.id, insert_defaults=True)
    assert full.spec.task.restart.delay == 5 * SECOND
    assert full.spec.update.monitor == 5 * SECOND
    assert full.spec.update.parallelism == 2
    assert full.spec.rollback.parallelism == 1
    assert full.spec.task.container.stop_grace_period == 0


async def test_errors_come_back_as_they_were_raised(served):
    """The class and the message of an error are the same on both sides."""
    client = served.client
    created = await client.create_service(WEB)
    with pytest.raises(NameConflict, match="web"):
        await client.create_service(WEB)
    with pytest.raises(InvalidSpec, match=r"replicated\.replicas: \d+, wanted: at most"):
        await client.create_service(
            replace(WEB, annotations=Annotations("other"), replicated=ReplicatedService(2**64 - 1))
        )
    with pytest.raises(NotFound, match="service nope not found"):
        await client.get_service("nope")
    with pytest.raises(InvalidSpec, match="id"):
        await client.get_service("")
    with pytest.raises(Unsupported):
        await client.update_service(
            created.id, created.meta.version.index, replace(WEB, annotations=Annotations("renamed"))
        )
    with pytest.raises(Precondition):
        await client.update_service(created.id, created.meta.version.index, rollback=True)
    assert await client.list_services() == (created,)


async def test_defect_19_stale_version_has_its_own_error(served):
    """A stale version is OutOfSequence (ABORTED on the wire), and nothing changes."""
    created = await served.client.create_service(WEB)
    wished = replace(WEB, replicated=ReplicatedService(5))
    updated = await served.client.update_service(created.id, created.meta.version.index, wished)
    with pytest.raises(OutOfSequence, match="out of sequence"):
        await served.client.update_service(created.id, created.meta.version.index, WEB)
    assert await served.client.get_service(created.id) == updated


async def test_values_that_the_wire_cannot_carry(served):
    """A client hears at once, and by the same class, what no server would understand."""
    with pytest.raises(InvalidSpec, match="ServiceSpec cannot be sent"):
        await served.client.create_service(replace(WEB, replicated=ReplicatedService(-1)))
    with pytest.raises(InvalidSpec, match="cannot be sent"):
        await served.client.create_service(replace(WEB, annotations=Annotations("\ud800")))


async def test_nodes(served):
    """Nodes are found by host name and labels, drained, and removed when they are down."""
    ready = Node(
        id=NodeId("n1"),
        description=NodeDescription(hostname="w1"),
        status=NodeStatus(state=NodeState.READY),
    )
    served.plane.put(ready, replace(ready, id=NodeId("n2"), description=NodeDescription(hostname="w2")))
    client = served.client
    assert [node.id for node in await client.list_nodes()] == ["n1", "n2"]
    (node,) = await client.list_nodes(Filters(names=("w2",)))
    assert node.id == "n2"
    drained = await client.update_node(
        "n1", (await client.get_node("n1")).meta.version.index, NodeSpec(availability=Availability.DRAIN)
    )
    assert drained.spec.availability == Availability.DRAIN
    with pytest.raises(Precondition):
        await client.remove_node("n1")
    await client.remove_node("n1", force=True)
    assert [node.id for node in await client.list_nodes()] == ["n2"]
    with pytest.raises(NotFound):
        await client.get_node("n1")


async def test_tasks(served):
    """Tasks are listed by service, node and desired state."""
    service = await served.client.create_service(WEB)
    served.plane.put(
        *(
            Task(
                id=TaskId(f"t{number}"),
                service_id=service.id,
                slot=number,
                node_id=NodeId(f"n{number % 2}"),
                desired_state=TaskState.RUNNING if number else TaskState.SHUTDOWN,
                status=TaskStatus(state=TaskState.RUNNING),
            )
            for number in range(3)
        )
    )
    client = served.client
    assert [task.id for task in await client.list_tasks(Filters(service_ids=(service.id,)))] == ["t0", "t1", "t2"]
    assert [task.id for task in await client.list_tasks(Filters(node_ids=("n0",)))] == ["t0", "t2"]
    assert [task.id for task in await client.list_tasks(Filters(desired_states=(TaskState.SHUTDOWN,)))] == ["t0"]
    assert (await client.get_task("t1")).slot == 1
    with pytest.raises(NotFound):
        await client.remove_task("t9")


async def test_networks(served):
    """A network is made, found by id, and removed."""
    client = served.client
    made = await client.create_network(NetworkSpec(annotations=Annotations("back"), attachable=True))
    assert await client.get_network(made.id) == made
    assert made in await client.list_networks(Filters(name_prefixes=("ba",)))
    await client.remove_network(made.id)
    with pytest.raises(NotFound):
        await client.get_network(made.id)


async def test_networks_may_be_meant_by_name(served):
    """Requests for a network have room for a name; an id that is given comes first."""
    made = await served.client.create_network(NetworkSpec(annotations=Annotations("back")))
    answer = await served.client._control("GetNetwork", name="BACK")
    assert answer.network.id == made.id
    with pytest.raises(NotFound, match="network front not found"):
        await served.client._control("RemoveNetwork", name="front")
    with pytest.raises(InvalidSpec, match="id"):
        await served.client._control("RemoveNetwork")


async def test_cluster(served):
    """The cluster's settings change, and what it keeps to itself is not shown."""
    client = served.client
    (cluster,) = await client.list_clusters()
    assert await client.get_cluster(cluster.id) == cluster
    spec = replace(cluster.spec, orchestration=replace(cluster.spec.orchestration, task_history_retention_limit=2))
    updated = await client.update_cluster(cluster.id, cluster.meta.version.index, spec)
    assert updated.spec.orchestration.task_history_retention_limit == 2
    with pytest.raises(OutOfSequence):
        await client.update_cluster(cluster.id, cluster.meta.version.index, spec, KeyRotation(manager_unlock_key=True))


@pytest.mark.parametrize(("kind", "spec"), [("secret", SecretSpec), ("config", ConfigSpec)])
async def test_secrets_and_configs(served, kind, spec):
    """Payloads are made and removed, only labels change; the data of a secret never come back."""
    client = served.client
    create, get, listed, update, remove = (
        getattr(client, name.format(kind)) for name in ("create_{}", "get_{}", "list_{}s", "update_{}", "remove_{}")
    )
    wished = spec(annotations=Annotations("key"), data=b"\x00\xff")
    made = await create(wished)
    shown = b"" if kind == "secret" else b"\x00\xff"
    assert made.spec == replace(wished, data=shown)
    assert await get(made.id) == made
    assert await listed() == (made,)
    labelled = await update(
        made.id, made.meta.version.index, replace(wished, annotations=Annotations("key", {"a": "b"}))
    )
    assert labelled.spec.annotations.labels == {"a": "b"}
    with pytest.raises(InvalidSpec):
        await update(made.id, labelled.meta.version.index, replace(wished, data=b"other"))
    with pytest.raises(NameConflict):
        await create(wished)
    await remove(made.id)
    assert await listed() == ()


async def test_volumes(served):
    """A volume is made, paused, marked for deletion and removed by force."""
    client = served.client
    spec = VolumeSpec(
        annotations=Annotations("data"),
        driver=Driver("csi"),
        access_mode=VolumeAccessMode(block=BlockVolume()),
        group="fast",
    )
    made = await client.create_volume(spec)
    assert made.spec == spec
    assert await client.get_volume(made.id) == made
    assert await client.list_volumes(Filters(groups=("fast",), drivers=("csi",))) == (made,)
    updated = await client.update_volume(
        made.id, made.meta.version.index, replace(spec, annotations=Annotations("data", {"a": ""}))
    )
    assert updated.spec.annotations.labels == {"a": ""}
    await client.remove_volume(made.id)
    assert (await client.get_volume(made.id)).pending_delete
    await client.remove_volume(made.id, force=True)
    assert await client.list_volumes() == ()


async def test_extensions_and_resources(served):
    """Kinds are declared, and objects of them carry payloads that nobody here reads."""
    client = served.client
    kind = await client.create_extension(Annotations("printer"), "prints")
    assert await client.get_extension(kind.id) == kind
    payload = AnyValue("example.com/Printer", b"\x01")
    made = await client.create_resource(Annotations("p1"), "printer", payload)
    assert made.payload == payload
    assert await client.get_resource(made.id) == made
    assert await client.list_resources(Filters(kind="printer")) == (made,)
    updated = await client.update_resource(
        made.id, made.meta.version.index, payload=AnyValue("example.com/Printer", b"\x02")
    )
    assert updated.payload.value == b"\x02"
    with pytest.raises(Precondition):
        await client.remove_extension(kind.id)
    await client.remove_resource(made.id)
    await client.remove_extension(kind.id)
    with pytest.raises(NotFound):
        await client.get_extension(kind.id)


async def test_long_lists_come_whole(served):
    """A list of more than four megabytes arrives."""
    served.plane.commit(
        Changes.atomic(
            *(
                Create(Config(id=f"c{number}", spec=ConfigSpec(Annotations(f"c{number}"), b"x" * 1_000_000)))
                for number in range(6)
            )
        )
    )
    configs = await served.client.list_configs()
    assert [len(config.spec.data) for config in configs] == [1_000_000] * 6


async def test_others_are_served_while_a_long_list_is_written(served, monkeypatch):
    """A list is written in pieces, between which the loop goes on."""
    monkeypatch.setattr(control, "PIECE", 10)
    served.plane.put(*(Node(id=NodeId(f"n{number:03}")) for number in range(100)))
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await asyncio.sleep(0)
    answer = control.methods(served.plane)["ListNodes"](control_pb2.ListNodesRequest())
    before = turns
    assert len((await answer).nodes) == 100
    assert turns - before >= 10
    counting.cancel()


async def test_warnings_about_a_service(served):
    """What no node meets is said before the service is made."""
    served.plane.put(Node(id=NodeId("n1"), description=NodeDescription(hostname="w1")))
    spec = replace(WEB, task=replace(WEB.task, placement=Placement(constraints=("node.labels.zone==mars",))))
    (warning,) = await served.client.service_warnings(spec)
    assert "zone" in warning
    assert await served.client.service_warnings(WEB) == ()


async def test_object_removed_right_after_its_change_is_still_answered(served):
    """The answer to a change is what was asked for when somebody else was quicker to remove it."""

    def remove(committed):
        for change in committed.changes:
            if change.kind is ChangeKind.CREATED:
                served.plane.store.propose(Changes.atomic(Delete(Service, change.object.id)), lambda outcome: None)

    served.plane.watch(None, remove)
    made = await served.client.create_service(WEB)
    assert made.spec == WEB
    assert await served.client.list_services() == ()


async def test_secret_is_not_shown_to_the_maker_either(served):
    """Not even the answer to its creation holds the data of a secret; the store does."""
    made = await served.client.create_secret(SecretSpec(annotations=Annotations("key"), data=b"hush"))
    assert made.spec.data == b""
    assert served.plane.view.get(Secret, made.id).spec.data == b"hush"
