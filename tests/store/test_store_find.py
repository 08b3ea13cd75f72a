"""Each finder gives what a scan gives."""

import pytest
from store_builders import a_task, a_view, named, replace

from swarmlab.api import (
    KINDS,
    Annotations,
    Config,
    ConfigReference,
    ContainerSpec,
    Driver,
    Extension,
    GenericRuntimeSpec,
    IndexEntry,
    InvalidSpec,
    Membership,
    Network,
    NetworkAttachment,
    NetworkAttachmentConfig,
    NetworkAttachmentSpec,
    Node,
    NodeRole,
    NodeSpec,
    Resource,
    ResourceReference,
    ResourceType,
    SecretReference,
    Service,
    ServiceSpec,
    Task,
    TaskSpec,
    TaskState,
    TaskStatus,
    Volume,
    VolumeAttachment,
    VolumeSpec,
)
from swarmlab.store import (
    AttachesVolume,
    ByCustom,
    ByCustomPrefix,
    ByDesiredState,
    ByDriver,
    ByIdPrefix,
    ByKind,
    ByMembership,
    ByName,
    ByNamePrefix,
    ByNode,
    ByRole,
    ByRuntime,
    ByService,
    BySlot,
    ByTaskState,
    ByVolumeGroup,
    ReferencesConfig,
    ReferencesNetwork,
    ReferencesSecret,
)
from swarmlab.store.find import FITS, matcher

CONTAINER = TaskSpec(
    container=ContainerSpec(secrets=(SecretReference(secret_id="x1"),), configs=(ConfigReference(config_id="c1"),)),
    networks=(NetworkAttachmentConfig(target="w1"),),
)
REFERRING = TaskSpec(
    attachment=NetworkAttachmentSpec(),
    resource_references=(
        ResourceReference(resource_id="x1", resource_type=ResourceType.SECRET),
        ResourceReference(resource_id="c2", resource_type=ResourceType.CONFIG),
        ResourceReference(resource_id="c1", resource_type=ResourceType.TASK),
    ),
)
MARKED = Annotations(indices=(IndexEntry("zone", "north-1"), IndexEntry("rack", "7")))

VIEW = a_view(
    Node(id="n1", role=NodeRole.MANAGER, spec=NodeSpec(membership=Membership.ACCEPTED)),
    named(Node, "n2", "Alpha"),
    named(Node, "n3", "alpine"),
    a_task("t1", "web", 1, "n1", spec=CONTAINER, desired_state=TaskState.RUNNING),
    a_task("t2", "web", 2, "n2", spec=REFERRING, status=TaskStatus(state=TaskState.RUNNING)),
    a_task("t3", "db", 1, "n1", networks=(NetworkAttachment(network=Network(id="w2")), NetworkAttachment())),
    a_task("u1", volumes=(VolumeAttachment(id="v1"),), annotations=replace(MARKED, name="Alone")),
    a_task("u2", spec=TaskSpec(generic=GenericRuntimeSpec(kind="plugin"))),
    Service(id="s1", spec=ServiceSpec(annotations=Annotations(name="web", indices=MARKED.indices), task=CONTAINER)),
    Service(
        id="s2",
        spec=ServiceSpec(annotations=Annotations(name="Web2"), networks=(NetworkAttachmentConfig(target="w1"),)),
    ),
    Service(id="s3", spec=ServiceSpec(annotations=Annotations(name="db"), task=REFERRING)),
    Volume(id="v1", spec=VolumeSpec(annotations=Annotations(name="data"), group="hot", driver=Driver(name="csi"))),
    Volume(id="v2", spec=VolumeSpec(annotations=Annotations(name="logs"))),
    named(Config, "c1", "conf"),
    named(Extension, "e1", "tool"),
    named(Extension, "e2", "food"),
    Resource(id="r1", annotations=replace(MARKED, name="nut"), kind="tool"),
    Resource(id="r2", annotations=Annotations(name="nut"), kind="Food"),
)

CASES = [
    (Task, ByService("web"), ["t1", "t2"]),
    (Task, ByService(""), []),
    (Task, ByNode("n1"), ["t1", "t3"]),
    (Task, ByNode(""), []),
    (Task, BySlot("web", 2), ["t2"]),
    (Task, BySlot("", 0), []),
    (Task, ByDesiredState(TaskState.RUNNING), ["t1"]),
    (Task, ByTaskState(TaskState.RUNNING), ["t2"]),
    (Node, ByRole(NodeRole.MANAGER), ["n1"]),
    (Node, ByRole(NodeRole.WORKER), ["n2", "n3"]),
    (Node, ByMembership(Membership.ACCEPTED), ["n1"]),
    (Task, ReferencesNetwork("w1"), ["t1"]),
    (Task, ReferencesNetwork("w2"), ["t3"]),
    (Service, ReferencesNetwork("w1"), ["s1", "s2"]),
    (Task, ReferencesSecret("x1"), ["t1", "t2"]),
    (Service, ReferencesSecret("x1"), ["s1", "s3"]),
    (Task, ReferencesConfig("c1"), ["t1"]),
    (Service, ReferencesConfig("c2"), ["s3"]),
    (Task, AttachesVolume("v1"), ["u1"]),
    (Task, ByRuntime("container"), ["t1"]),
    (Task, ByRuntime("plugin"), ["u2"]),
    (Service, ByRuntime("attachment"), ["s3"]),
    (Service, ByCustom("rack", "7"), ["s1"]),
    (Task, ByCustom("rack", "7"), ["u1"]),
    (Resource, ByCustom("zone", "north-1"), ["r1"]),
    (Resource, ByCustom("zone", "north"), []),
    (Service, ByCustomPrefix("zone", "north"), ["s1"]),
    (Service, ByCustomPrefix("rack", "north"), []),
    (Volume, ByVolumeGroup("hot"), ["v1"]),
    (Volume, ByDriver("csi"), ["v1"]),
    (Resource, ByKind("FOOD"), ["r2"]),
    (Node, ByName("ALPHA"), ["n2"]),
    (Service, ByName("WEB"), ["s1"]),
    (Service, ByName("none"), []),
    (Task, ByName("alone"), ["u1"]),
    (Resource, ByName("Nut"), ["r1", "r2"]),
    (Node, ByName(""), []),
    (Task, ByName(""), []),
    (Node, ByNamePrefix("ALP"), ["n2", "n3"]),
    (Service, ByNamePrefix("we"), ["s1", "s2"]),
    (Task, ByIdPrefix("t"), ["t1", "t2", "t3"]),
    (Volume, ByIdPrefix(""), ["v1", "v2"]),
]


@pytest.mark.parametrize(("kind", "by", "wanted"), CASES, ids=lambda value: str(value)[:60])
def test_a_finder_names(kind, by, wanted):
    found = VIEW.find(kind, by)
    assert [obj.id for obj in found] == wanted
    assert found == tuple(obj for obj in VIEW.all(kind) if matcher(by)(obj))


def test_every_finder_has_a_case():
    assert {type(by) for _, by, _ in CASES} == set(FITS)


def test_several_finders_unite_each_object_once_and_sorted():
    found = VIEW.find(Task, ByService("web"), ByNode("n1"), ByIdPrefix("t2"), ByName("alone"))
    assert [task.id for task in found] == ["t1", "t2", "t3", "u1"]


def test_no_finder_names_nothing():
    assert VIEW.find(Task) == ()


@pytest.mark.parametrize(
    ("kind", "by"),
    [
        (kind, by)
        for by in {type(by): by for _, by, _ in CASES}.values()
        for kind in KINDS
        if kind not in FITS[type(by)]
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
def test_a_finder_of_another_kind_is_refused(kind, by):
    with pytest.raises(InvalidSpec, match=f"{type(by).__name__} does not find objects of the kind {KINDS[kind]}"):
        VIEW.find(kind, by)
