"""`service update` flags change exactly this of a spec."""

import pytest
from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    ConfigReference,
    ContainerSpec,
    DiscreteGenericResource,
    DNSConfig,
    Duration,
    EndpointSpec,
    FileTarget,
    GenericResource,
    GlobalService,
    HealthConfig,
    Mount,
    MountType,
    NetworkAttachmentConfig,
    Placement,
    PlacementPreference,
    PortConfig,
    PortProtocol,
    ReplicatedJob,
    ReplicatedService,
    ResourceRequirements,
    Resources,
    SecretId,
    SecretReference,
    ServiceSpec,
    SpreadOver,
    TaskSpec,
    Ulimit,
    UpdateConfig,
)
from swarmlab.cli.exits import UsageError
from swarmlab.cli.parser import Parser
from swarmlab.cli.references import Wanted
from swarmlab.cli.service_arguments import update_arguments
from swarmlab.cli.service_flags import Request
from swarmlab.cli.service_update import scaled, updated

GPU = GenericResource(discrete_resource_spec=DiscreteGenericResource("gpu", 1))
FPGA = GenericResource(discrete_resource_spec=DiscreteGenericResource("fpga", 2))
BASE = ServiceSpec(
    annotations=Annotations("web", {"a": "1", "b": "2"}),
    task=TaskSpec(
        container=ContainerSpec(
            image="img",
            args=("serve",),
            env=("A=1", "B=2"),
            labels={"c": "3"},
            mounts=(
                Mount(type=MountType.VOLUME, source="x", target="/x"),
                Mount(type=MountType.VOLUME, source="y", target="/y"),
            ),
            groups=("g1",),
            hosts=("10.0.0.1 db", "10.0.0.2 db"),
            dns_config=DNSConfig(("1.1.1.1",)),
            secrets=(SecretReference(SecretId("s1"), "key", FileTarget(name="key")),),
            configs=(ConfigReference(config_name="conf"),),
            capability_add=("CAP_NET_ADMIN",),
            capability_drop=("CAP_CHOWN",),
            sysctls={"k": "v"},
            ulimits=(Ulimit("nofile", 10, 10),),
            healthcheck=HealthConfig(test=("NONE",)),
        ),
        resources=ResourceRequirements(
            limits=Resources(1_000_000_000, 1 << 30), reservations=Resources(500_000_000, 0, (FPGA, GPU))
        ),
        placement=Placement(
            constraints=("node.role==worker",), preferences=(PlacementPreference(SpreadOver("node.labels.zone")),)
        ),
        networks=(NetworkAttachmentConfig(target="back"),),
    ),
    replicated=ReplicatedService(3),
    endpoint=EndpointSpec(
        ports=(
            PortConfig(published_port=8080, target_port=80),
            PortConfig(published_port=8053, target_port=53, protocol=PortProtocol.UDP),
        )
    ),
)


def request(*words: str, spec: ServiceSpec = BASE) -> Request:
    parser = Parser("swarmlab service update", "")
    update_arguments(parser)
    return updated(parser.parse_args([*words, "web"]), spec)


def test_without_flags_nothing_changes() -> None:
    assert request() == Request(BASE)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--image", "img:2"), {"image": "img:2"}),
        (("--args", "serve 'a b'"), {"args": ("serve", "a b")}),
        (("--env-add", "B=3", "--env-add", "C=4"), {"env": ("A=1", "B=3", "C=4")}),
        (("--env-rm", "A"), {"env": ("B=2",)}),
        (("--env-add", "A=9", "--env-rm", "A"), {"env": ("B=2",)}),
        (("--container-label-add", "d=4", "--container-label-rm", "c"), {"labels": {"d": "4"}}),
        (
            ("--mount-add", "source=z,target=/x"),
            {
                "mounts": (
                    Mount(type=MountType.VOLUME, source="z", target="/x"),
                    Mount(type=MountType.VOLUME, source="y", target="/y"),
                )
            },
        ),
        (("--mount-rm", "/x"), {"mounts": (Mount(type=MountType.VOLUME, source="y", target="/y"),)}),
        (("--group-add", "g0", "--group-rm", "g1"), {"groups": ("g0",)}),
        (("--host-rm", "db"), {"hosts": ()}),
        (("--host-rm", "db:10.0.0.1", "--host-add", "x:1.2.3.4"), {"hosts": ("10.0.0.2 db", "1.2.3.4 x")}),
        (("--dns-add", "8.8.8.8", "--dns-rm", "1.1.1.1"), {"dns_config": DNSConfig(("8.8.8.8",))}),
        (("--secret-rm", "key"), {"secrets": ()}),
        (("--config-rm", "conf"), {"configs": ()}),
        (
            ("--cap-add", "CHOWN", "--cap-drop", "NET_ADMIN"),
            {"capability_add": ("CAP_CHOWN",), "capability_drop": ("CAP_NET_ADMIN",)},
        ),
        (("--cap-add", "RESET"), {"capability_add": ()}),
        (("--sysctl-add", "l=w", "--sysctl-rm", "k"), {"sysctls": {"l": "w"}}),
        (
            ("--ulimit-add", "nofile=20", "--ulimit-add", "core=1"),
            {"ulimits": (Ulimit("nofile", 20, 20), Ulimit("core", 1, 1))},
        ),
        (("--ulimit-rm", "nofile"), {"ulimits": ()}),
        (("--health-retries", "2"), {"healthcheck": HealthConfig(retries=2)}),
        (("--read-only", "--tty"), {"read_only": True, "tty": True}),
        (("--user", "app"), {"user": "app"}),
    ],
)
def test_container_changes(words: tuple[str, ...], expected: dict[str, object]) -> None:
    before = BASE.task.container
    assert before is not None
    assert request(*words).spec == replace(BASE, task=replace(BASE.task, container=replace(before, **expected)))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--limit-cpu", "2"), {"resources": replace(BASE.task.resources, limits=Resources(2_000_000_000, 1 << 30))}),
        (
            ("--generic-resource-add", "gpu=4", "--generic-resource-rm", "fpga"),
            {
                "resources": replace(
                    BASE.task.resources,
                    reservations=Resources(
                        500_000_000, 0, (GenericResource(discrete_resource_spec=DiscreteGenericResource("gpu", 4)),)
                    ),
                )
            },
        ),
        (
            ("--constraint-add", "node.labels.a==b", "--constraint-rm", "node.role==worker"),
            {"placement": replace(BASE.task.placement, constraints=("node.labels.a==b",))},
        ),
        (
            ("--placement-pref-rm", "spread=node.labels.zone", "--placement-pref-add", "spread=node.labels.rack"),
            {
                "placement": replace(
                    BASE.task.placement,
                    preferences=(PlacementPreference(SpreadOver("node.labels.rack")),),
                )
            },
        ),
        (("--replicas-max-per-node", "1"), {"placement": replace(BASE.task.placement, max_replicas=1)}),
        (("--force",), {"force_update": 1}),
        (("--network-add", "front", "--network-rm", "back"), {"networks": (NetworkAttachmentConfig(target="front"),)}),
    ],
)
def test_task_changes(words: tuple[str, ...], expected: dict[str, object]) -> None:
    assert request(*words).spec == replace(BASE, task=replace(BASE.task, **expected))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--replicas", "7"), {"replicated": ReplicatedService(7)}),
        (
            ("--label-add", "a=9", "--label-add", "z", "--label-rm", "b"),
            {"annotations": Annotations("web", {"a": "9", "z": ""})},
        ),
        (("--publish-rm", "80"), {"endpoint": EndpointSpec(ports=BASE.endpoint.ports[1:])}),
        (("--publish-rm", "53/udp"), {"endpoint": EndpointSpec(ports=BASE.endpoint.ports[:1])}),
        (("--publish-rm", "53"), {}),
        (("--publish-add", "8080:80"), {}),
        (
            ("--publish-rm", "80", "--publish-add", "9090:80"),
            {"endpoint": EndpointSpec(ports=(BASE.endpoint.ports[1], PortConfig(published_port=9090, target_port=80)))},
        ),
        (("--update-parallelism", "3"), {"update": UpdateConfig(parallelism=3, monitor=Duration(5_000_000_000))}),
    ],
)
def test_service_changes(words: tuple[str, ...], expected: dict[str, object]) -> None:
    assert request(*words).spec == replace(BASE, **expected)


def test_files_to_add_are_looked_up_later() -> None:
    found = request("--secret-rm", "key", "--secret-add", "source=key,mode=0400", "--config-add", "conf2")
    assert found.secrets == (Wanted("key", FileTarget(name="key", uid="0", gid="0", mode=0o400)),)
    assert found.configs == (Wanted("conf2", FileTarget(name="/conf2", uid="0", gid="0", mode=0o444)),)


def test_an_update_keeps_the_place_of_what_it_does_not_touch() -> None:
    spec = replace(
        BASE, task=replace(BASE.task, placement=Placement(constraints=("node.labels.z==1", "node.labels.a==1")))
    )
    found = request("--constraint-add", "node.labels.m==1", spec=spec).spec.task.placement
    assert found == Placement(constraints=("node.labels.z==1", "node.labels.a==1", "node.labels.m==1"))


def test_scaling() -> None:
    assert scaled(BASE, 0).replicated == ReplicatedService(0)
    job = ServiceSpec(replicated_job=ReplicatedJob(2, 4))
    assert scaled(job, 9).replicated_job == ReplicatedJob(2, 9)
    with pytest.raises(UsageError, match="service db: mode global; only replicated services can be scaled"):
        scaled(ServiceSpec(annotations=Annotations("db"), global_=GlobalService()), 2)


def test_max_concurrent_is_for_jobs() -> None:
    job = ServiceSpec(replicated_job=ReplicatedJob(2, 4))
    assert request("--max-concurrent", "3", spec=job).spec.replicated_job == ReplicatedJob(3, 4)
    with pytest.raises(UsageError, match="--max-concurrent: service web is not a replicated job"):
        request("--max-concurrent", "3")


def test_affinity_terms_go_by_name_or_in_any_words_and_new_ones_come() -> None:
    labels = {"swarmlab.affinity.db": "service!=db", "swarmlab.affinity.1": "service==web", "x": "y"}
    spec = replace(BASE, annotations=Annotations("web", labels))
    words = ("--affinity-rm", "db", "--affinity-rm", "service == web", "--affinity-add", "service!=cache")
    assert request(*words, spec=spec).spec.annotations.labels == {"x": "y", "swarmlab.affinity.1": "service!=cache"}
    with pytest.raises(UsageError, match="--affinity-rm: the service has no such term: 'service==no'"):
        request("--affinity-rm", "service==no", spec=spec)
