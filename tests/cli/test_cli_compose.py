"""Stack files become exactly these specs; what is wrong is named by file, line and key."""

from pathlib import Path

import pytest

from swarmlab.api import (
    Annotations,
    BindOptions,
    ContainerSpec,
    DNSConfig,
    Driver,
    Duration,
    EndpointSpec,
    FailureAction,
    FileTarget,
    GlobalService,
    HealthConfig,
    Mount,
    MountType,
    Placement,
    PlacementPreference,
    PortConfig,
    PortProtocol,
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
    generic_amount,
)
from swarmlab.cli.compose import FileSource, Stack, parse_stack, read_stack
from swarmlab.cli.document import Document
from swarmlab.cli.exits import Exit, Invalid
from swarmlab.cli.references import Wanted
from swarmlab.cli.service_flags import Request

SECOND = 1_000_000_000
ROOT = Path(__file__).resolve().parents[2]


def stack(text: str, base: Path = Path("/base"), **variables: str) -> Stack:
    return parse_stack(Document("stack.yml", text, base, variables), "s")


def web(lines: str, before: str = "", **variables: str) -> ServiceSpec:
    """The spec of a service `web` of image `img` with `lines` under it; `before` stands at the top of the file."""
    indented = "\n".join(f"    {line}" for line in lines.splitlines())
    found = stack(f"{before}\nservices:\n  web:\n    image: img\n{indented}\n", **variables)
    return found.services[0].spec


def container(lines: str, **variables: str) -> ContainerSpec:
    found = web(lines, **variables).task.container
    assert found is not None
    return found


def base_container(**fields: object) -> ContainerSpec:
    return ContainerSpec(image="img", labels={"com.docker.stack.namespace": "s"}, **fields)


def test_the_bare_minimum() -> None:
    assert stack("services:\n  web:\n    image: img:1\n") == Stack(
        name="s",
        services=(
            Request(
                ServiceSpec(
                    annotations=Annotations(
                        "s_web", {"com.docker.stack.namespace": "s", "com.docker.stack.image": "img:1"}
                    ),
                    task=TaskSpec(container=ContainerSpec(image="img:1", labels={"com.docker.stack.namespace": "s"})),
                    replicated=ReplicatedService(1),
                )
            ),
        ),
        secrets=(),
        configs=(),
        networks=(),
        warnings=(),
    )


def test_services_are_sorted_by_name_and_read_twice_the_same() -> None:
    text = "services: {web: {image: a}, api: {image: b}, db: {image: c}}\n"
    assert [request.spec.annotations.name for request in stack(text).services] == ["s_api", "s_db", "s_web"]
    assert stack(text) == stack(text)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("command: sh -c 'sleep 1'", {"args": ("sh", "-c", "sleep 1")}),
        ("command: [sh, -c, sleep 1]", {"args": ("sh", "-c", "sleep 1")}),
        ("entrypoint: ['/init', 5]", {"command": ("/init", "5")}),
        ("environment: {A: 1, B: 'x', C: true, D: 1.50}", {"env": ("A=1", "B=x", "C=true", "D=1.50")}),
        ("environment:\n  - A=1\n  - B=x=y\n  - HERE\n  - NOT_HERE", {"env": ("A=1", "B=x=y", "HERE=yes")}),
        ("hostname: h\nuser: '1000:1000'\nworking_dir: /srv", {"hostname": "h", "user": "1000:1000", "dir": "/srv"}),
        (
            "init: true\nread_only: true\ntty: yes\nstdin_open: on",
            {"init": True, "read_only": True, "tty": True, "open_stdin": True},
        ),
        ("init: false", {"init": False}),
        ("stop_signal: SIGINT\nstop_grace_period: 1m30s", {"stop_signal": "SIGINT", "stop_grace_period": 90 * SECOND}),
        ("tmpfs: /run", {"mounts": (Mount(type=MountType.TMPFS, target="/run"),)}),
        (
            "tmpfs: [/run, /tmp]",
            {"mounts": (Mount(type=MountType.TMPFS, target="/run"), Mount(type=MountType.TMPFS, target="/tmp"))},
        ),
        (
            "ulimits: {nproc: 64, nofile: {soft: 10, hard: 20}}",
            {"ulimits": (Ulimit("nproc", 64, 64), Ulimit("nofile", 10, 20))},
        ),
        ("cap_add: [NET_ADMIN]\ncap_drop: [ALL]", {"capability_add": ("CAP_NET_ADMIN",), "capability_drop": ("ALL",)}),
        ("sysctls: {net.core.somaxconn: 1024}", {"sysctls": {"net.core.somaxconn": "1024"}}),
        ("sysctls: ['a.b=1']", {"sysctls": {"a.b": "1"}}),
        ("extra_hosts: ['db:10.0.0.1']", {"hosts": ("10.0.0.1 db",)}),
        ("extra_hosts: {db: 10.0.0.1}", {"hosts": ("10.0.0.1 db",)}),
        ("dns: 1.1.1.1\ndns_search: [a, b]", {"dns_config": DNSConfig(("1.1.1.1",), ("a", "b"))}),
        ("labels: [a=1, b]", {"labels": {"a": "1", "b": "", "com.docker.stack.namespace": "s"}}),
        ("group_add: [video, 44]", {"groups": ("video", "44")}),
        ("healthcheck: {disable: true}", {"healthcheck": HealthConfig(test=("NONE",))}),
        ("healthcheck: {test: curl -f /}", {"healthcheck": HealthConfig(test=("CMD-SHELL", "curl -f /"))}),
        (
            "healthcheck: {test: [CMD, true], interval: 5s, timeout: 2s, retries: 3, start_period: 10s}",
            {
                "healthcheck": HealthConfig(
                    test=("CMD", "true"),
                    interval=Duration(5 * SECOND),
                    timeout=Duration(2 * SECOND),
                    retries=3,
                    start_period=Duration(10 * SECOND),
                )
            },
        ),
    ],
)
def test_container_keys(lines: str, expected: dict[str, object]) -> None:
    fields = {"labels": {"com.docker.stack.namespace": "s"}, **expected}
    assert container(lines, HERE="yes") == ContainerSpec(image="img", **fields)


@pytest.mark.parametrize(
    ("lines", "ports"),
    [
        ("ports: [80, '8080:80', 53:53/udp]", [(80, 0, "TCP"), (80, 8080, "TCP"), (53, 53, "UDP")]),
        ("ports: ['8080-8081:80-81']", [(80, 8080, "TCP"), (81, 8081, "TCP")]),
        ("ports: [22:22]", [(22, 22, "TCP")]),  # YAML 1.1 reads 22:22 as the number 1342
    ],
)
def test_short_ports(lines: str, ports: list[tuple[int, int, str]]) -> None:
    assert web(lines).endpoint == EndpointSpec(
        ports=tuple(
            PortConfig(target_port=target, published_port=published, protocol=PortProtocol[protocol])
            for target, published, protocol in ports
        )
    )


def test_long_ports_and_the_endpoint_mode() -> None:
    lines = """\
ports:
  - target: 80
    published: "8080"
    protocol: tcp
    mode: host
    name: http
deploy:
  endpoint_mode: dnsrr"""
    assert web(lines).endpoint == EndpointSpec(
        ResolutionMode.DNSRR,
        (PortConfig(name="http", target_port=80, published_port=8080, publish_mode=PublishMode.HOST),),
    )


@pytest.mark.parametrize(
    ("line", "mount"),
    [
        ("- /data", Mount(type=MountType.VOLUME, target="/data")),
        (
            "- data:/data:ro",
            Mount(
                type=MountType.VOLUME,
                source="s_data",
                target="/data",
                readonly=True,
                volume_options=VolumeOptions(labels={"com.docker.stack.namespace": "s"}),
            ),
        ),
        ("- out:/data", Mount(type=MountType.VOLUME, source="outside", target="/data")),
        ("- ./rel:/rel", Mount(type=MountType.BIND, source="/base/rel", target="/rel")),
        (
            "- /abs:/abs:ro,rshared",
            Mount(
                type=MountType.BIND,
                source="/abs",
                target="/abs",
                readonly=True,
                bind_options=BindOptions(propagation=2),
            ),
        ),
        (
            "- {type: volume, source: nfs, target: /n, volume: {nocopy: true}}",
            Mount(
                type=MountType.VOLUME,
                source="exact",
                target="/n",
                volume_options=VolumeOptions(
                    nocopy=True,
                    labels={"a": "1", "com.docker.stack.namespace": "s"},
                    driver_config=Driver("local", {"type": "nfs"}),
                ),
            ),
        ),
        (
            "- {type: bind, source: ., target: /b, read_only: true}",
            Mount(type=MountType.BIND, source="/base", target="/b", readonly=True),
        ),
        (
            "- {type: tmpfs, target: /t, tmpfs: {size: 10m}}",
            Mount(type=MountType.TMPFS, target="/t", tmpfs_options=TmpfsOptions(size_bytes=10 << 20)),
        ),
    ],
)
def test_volumes(line: str, mount: Mount) -> None:
    before = """\
volumes:
  data:
  out: {external: true, name: outside}
  nfs: {name: exact, driver: local, driver_opts: {type: nfs}, labels: {a: 1}}"""
    found = web(f"volumes:\n  {line}", before).task.container
    assert found is not None
    assert found.mounts == (mount,)


DEPLOY = """\
deploy:
  mode: replicated
  replicas: 6
  labels: {team: a}
  resources:
    limits: {cpus: '1.5', memory: 512M, pids: 100}
    reservations:
      cpus: 0.25
      memory: 64mb
      generic_resources:
        - discrete_resource_spec: {kind: gpu, value: 2}
  placement:
    constraints: [node.labels.disk == ssd]
    preferences: [{spread: node.labels.zone}]
    max_replicas_per_node: 2
  restart_policy: {condition: on-failure, delay: 1s, max_attempts: 3, window: 2m}
  update_config:
    {parallelism: 2, delay: 10s, failure_action: rollback, monitor: 3s, max_failure_ratio: 0.3, order: start-first}
  rollback_config: {parallelism: 0, order: stop-first}"""


def test_the_deploy_section() -> None:
    assert web(DEPLOY) == ServiceSpec(
        annotations=Annotations(
            "s_web", {"team": "a", "com.docker.stack.namespace": "s", "com.docker.stack.image": "img"}
        ),
        task=TaskSpec(
            container=base_container(pidsLimit=100),
            resources=ResourceRequirements(
                limits=Resources(1_500_000_000, 512 << 20),
                reservations=Resources(250_000_000, 64 << 20, (generic_amount("gpu", 2),)),
            ),
            restart=RestartPolicy(
                condition=RestartCondition.ON_FAILURE,
                delay=Duration(SECOND),
                max_attempts=3,
                window=Duration(120 * SECOND),
            ),
            placement=Placement(
                constraints=("node.labels.disk == ssd",),
                preferences=(PlacementPreference(SpreadOver("node.labels.zone")),),
                max_replicas=2,
            ),
        ),
        replicated=ReplicatedService(6),
        update=UpdateConfig(
            parallelism=2,
            delay=Duration(10 * SECOND),
            failure_action=FailureAction.ROLLBACK,
            monitor=Duration(3 * SECOND),
            max_failure_ratio=0.3,
            order=UpdateOrder.START_FIRST,
        ),
        rollback=UpdateConfig(parallelism=0, monitor=Duration(5 * SECOND)),
    )


def test_modes() -> None:
    assert web("deploy: {mode: global}").global_ == GlobalService()
    assert web("deploy: {mode: replicated-job, replicas: 5}").replicated_job == ReplicatedJob(5, 5)
    assert web("deploy: {replicas: 0}").replicated == ReplicatedService(0)


def test_restart_of_the_service_itself_counts_where_deploy_says_nothing() -> None:
    assert web("restart: on-failure:3").task.restart == RestartPolicy(
        condition=RestartCondition.ON_FAILURE, max_attempts=3
    )
    assert web("restart: always").task.restart == RestartPolicy(condition=RestartCondition.ANY)
    assert web("restart: 'no'").task.restart == RestartPolicy(condition=RestartCondition.NONE)


def test_secrets_configs_and_their_files(tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_bytes(b"\x00secret")
    text = """\
services:
  web:
    image: img
    secrets: [key, {source: shared, target: /etc/shared, uid: '1', mode: 0400}]
    configs: [{source: page, target: /page}, other]
secrets:
  key: {file: ./key.txt, labels: {a: b}}
  shared: {external: true}
configs:
  page: {content: "hello $NAME"}
  other: {external: {name: elsewhere}}
"""
    found = stack(text, tmp_path, NAME="you")
    assert found.secrets == (FileSource("s_key", b"\x00secret", {"a": "b", "com.docker.stack.namespace": "s"}),)
    assert found.configs == (FileSource("s_page", b"hello you", {"com.docker.stack.namespace": "s"}),)
    assert found.services[0].secrets == (
        Wanted("s_key", FileTarget(name="key", uid="0", gid="0", mode=0o444)),
        Wanted("shared", FileTarget(name="/etc/shared", uid="1", gid="0", mode=0o400)),
    )
    assert found.services[0].configs == (
        Wanted("s_page", FileTarget(name="/page", uid="0", gid="0", mode=0o444)),
        Wanted("elsewhere", FileTarget(name="/other", uid="0", gid="0", mode=0o444)),
    )


def test_environment_files_come_before_environment(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("A=file\nB=file\n")
    text = "services:\n  web:\n    image: img\n    env_file: a.env\n    environment: {B: own}\n"
    found = stack(text, tmp_path).services[0].spec.task.container
    assert found is not None
    assert found.env == ("A=file", "B=own")


def test_network_names_are_recorded() -> None:
    text = """\
services:
  web: {image: img, networks: [front, back]}
  api: {image: img, networks: {back: {aliases: [x]}}}
networks:
  front:
  back: {external: true, name: shared}
"""
    found = stack(text)
    assert found.networks == ("s_front", "shared")
    labels = {request.spec.annotations.name: request.spec.annotations.labels for request in found.services}
    assert labels["s_web"]["swarmlab.networks"] == "s_front,shared"
    assert labels["s_api"]["swarmlab.networks"] == "shared"
    assert found.warnings == ("stack.yml:5: networks: recorded; tasks use the network of their node",)


def test_anchors_and_merged_mappings() -> None:
    text = """\
x-base: &base
  image: img
  environment: &env {A: 1, B: 1}
services:
  web:
    <<: *base
    user: app
  api:
    <<: [*base, {user: other}]
    environment: {<<: *env, B: 2}
"""
    api, web_ = (request.spec.task.container for request in stack(text).services)
    assert web_ == base_container(user="app", env=("A=1", "B=1"))
    assert api == base_container(user="other", env=("A=1", "B=2"))


def test_keys_without_meaning_in_a_swarm_are_warned_of_and_unset_variables_too() -> None:
    text = "services:\n  web:\n    image: img:${TAG}\n    build: .\n    depends_on: [db]\n    x-note: fine\n"
    assert stack(text).warnings == (
        "stack.yml:3: services.web.image: variable TAG is not set and becomes empty",
        "stack.yml:4: services.web.build: has no meaning in a swarm and is left out",
        "stack.yml:5: services.web.depends_on: has no meaning in a swarm and is left out",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "stack.yml: empty, wanted: a mapping with services"),
        ("- a\n", "stack.yml:1: a list, wanted: a mapping"),
        ("services:\n", "stack.yml:1: services is missing"),
        ("services: {}\n", "stack.yml:1: services: no service, wanted: at least one"),
        ("services:\n  web:\n    image: [\n", "stack.yml:4: not YAML: while parsing a flow node"),
        ("services:\n\tweb: x\n", "stack.yml:2: not YAML: while scanning for the next token found character '\\t'"),
        ("services:\n  web: img\n", "stack.yml:2: services.web: 'img', wanted: a mapping"),
        ("services:\n  web:\n", "stack.yml:2: services.web: nothing, wanted: a mapping"),
        ("services:\n  web: {}\n", "stack.yml:2: services.web: image is missing; a swarm runs images"),
        ("servics:\n  web: {image: i}\n", "stack.yml:1: services is missing"),
        ("services: {web: {image: i}}\nvolume: {}\n", 'stack.yml:2: volume: unknown key; did you mean "volumes"?'),
        (
            "services:\n  web:\n    image: i\n    imagee: j\n",
            'stack.yml:4: services.web.imagee: unknown key; did you mean "image"?',
        ),
        ("services:\n  web:\n    image: i\n    image: j\n", "stack.yml:4: services.web.image: given twice"),
        ("services:\n  web:\n    image: {a: b}\n", "stack.yml:3: services.web.image: a mapping, wanted: a text"),
        (
            "services:\n  web:\n    image: ${X:?set X}\n",
            "stack.yml:3: services.web.image: required variable X is missing",
        ),
        ("services:\n  web:\n    image: ${X\n", "stack.yml:3: services.web.image: '${X': ${ without its closing brace"),
        ("services:\n  web: {image: i, extends: j}\n", "stack.yml:2: services.web.extends: is not read here"),
        ("include: [a.yml]\nservices: {web: {image: i}}\n", "stack.yml:1: include: is not read here"),
    ],
)
def test_bad_files(text: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        stack(text)
    assert str(caught.value).startswith(message)
    assert caught.value.exit is Exit.INVALID


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("deploy: {replicas: -1}", "5: services.web.deploy.replicas: '-1', wanted: a whole number >= 0"),
        ("deploy:\n  replicas: many", "6: services.web.deploy.replicas: 'many', wanted: a whole number >= 0"),
        ("deploy:\n  replicas: [3]", "6: services.web.deploy.replicas: a list, wanted: a text"),
        ("deploy: {mode: globl}", "5: services.web.deploy.mode: 'globl', wanted: replicated, global, replicated-job"),
        ("deploy: {mode: global, replicas: 2}", "5: services.web.deploy: replicas does not go with mode global"),
        ("deploy:\n  replica: 2", '6: services.web.deploy.replica: unknown key; did you mean "replicas"'),
        (
            "deploy:\n  update_config:\n    delay: 5x",
            "7: services.web.deploy.update_config.delay: '5x', wanted: a span",
        ),
        (
            "deploy: {rollback_config: {failure_action: rollback}}",
            "5: services.web.deploy.rollback_config.failure_action",
        ),
        ("deploy: {resources: {limits: {cpus: lots}}}", "5: services.web.deploy.resources.limits.cpus: 'lots', wanted"),
        ("deploy: {resources: {limits: {memory: lots}}}", "5: services.web.deploy.resources.limits.memory: 'lots'"),
        ("deploy: {placement: {preferences: [{pack: x}]}}", "5: services.web.deploy.placement.preferences[0]: wanted"),
        (
            "deploy: {placement: {preferences: spread}}",
            "5: services.web.deploy.placement.preferences: 'spread', wanted: a list",
        ),
        ("ports: [http]", "5: services.web.ports[0]: port: 'http', wanted: PUBLISHED:TARGET"),
        ("ports:\n  - 80\n  - 99999:80", "7: services.web.ports[1]: port: published port '99999', wanted: a number"),
        ("ports: [{published: 80}]", "5: services.web.ports[0]: target is missing"),
        ("volumes: [dat:/x]", "5: services.web.volumes[0]: volume 'dat' is not under volumes of this file"),
        ("volumes: [a:b:c:d]", "5: services.web.volumes[0]: 'a:b:c:d', wanted: SOURCE:TARGET:OPTIONS"),
        ("volumes: ['./a:/b:loud']", "5: services.web.volumes[0]: unknown option 'loud' of a bind mount"),
        (
            "volumes: [{type: bind, target: /x}]",
            "5: services.web.volumes[0]: source is missing; a bind mount needs one",
        ),
        (
            "volumes: [{type: tmpfs, target: /x, volume: {}}]",
            "5: services.web.volumes[0]: volume does not go with type tmpfs",
        ),
        ("secrets: [key]", "5: services.web.secrets[0]: 'key' is not under secrets of this file"),
        ("networks: [front]", "5: services.web.networks[0]: 'front' is not under networks of this file"),
        ("environment: [=x]", "5: services.web.environment[0]: '=x', wanted: KEY=VALUE"),
        ("environment: text", "5: services.web.environment: 'text', wanted: a mapping, or a list of KEY=VALUE"),
        ("env_file: none.env", "5: services.web.env_file: /base/none.env: No such file or directory"),
        ("init: maybe", "5: services.web.init: 'maybe', wanted: true or false"),
        (
            "healthcheck: {test: [curl]}",
            "5: services.web.healthcheck.test: ['curl'], wanted: a list that starts with NONE",
        ),
        ("ulimits: {nofile: {soft: 1}}", "5: services.web.ulimits.nofile: wanted: soft and hard"),
        (
            "restart: sometimes",
            "5: services.web.restart: 'sometimes', wanted: no, always, unless-stopped or on-failure:N",
        ),
        ("extra_hosts: [db]", "5: services.web.extra_hosts[0]: host: 'db', wanted: NAME:IP"),
        ('command: "sh \'x"', '5: services.web.command: "sh \'x": No closing quotation'),
    ],
)
def test_bad_values(lines: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        web(lines)
    assert str(caught.value).startswith(f"stack.yml:{message}")


def test_a_secret_whose_file_is_not_there() -> None:
    text = "services: {web: {image: i}}\nsecrets:\n  key:\n    file: none.txt\n"
    with pytest.raises(Invalid, match=r"^stack.yml:4: secrets.key.file: /base/none.txt: No such file or directory$"):
        stack(text)
    with pytest.raises(Invalid, match=r"^stack.yml:3: secrets.key: wanted: file, content, environment or external$"):
        stack("services: {web: {image: i}}\nsecrets:\n  key: {}\n")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"none.yml: No such file or directory$"):
        read_stack(str(tmp_path / "none.yml"), "s")
    (tmp_path / "bad.yml").write_bytes(b"services: \xff")
    with pytest.raises(Invalid, match=r"bad.yml: not UTF-8: invalid start byte at byte 10$"):
        read_stack(str(tmp_path / "bad.yml"), "s")


STACK_FILES = sorted([*(ROOT / "examples").glob("*.yml"), *(ROOT / "examples").glob("*/stack.yml")])


@pytest.mark.parametrize("file", STACK_FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_the_shipped_stack_files_are_read_without_a_warning(file: Path) -> None:
    assert read_stack(str(file), "s", {}).warnings == ()


def test_affinity_terms_name_the_services_of_the_file() -> None:
    """As a list, or under names; `deploy.labels` keep what is written, as docker has them."""
    lines = """x-swarmlab-affinity:
- service != db domain=rack
- node.labels.dc==1 else any
deploy:
  labels:
    swarmlab.affinity.raw: service==db"""
    labels = web(f"{lines}\n").annotations.labels
    assert {key: text for key, text in labels.items() if "affinity" in key} == {
        "swarmlab.affinity.raw": "service==db",
        "swarmlab.affinity.1": "service!=db domain=rack",
        "swarmlab.affinity.2": "node.labels.dc==1 else any",
    }
    named = stack(
        "services:\n  db: {image: i}\n  web: {image: i, x-swarmlab-affinity: {near: service==db else service!=web}}\n"
    )
    assert named.services[1].spec.annotations.labels["swarmlab.affinity.near"] == "service==s_db else service!=s_web"
    with pytest.raises(Invalid, match=r"stack.yml:5.*affinity 'service', character 8: expected == or != after service"):
        web("x-swarmlab-affinity: [service]")
