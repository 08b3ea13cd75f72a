"""`service create` flags become exactly this spec."""

import random
from pathlib import Path

import pytest

from swarmlab.api import (
    Annotations,
    BindOptions,
    ContainerSpec,
    CredentialSpec,
    DiscreteGenericResource,
    DNSConfig,
    Driver,
    Duration,
    EndpointSpec,
    FailureAction,
    FileTarget,
    GenericResource,
    GlobalJob,
    GlobalService,
    HealthConfig,
    Isolation,
    Mount,
    MountType,
    NetworkAttachmentConfig,
    Placement,
    PlacementPreference,
    PortConfig,
    PortProtocol,
    Privileges,
    PublishMode,
    ReplicatedJob,
    ReplicatedService,
    ResolutionMode,
    ResourceRequirements,
    Resources,
    RestartCondition,
    RestartPolicy,
    ServiceSpec,
    SpreadOver,
    TaskSpec,
    TmpfsOptions,
    Ulimit,
    UpdateConfig,
    UpdateOrder,
    VolumeOptions,
)
from swarmlab.cli.exits import Exit, UsageError
from swarmlab.cli.main import main
from swarmlab.cli.parser import Parser
from swarmlab.cli.references import Wanted
from swarmlab.cli.service_arguments import create_arguments
from swarmlab.cli.service_flags import Request, created

SECOND = 1_000_000_000


def request(*words: str) -> Request:
    parser = Parser("swarmlab service create", "")
    create_arguments(parser)
    return created(parser.parse_args(list(words)), random.Random(7))


def spec(*words: str) -> ServiceSpec:
    return request("--name", "web", *words, "img").spec


def container(*words: str) -> ContainerSpec:
    found = spec(*words).task.container
    assert found is not None
    return found


def test_the_bare_minimum() -> None:
    assert request("--name", "web", "img") == Request(
        ServiceSpec(
            annotations=Annotations("web"),
            task=TaskSpec(container=ContainerSpec(image="img")),
            replicated=ReplicatedService(1),
        )
    )


def test_a_name_is_made_up_where_none_is_given() -> None:
    assert request("img").spec.annotations.name == "hardy_cricket_50"


def test_words_after_the_image_are_arguments_even_when_they_look_like_flags() -> None:
    found = request("--name", "web", "img", "sh", "-c", "echo $A", "--tty", "--name=x").spec
    assert found.annotations.name == "web"
    assert found.task.container == ContainerSpec(image="img", args=("sh", "-c", "echo $A", "--tty", "--name=x"))


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        ((), {"replicated": ReplicatedService(1)}),
        (("--replicas", "0"), {"replicated": ReplicatedService(0)}),
        (("--mode", "replicated", "--replicas=5"), {"replicated": ReplicatedService(5)}),
        (("--mode", "global"), {"global_": GlobalService()}),
        (("--mode", "global-job"), {"global_job": GlobalJob()}),
        (("--mode", "replicated-job"), {"replicated_job": ReplicatedJob(1, 1)}),
        (("--mode", "replicated-job", "--replicas", "6"), {"replicated_job": ReplicatedJob(6, 6)}),
        (
            ("--mode", "replicated-job", "--replicas", "6", "--max-concurrent", "2"),
            {"replicated_job": ReplicatedJob(max_concurrent=2, total_completions=6)},
        ),
    ],
)
def test_modes(words: tuple[str, ...], mode: dict[str, object]) -> None:
    found = spec(*words)
    fields = ("replicated", "global_", "replicated_job", "global_job")
    assert {name: getattr(found, name) for name in fields if getattr(found, name) is not None} == mode


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("-u", "app:staff"), {"user": "app:staff"}),
        (("-w", "/srv"), {"dir": "/srv"}),
        (("--hostname", "{{.Node.Hostname}}"), {"hostname": "{{.Node.Hostname}}"}),
        (("--tty",), {"tty": True}),
        (("-t",), {"tty": True}),
        (("--tty=false",), {}),
        (("--init",), {"init": True}),
        (("--init=false",), {"init": False}),
        (("--read-only",), {"read_only": True}),
        (
            ("--stop-signal", "SIGINT", "--stop-grace-period", "1m30s"),
            {"stop_signal": "SIGINT", "stop_grace_period": 90 * SECOND},
        ),
        (("--entrypoint", "sh -c 'sleep 1'"), {"command": ("sh", "-c", "sleep 1")}),
        (("--isolation", "hyperv"), {"isolation": Isolation.ISOLATION_HYPERV}),
        (
            ("--credential-spec", "file://a.json"),
            {"privileges": Privileges(credential_spec=CredentialSpec(file="a.json"))},
        ),
        (("--oom-score-adj", "-500"), {"oom_score_adj": -500}),
        (("--limit-pids", "100"), {"pidsLimit": 100}),
        (("--container-label", "a=1", "--container-label", "b"), {"labels": {"a": "1", "b": ""}}),
        (("-e", "A=1", "--env", "B=x=y", "--env", "A=2"), {"env": ("A=2", "B=x=y")}),
        (("--group", "video", "--group", "video"), {"groups": ("video",)}),
        (("--host", "db:10.0.0.1", "--host", "six:::1"), {"hosts": ("10.0.0.1 db", "::1 six")}),
        (
            ("--dns", "1.1.1.1", "--dns-search", "lan", "--dns-option", "ndots:2"),
            {"dns_config": DNSConfig(("1.1.1.1",), ("lan",), ("ndots:2",))},
        ),
        (
            ("--cap-add", "net_admin", "--cap-drop", "ALL"),
            {"capability_add": ("CAP_NET_ADMIN",), "capability_drop": ("ALL",)},
        ),
        (("--sysctl", "net.core.somaxconn=1024"), {"sysctls": {"net.core.somaxconn": "1024"}}),
        (
            ("--ulimit", "nofile=1024:2048", "--ulimit", "nproc=64", "--ulimit", "core=-1"),
            {"ulimits": (Ulimit("nofile", 1024, 2048), Ulimit("nproc", 64, 64), Ulimit("core", -1, -1))},
        ),
        (("--no-healthcheck",), {"healthcheck": HealthConfig(test=("NONE",))}),
        (
            (
                *("--health-cmd", "curl -f /", "--health-interval", "5s", "--health-timeout", "2s"),
                *("--health-retries", "3", "--health-start-period", "10s", "--health-start-interval", "500ms"),
            ),
            {
                "healthcheck": HealthConfig(
                    test=("CMD-SHELL", "curl -f /"),
                    interval=Duration(5 * SECOND),
                    timeout=Duration(2 * SECOND),
                    retries=3,
                    start_period=Duration(10 * SECOND),
                    start_interval=Duration(SECOND // 2),
                )
            },
        ),
    ],
)
def test_container_flags(words: tuple[str, ...], expected: dict[str, object]) -> None:
    assert container(*words) == ContainerSpec(image="img", **expected)


def test_an_environment_name_alone_takes_this_environments_value(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HERE", "yes")
    monkeypatch.delenv("NOT_HERE", raising=False)
    file = tmp_path / "vars"
    file.write_text("# comment\n\nFROM_FILE=1\nHERE\nTWICE=file\n")
    assert container("--env-file", str(file), "-e", "TWICE=flag", "-e", "NOT_HERE").env == (
        "FROM_FILE=1",
        "HERE=yes",
        "TWICE=flag",
    )


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("80", [PortConfig(target_port=80)]),
        ("8080:80", [PortConfig(published_port=8080, target_port=80)]),
        ("53:5353/udp", [PortConfig(published_port=53, target_port=5353, protocol=PortProtocol.UDP)]),
        (
            "8080-8081:80-81",
            [PortConfig(published_port=8080, target_port=80), PortConfig(published_port=8081, target_port=81)],
        ),
        (
            "target=80,published=8080,protocol=sctp,mode=host",
            [
                PortConfig(
                    published_port=8080, target_port=80, protocol=PortProtocol.SCTP, publish_mode=PublishMode.HOST
                )
            ],
        ),
        ("published=9000,target=90,name=web", [PortConfig(name="web", published_port=9000, target_port=90)]),
    ],
)
def test_published_ports(text: str, ports: list[PortConfig]) -> None:
    assert spec("-p", text).endpoint == EndpointSpec(ports=tuple(ports))


def test_the_endpoint_mode() -> None:
    assert spec("--endpoint-mode", "dnsrr").endpoint == EndpointSpec(ResolutionMode.DNSRR)


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("source=data,target=/data", Mount(type=MountType.VOLUME, source="data", target="/data")),
        ("type=volume,dst=/data", Mount(type=MountType.VOLUME, target="/data")),
        ("type=bind,src=/etc,dst=/host,ro", Mount(type=MountType.BIND, source="/etc", target="/host", readonly=True)),
        (
            "type=bind,src=/etc,dst=/host,readonly=false,bind-nonrecursive",
            Mount(type=MountType.BIND, source="/etc", target="/host", bind_options=BindOptions(nonrecursive=True)),
        ),
        (
            "type=tmpfs,target=/tmp,tmpfs-size=64m,tmpfs-mode=1770",
            Mount(type=MountType.TMPFS, target="/tmp", tmpfs_options=TmpfsOptions(size_bytes=64 << 20, mode=0o1770)),
        ),
        (
            'source=v,target=/v,volume-driver=nfs,"volume-opt=o=addr=1,rw",volume-label=a=b,volume-nocopy',
            Mount(
                type=MountType.VOLUME,
                source="v",
                target="/v",
                volume_options=VolumeOptions(
                    nocopy=True, labels={"a": "b"}, driver_config=Driver("nfs", {"o": "addr=1,rw"})
                ),
            ),
        ),
    ],
)
def test_mounts(text: str, mount: Mount) -> None:
    assert container("--mount", text).mounts == (mount,)


def test_a_relative_bind_source_starts_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert container("--mount", "type=bind,source=./data,target=/data").mounts[0].source == str(tmp_path / "data")


def test_resources() -> None:
    words = ("--limit-cpu", "1.5", "--limit-memory", "512m", "--reserve-cpu=.25", "--reserve-memory", "64MiB")
    assert spec(*words, "--generic-resource", "gpu=2").task.resources == ResourceRequirements(
        limits=Resources(1_500_000_000, 512 << 20),
        reservations=Resources(
            250_000_000, 64 << 20, (GenericResource(discrete_resource_spec=DiscreteGenericResource("gpu", 2)),)
        ),
    )


def test_placement() -> None:
    words = ("--constraint", "node.labels.disk==ssd", "--constraint", "node.role!=manager")
    assert spec(
        *words, "--placement-pref", "spread=node.labels.zone", "--replicas-max-per-node", "2"
    ).task.placement == Placement(
        constraints=("node.labels.disk==ssd", "node.role!=manager"),
        preferences=(PlacementPreference(SpreadOver("node.labels.zone")),),
        max_replicas=2,
    )


def test_policies_start_from_the_defaults() -> None:
    found = spec(
        *("--restart-max-attempts", "3", "--restart-window", "1m"),
        *("--update-parallelism", "2", "--update-order", "start-first", "--update-failure-action", "rollback"),
        *("--rollback-monitor", "1s", "--rollback-max-failure-ratio", "0.5"),
    )
    assert found.task.restart == RestartPolicy(
        condition=RestartCondition.ANY, delay=Duration(5 * SECOND), max_attempts=3, window=Duration(60 * SECOND)
    )
    assert found.update == UpdateConfig(
        parallelism=2,
        order=UpdateOrder.START_FIRST,
        failure_action=FailureAction.ROLLBACK,
        monitor=Duration(5 * SECOND),
    )
    assert found.rollback == UpdateConfig(parallelism=1, monitor=Duration(SECOND), max_failure_ratio=0.5)


def test_what_else_a_service_has() -> None:
    found = request(
        *("--name", "web", "-l", "team=a", "--log-driver", "syslog", "--log-opt", "tag=x"),
        *("--network", "back", "--network", "name=front,alias=www", "--with-registry-auth", "--no-resolve-image"),
        *("--secret", "key", "--secret", "source=cert,target=/etc/cert.pem,uid=1,gid=2,mode=0400"),
        *("--config", "conf", "img"),
    )
    assert found.spec.annotations == Annotations("web", {"team": "a"})
    assert found.spec.task.log_driver == Driver("syslog", {"tag": "x"})
    assert found.spec.task.networks == (
        NetworkAttachmentConfig(target="back"),
        NetworkAttachmentConfig(target="front", aliases=("www",)),
    )
    assert found.secrets == (
        Wanted("key", FileTarget(name="key", uid="0", gid="0", mode=0o444)),
        Wanted("cert", FileTarget(name="/etc/cert.pem", uid="1", gid="2", mode=0o400)),
    )
    assert found.configs == (Wanted("conf", FileTarget(name="/conf", uid="0", gid="0", mode=0o444)),)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--replicas", "-1"), "--replicas: '-1', wanted: a whole number >= 0"),
        (("--replicas", "many"), "--replicas: 'many', wanted: a whole number >= 0"),
        (("--mode", "global", "--replicas", "2"), "--replicas does not go with --mode global"),
        (("--max-concurrent", "2"), "--max-concurrent goes with --mode replicated-job alone"),
        (("--limit-cpu", "0.5.5"), "--limit-cpu: '0.5.5', wanted: a number of CPUs such as 2 or 0.5"),
        (("--limit-memory", "lots"), "--limit-memory: 'lots', wanted: a size such as 512M or 1GiB"),
        (("--update-delay", "5"), "--update-delay: '5', wanted: a span such as 1h30m, 10s or 500ms"),
        (("--update-delay=-5s",), "--update-delay: '-5s', wanted: a span >= 0"),
        (("--update-max-failure-ratio", "2"), "--update-max-failure-ratio: '2', wanted: a number from 0 to 1"),
        (("-p", "80000:80"), "--publish: published port '80000', wanted: a number from 0 to 65535"),
        (("-p", "127.0.0.1:80:80"), "a port is published on every address of a node, not on '127.0.0.1' alone"),
        (("-p", "80-81:90"), "--publish: '80-81:90': 2 published ports for 1 targets"),
        (("-p", "80/http"), "--publish: protocol 'http', wanted: tcp, udp, sctp"),
        (("-p", "target=80,mode=vip"), "--publish: mode 'vip', wanted: ingress, host"),
        (("-p", "published=80"), "--publish: 'published=80': target=PORT is missing"),
        (("-p", "target=80,publish=90"), "unknown key 'publish'; did you mean \"published\"?"),
        (("--mount", "type=bind,target=/x"), "source=PATH is missing; a bind mount needs one"),
        (("--mount", "source=x"), "target=PATH is missing"),
        (("--mount", "type=nfs,target=/x"), "type 'nfs', wanted: bind, volume, tmpfs, npipe, cluster"),
        (("--mount", "type=tmpfs,target=/x,volume-nocopy"), "volume-nocopy does not go with type=tmpfs"),
        (("--mount", "type=tmpfs,target=/x,tmpfs-mode=9"), "tmpfs-mode '9', wanted: octal digits such as 1770"),
        (("--secret", "target=x"), "--secret: 'target=x': source=NAME is missing"),
        (("--host", "db"), "--host: 'db', wanted: NAME:IP"),
        (("--ulimit", "nofile"), "--ulimit: 'nofile', wanted: NAME=SOFT:HARD such as nofile=1024:2048"),
        (("--ulimit", "nofile=9:3"), "the soft limit is above the hard one"),
        (("--placement-pref", "pack=x"), "--placement-pref: 'pack=x', wanted: spread=node.labels.KEY"),
        (
            ("--generic-resource", "gpu=u1"),
            "--generic-resource: 'gpu=u1', wanted: KIND=NUMBER; a task asks for amounts",
        ),
        (("--no-healthcheck", "--health-retries", "2"), "--no-healthcheck does not go with other --health flags"),
        (("--log-opt", "a=b"), "--log-opt goes with --log-driver alone"),
        (("--entrypoint", "'open"), '--entrypoint: "\'open": No closing quotation'),
        (("--credential-spec", "x"), "wanted: file://PATH, registry://NAME or config://NAME"),
        (("-e", "=1"), "--env: '=1', wanted: NAME=VALUE"),
        (("--replica", "2"), 'unknown flag --replica; did you mean "--replicas"'),
        (("--mode", "globl"), "--mode: invalid choice: 'globl'"),
    ],
)
def test_bad_flags_name_the_flag_the_value_and_what_is_wanted(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        spec(*words)
    assert message in str(caught.value)
    assert caught.value.exit is Exit.USAGE


def test_an_environment_file_that_is_not_there_or_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["service", "create", "--env-file", str(tmp_path / "none"), "img"]) == Exit.INVALID
    assert capsys.readouterr().err == f"Error: {tmp_path / 'none'}: No such file or directory\n"
    (tmp_path / "bad").write_text("GOOD=1\nnot good=2\n")
    assert main(["service", "create", "--env-file", str(tmp_path / "bad"), "img"]) == Exit.INVALID
    assert "bad:2: 'not good=2', wanted: NAME=VALUE" in capsys.readouterr().err


def test_affinity_terms_are_labels() -> None:
    """So that a stock docker keeps and shows them."""
    found = spec("--label", "a=b", "--affinity", "service!=db domain=rack", "--affinity", "service != db  domain=rack")
    assert found.annotations.labels == {"a": "b", "swarmlab.affinity.1": "service!=db domain=rack"}
    with pytest.raises(UsageError, match=r"--affinity: affinity 'service~db', character 1: expected service"):
        spec("--affinity", "service~db")
