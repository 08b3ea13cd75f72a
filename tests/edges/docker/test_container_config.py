"""A task becomes the body of one request, and nothing of it is left to chance."""

from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from swarmlab.api import (
    Annotations,
    AppArmorMode,
    AppArmorOpts,
    BindOptions,
    ContainerSpec,
    CredentialSpec,
    DNSConfig,
    Driver,
    Duration,
    Endpoint,
    ExecutorError,
    GenericResource,
    HealthConfig,
    Mount,
    MountType,
    NamedGenericResource,
    Network,
    NetworkAttachment,
    NetworkSpec,
    NodeId,
    Platform,
    PortConfig,
    PortProtocol,
    Privileges,
    Propagation,
    PublishMode,
    ResourceRequirements,
    Resources,
    SeccompMode,
    SeccompOpts,
    SELinuxContext,
    ServiceId,
    Task,
    TaskId,
    TaskSpec,
    TmpfsOptions,
    Ulimit,
    VolumeOptions,
    seconds,
)
from swarmlab.edges.docker.container import container_config, port_status
from swarmlab.edges.nodefacts import NodeFacts
from swarmlab.edges.taskfiles import TaskFile
from swarmlab.edges.template import context

FACTS = NodeFacts(node_id=NodeId("n1"), cluster="c1", hostname="host1")
LABELS = {
    "com.docker.swarm.task": "",
    "com.docker.swarm.task.id": "t1",
    "com.docker.swarm.task.name": "web.2.t1",
    "com.docker.swarm.node.id": "n1",
    "com.docker.swarm.service.id": "s1",
    "com.docker.swarm.service.name": "web",
    "swarmlab.cluster": "c1",
    "swarmlab.node": "n1",
    "swarmlab.task": "t1",
}


def config(
    *, task: dict[str, Any] | None = None, resources: Any = None, files: Any = (), **spec: Any
) -> dict[str, Any]:
    """The body for a task with that container spec."""
    made = Task(
        id=TaskId("t1"),
        slot=2,
        service_id=ServiceId("s1"),
        node_id=NodeId("n1"),
        service_annotations=Annotations("web", {"tier": "front"}),
        spec=TaskSpec(container=ContainerSpec(image="nginx:1.27", **spec), resources=resources),
        **(task or {}),
    )
    return container_config(made, FACTS, context(made, "host1", Platform("x86_64", "linux")), files)


def test_a_spec_of_an_image_alone_leaves_all_else_to_image_and_engine() -> None:
    assert config() == {
        "Image": "nginx:1.27",
        "Env": [],
        "Labels": LABELS,
        "StopTimeout": 10,
        "Tty": False,
        "OpenStdin": False,
        "ExposedPorts": {},
        "HostConfig": {"Mounts": [], "PortBindings": {}, "ReadonlyRootfs": False},
    }


def test_a_spec_of_everything() -> None:
    made = config(
        labels={"mine": "1", "swarmlab.task": "not mine"},
        command=("nginx",),
        args=("-g", "daemon off;"),
        hostname="{{.Service.Name}}-{{.Task.Slot}}",
        env=("NODE={{.Node.Hostname}}", "GONE"),
        dir="/srv",
        user="www:www",
        groups=("video",),
        init=False,
        tty=True,
        open_stdin=True,
        read_only=True,
        stop_signal="SIGQUIT",
        stop_grace_period=Duration(1_500_000_000),
        hosts=("10.0.0.1 db db.internal",),
        dns_config=DNSConfig(("1.1.1.1",), ("example.com",), ("ndots:2",)),
        healthcheck=HealthConfig(test=("CMD", "true"), interval=seconds(5), retries=2),
        pidsLimit=100,
        sysctls={"net.core.somaxconn": "1024"},
        capability_add=("CAP_NET_ADMIN",),
        capability_drop=("CAP_MKNOD",),
        ulimits=(Ulimit("nofile", 10, 20),),
        oom_score_adj=-5,
        task={
            "log_driver": Driver("json-file", {"max-size": "10m"}),
            "assigned_generic_resources": (
                GenericResource(named_resource_spec=NamedGenericResource("gpu", "UUID2")),
                GenericResource(named_resource_spec=NamedGenericResource("gpu", "UUID1")),
            ),
            "endpoint": Endpoint(
                ports=(
                    PortConfig(target_port=80, published_port=8080, publish_mode=PublishMode.HOST),
                    PortConfig(target_port=53, protocol=PortProtocol.UDP, publish_mode=PublishMode.HOST),
                    PortConfig(target_port=443, published_port=8443),
                )
            ),
        },
        resources=ResourceRequirements(
            limits=Resources(nano_cpus=1_500_000_000, memory_bytes=1 << 30),
            reservations=Resources(memory_bytes=1 << 29),
            swap_bytes=1 << 20,
            memory_swappiness=10,
        ),
    )
    assert made == {
        "Image": "nginx:1.27",
        "Env": ["DOCKER_RESOURCE_GPU=UUID1,UUID2", "NODE=host1", "GONE"],
        "Labels": {"mine": "1", **LABELS},
        "StopTimeout": 2,
        "StopSignal": "SIGQUIT",
        "Tty": True,
        "OpenStdin": True,
        "Hostname": "web-2",
        "User": "www:www",
        "WorkingDir": "/srv",
        "Entrypoint": ["nginx"],
        "Cmd": ["-g", "daemon off;"],
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5_000_000_000, "Retries": 2},
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "HostConfig": {
            "Mounts": [],
            "PortBindings": {"80/tcp": [{"HostPort": "8080"}], "53/udp": [{"HostPort": ""}]},
            "ReadonlyRootfs": True,
            "CpuPeriod": 100_000,
            "CpuQuota": 150_000,
            "Memory": 1 << 30,
            "MemoryReservation": 1 << 29,
            "MemorySwap": (1 << 30) + (1 << 20),
            "MemorySwappiness": 10,
            "Init": False,
            "CapAdd": ["CAP_NET_ADMIN"],
            "CapDrop": ["CAP_MKNOD"],
            "GroupAdd": ["video"],
            "ExtraHosts": ["db:10.0.0.1", "db.internal:10.0.0.1"],
            "Sysctls": {"net.core.somaxconn": "1024"},
            "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}],
            "PidsLimit": 100,
            "OomScoreAdj": -5,
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}},
            "Dns": ["1.1.1.1"],
            "DnsSearch": ["example.com"],
            "DnsOptions": ["ndots:2"],
        },
    }


def test_unlimited_swap_needs_no_memory_limit() -> None:
    assert config(resources=ResourceRequirements(swap_bytes=-1))["HostConfig"]["MemorySwap"] == -1


def test_mounts_of_each_kind() -> None:
    mounts = (
        Mount(
            source="/srv/{{.Service.Name}}",
            target="/data",
            readonly=True,
            bind_options=BindOptions(propagation=Propagation.RSLAVE, nonrecursive=True),
        ),
        Mount(
            type=MountType.VOLUME,
            source="v-{{.Task.Slot}}",
            target="/v",
            volume_options=VolumeOptions(
                nocopy=True,
                labels={"of": "{{.Service.Name}}"},
                driver_config=Driver("local", {"o": "size={{.Task.Slot}}m"}),
                subpath="sub",
            ),
        ),
        Mount(type=MountType.TMPFS, target="/t", tmpfs_options=TmpfsOptions(1 << 20, 0o777 | 1 << 20, "noexec,uid=5")),
    )
    assert config(mounts=mounts)["HostConfig"]["Mounts"] == [
        {
            "Type": "bind",
            "Source": "/srv/web",
            "Target": "/data",
            "ReadOnly": True,
            "BindOptions": {
                "Propagation": "rslave",
                "NonRecursive": True,
                "CreateMountpoint": False,
                "ReadOnlyNonRecursive": False,
                "ReadOnlyForceRecursive": False,
            },
        },
        {
            "Type": "volume",
            "Source": "v-2",
            "Target": "/v",
            "ReadOnly": False,
            "VolumeOptions": {
                "NoCopy": True,
                "Labels": {"of": "web"},
                "Subpath": "sub",
                "DriverConfig": {"Name": "local", "Options": {"o": "size=2m"}},
            },
        },
        {
            "Type": "tmpfs",
            "Source": "",
            "Target": "/t",
            "ReadOnly": False,
            "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o1777, "Options": [["noexec"], ["uid", "5"]]},
        },
    ]


def test_files_are_mounted_by_path_and_never_by_content() -> None:
    file = TaskFile(title="secret pw", secret=True, target=PurePosixPath("/run/secrets/pw"), data=b"hunter2")
    made = config(files=[(file, Path("/dev/shm/x/0"))])
    assert made["HostConfig"]["Mounts"] == [
        {"Type": "bind", "Source": "/dev/shm/x/0", "Target": "/run/secrets/pw", "ReadOnly": True}
    ]
    assert "hunter2" not in repr(made)


def test_security_options() -> None:
    privileges = Privileges(
        selinux_context=SELinuxContext(user="u", type="t", level="l"),
        seccomp=SeccompOpts(SeccompMode.CUSTOM, b"{}"),
        apparmor=AppArmorOpts(AppArmorMode.DISABLED),
        no_new_privileges=True,
    )
    assert config(privileges=privileges)["HostConfig"]["SecurityOpt"] == [
        "label=user:u",
        "label=type:t",
        "label=level:l",
        "seccomp={}",
        "apparmor=unconfined",
        "no-new-privileges=true",
    ]
    unconfined = Privileges(selinux_context=SELinuxContext(disable=True), seccomp=SeccompOpts(SeccompMode.UNCONFINED))
    assert config(privileges=unconfined)["HostConfig"]["SecurityOpt"] == ["label=disable", "seccomp=unconfined"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"privileges": Privileges(credential_spec=CredentialSpec("f"))}, "credential specs are of Windows"),
        ({"mounts": (Mount(type=MountType.CLUSTER, source="v", target="/v"),)}, "cluster volumes are not provided"),
        ({"hosts": ("10.0.0.1",)}, "host '10.0.0.1', wanted: an address and a name"),
        ({"env": ("A={{.Nothing}}",)}, "env A: template"),
        ({"mounts": (Mount(source="{{.Nothing}}", target="/v"),)}, "mount source: template"),
    ],
)
def test_what_no_engine_can_do_is_an_error(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ExecutorError, match=message) as caught:
        config(**spec)
    assert not caught.value.temporary


def test_bound_ports_are_reported_once_and_in_order() -> None:
    inspected = {
        "NetworkSettings": {
            "Ports": {
                "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
                "53/udp": [{"HostIp": "0.0.0.0", "HostPort": "49153"}],
                "443/tcp": None,
            }
        }
    }
    status = port_status(inspected)
    assert status is not None
    assert status.ports == (
        PortConfig(target_port=53, published_port=49153, protocol=PortProtocol.UDP, publish_mode=PublishMode.HOST),
        PortConfig(target_port=80, published_port=8080, publish_mode=PublishMode.HOST),
    )
    assert port_status({"NetworkSettings": {"Ports": None}}) is None


def on(*networks: tuple[str, str]) -> Task:
    attachments = tuple(
        NetworkAttachment(network=Network(spec=NetworkSpec(annotations=Annotations(name)), driver_state=Driver(driver)))
        for name, driver in networks
    )
    return Task(id=TaskId("t1"), spec=TaskSpec(container=ContainerSpec(image="x")), networks=attachments)


@pytest.mark.parametrize(
    ("networks", "mode"),
    [((), None), ((("host", "host"),), "host"), ((("bridge", "bridge"),), "bridge"), ((("none", "null"),), "none")],
)
def test_networks_that_each_node_has_are_modes(networks: tuple[tuple[str, str], ...], mode: str | None) -> None:
    assert container_config(on(*networks), FACTS, {}, ())["HostConfig"].get("NetworkMode") == mode


@pytest.mark.parametrize(
    ("networks", "about"),
    [
        ((("back", "overlay"),), "network 'back' is of driver 'overlay', this node has: bridge, host, null"),
        ((("host", "host"), ("bridge", "bridge")), "one network, no more"),
    ],
)
def test_other_networks_are_refused(networks: tuple[tuple[str, str], ...], about: str) -> None:
    with pytest.raises(ExecutorError, match=about):
        container_config(on(*networks), FACTS, {}, ())


def test_a_port_that_the_engine_chose_is_the_one_under_ipv4() -> None:
    """An engine that is free to choose gives the families different ports once they got out of step."""

    def published(*bindings: tuple[str, str]) -> list[int]:
        bound = [{"HostIp": ip, "HostPort": port} for ip, port in bindings]
        status = port_status({"NetworkSettings": {"Ports": {"80/tcp": bound}}})
        assert status is not None
        return [port.published_port for port in status.ports]

    assert published(("0.0.0.0", "32803"), ("::", "32801")) == [32803]
    assert published(("::", "32801")) == [32801]
    assert published(("0.0.0.0", "80"), ("0.0.0.0", "81"), ("::", "80"), ("::", "81")) == [80, 81]


def test_one_port_of_a_task_may_be_published_more_than_once() -> None:
    ports = tuple(
        PortConfig(target_port=80, published_port=published, publish_mode=PublishMode.HOST)
        for published in (8080, 8081)
    )
    made = config(task={"endpoint": Endpoint(ports=ports)})
    assert made["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostPort": "8080"}, {"HostPort": "8081"}]}
