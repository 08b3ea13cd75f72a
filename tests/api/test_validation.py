"""What a spec must be: each rule with what breaks it and what the user reads then."""

import pytest
from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    AnyValue,
    BindOptions,
    ConfigId,
    ConfigReference,
    ConfigSpec,
    ContainerSpec,
    CredentialSpec,
    Driver,
    Duration,
    EndpointSpec,
    FailureAction,
    FileTarget,
    GenericResource,
    GenericRuntimeSpec,
    GlobalJob,
    GlobalService,
    HealthConfig,
    InvalidSpec,
    Isolation,
    Mount,
    MountType,
    NetworkAttachmentConfig,
    NetworkAttachmentSpec,
    Placement,
    PlacementPreference,
    Platform,
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
    RuntimeTarget,
    SecretId,
    SecretReference,
    SecretSpec,
    ServiceSpec,
    SpreadOver,
    TaskSpec,
    TmpfsOptions,
    Ulimit,
    Unsupported,
    UpdateConfig,
    UpdateOrder,
    VolumeOptions,
    generic_amount,
    generic_unit,
)
from swarmlab.api.images import check_image
from swarmlab.api.templates import FIELDS, check_template
from swarmlab.api.validation import (
    check_config_spec,
    check_network_name,
    check_secret_spec,
    check_service_spec,
)

MIB = 1024 * 1024
SERVICE = ServiceSpec(
    annotations=Annotations("web"),
    task=TaskSpec(container=ContainerSpec(image="nginx")),
    replicated=ReplicatedService(1),
)


def service(**fields):
    return replace(SERVICE, **fields)


def task(**fields):
    return replace(SERVICE, task=replace(SERVICE.task, **fields))


def container(**fields):
    return task(container=replace(SERVICE.task.container, **fields))


def refused(spec):
    """What the user reads."""
    with pytest.raises(InvalidSpec) as caught:
        check_service_spec(spec)
    return str(caught.value)


@pytest.mark.parametrize("name", ["a", "A1", "a-b_c", "a--_b", "0", "x" * 63])
def test_names_of_services(name):
    """Letters, digits, dashes and underscores, with a letter or digit at both ends."""
    check_service_spec(service(annotations=Annotations(name)))
    check_network_name(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "_a", "a.b", "a b", "a\n", "\u00e4", "x" * 64, "x" * 62 + "!"])
def test_bad_names_of_services(name):
    """The message names the field, the name and the form; a long one that is nearly right costs no time."""
    message = refused(service(annotations=Annotations(name)))
    assert message.startswith(f"name: {name[:63]!r}")
    assert message.endswith("wanted: 1 to 63 of letters, digits, - and _, with a letter or digit at both ends")
    with pytest.raises(InvalidSpec):
        check_network_name(name)


@pytest.mark.parametrize("check", [check_secret_spec, check_config_spec])
def test_names_and_sizes_of_payloads(check):
    """Dots are allowed, 64 characters, and one byte at least; the largest sizes differ."""
    cls, limit = (SecretSpec, 500 * 1024) if check is check_secret_spec else (ConfigSpec, 1000 * 1024)
    check(cls(annotations=Annotations("a.b-c_d"), data=b"x"))
    check(cls(annotations=Annotations("x" * 64), data=b"x" * (limit - 1)))
    for name in ("", ".a", "a.", "a/b", "x" * 65):
        with pytest.raises(InvalidSpec, match=r"name: .*wanted: 1 to 64"):
            check(cls(annotations=Annotations(name), data=b"x"))
    for data in (b"", b"x" * limit):
        with pytest.raises(InvalidSpec, match=f"data: {len(data)} bytes, wanted: 1 to {limit - 1} bytes"):
            check(cls(annotations=Annotations("a"), data=data))
    check(cls(annotations=Annotations("a"), data=b"x", templating=Driver("golang")))
    with pytest.raises(InvalidSpec, match=r"templating\.name: 'jinja', wanted: golang"):
        check(cls(annotations=Annotations("a"), data=b"x", templating=Driver("jinja")))


def test_secret_with_a_driver_needs_its_name_and_no_data():
    """Who gives the secret decides what is in it."""
    check_secret_spec(SecretSpec(annotations=Annotations("a"), driver=Driver("vault")))
    with pytest.raises(InvalidSpec, match=r"driver\.name: '', wanted"):
        check_secret_spec(SecretSpec(annotations=Annotations("a"), driver=Driver()))


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (Resources(999_999), "task.resources.{}.nano_cpus: 0.000999999 CPUs, wanted: 0, or at least 0.001 CPUs"),
        (Resources(-1), "task.resources.{}.nano_cpus: -0.000000001 CPUs, wanted: 0, or at least 0.001 CPUs"),
        (Resources(0, 4 * MIB - 1), "task.resources.{}.memory_bytes: 4194303 bytes, wanted: 0, or at least 4 MiB"),
        (Resources(0, -1), "task.resources.{}.memory_bytes: -1 bytes, wanted: 0, or at least 4 MiB"),
    ],
)
@pytest.mark.parametrize("field", ["limits", "reservations"])
def test_least_amounts(resources, message, field):
    """Less than a thousandth of a core or than 4 MiB is a slip of the pen."""
    assert refused(task(resources=ResourceRequirements(**{field: resources}))) == message.format(field)
    check_service_spec(task(resources=ResourceRequirements(**{field: Resources(1_000_000, 4 * MIB)})))


@pytest.mark.parametrize(
    ("generic", "seen"),
    [
        (generic_unit("gpu", "u1"), "gpu=u1"),
        (GenericResource(), "nothing"),
        (generic_amount("gpu", -1), "-1"),
        (generic_amount("", 1), "''"),
    ],
)
def test_defect_08_named_generic_resources_are_refused(generic, seen):
    """A task asks for amounts; SwarmKit finds named requests wrong and lets them through."""
    message = refused(task(resources=ResourceRequirements(reservations=Resources(generic=(generic,)))))
    assert message.startswith("task.resources.reservations.generic[0]")
    assert f": {seen}, wanted" in message
    check_service_spec(
        task(resources=ResourceRequirements(reservations=Resources(generic=(generic_amount("gpu", 2),))))
    )


def test_kinds_of_generic_resources_are_named_once():
    """Two amounts of one kind could mean either of them, or their sum."""
    twice = (generic_amount("gpu", 1), generic_amount("gpu", 2))
    assert refused(task(resources=ResourceRequirements(reservations=Resources(generic=twice)))) == (
        "task.resources.reservations.generic[1].kind: 'gpu', wanted: each kind once"
    )


@pytest.mark.parametrize("field", ["update", "rollback"])
@pytest.mark.parametrize(
    ("config", "message"),
    [
        (UpdateConfig(delay=Duration(-1)), "{}.delay: -1ns, wanted: 0s or more"),
        (UpdateConfig(monitor=Duration(-1)), "{}.monitor: -1ns, wanted: 0s or more"),
        (UpdateConfig(parallelism=-1), "{}.parallelism: -1, wanted: 0 or more"),
        (UpdateConfig(max_failure_ratio=1.5), "{}.max_failure_ratio: 1.5, wanted: a number from 0 to 1"),
        (UpdateConfig(max_failure_ratio=-0.1), "{}.max_failure_ratio: -0.1, wanted: a number from 0 to 1"),
        (UpdateConfig(max_failure_ratio=float("nan")), "{}.max_failure_ratio: nan, wanted: a number from 0 to 1"),
        (UpdateConfig(failure_action=FailureAction(9)), "{}.failure_action: 9, wanted: pause or continue or rollback"),
        (UpdateConfig(order=UpdateOrder(9)), "{}.order: 9, wanted: stop-first or start-first"),
    ],
)
def test_defect_08_rollback_settings_are_checked_like_those_of_updates(field, config, message):
    """SwarmKit reads only the update's."""
    assert refused(service(**{field: config})) == message.format(field)


def test_a_rollback_does_not_roll_back():
    """What a failing rollback does is pause or go on."""
    assert refused(service(rollback=UpdateConfig(failure_action=FailureAction.ROLLBACK))).startswith(
        "rollback.failure_action: rollback, wanted: pause or continue"
    )
    check_service_spec(service(update=UpdateConfig(failure_action=FailureAction.ROLLBACK, max_failure_ratio=1.0)))


REFUSED = [
    (task(restart=RestartPolicy(delay=Duration(-1))), "task.restart.delay: -1ns, wanted: 0s or more"),
    (task(restart=RestartPolicy(window=Duration(-1))), "task.restart.window: -1ns, wanted: 0s or more"),
    (task(restart=RestartPolicy(max_attempts=-1)), "task.restart.max_attempts: -1, wanted: 0 or more"),
    (
        task(restart=RestartPolicy(condition=RestartCondition(7))),
        "task.restart.condition: 7, wanted: none or on-failure or any",
    ),
    (task(placement=Placement(max_replicas=-1)), "task.placement.max_replicas: -1, wanted: 0 or more"),
    (
        task(placement=Placement(preferences=(PlacementPreference(SpreadOver("")),))),
        "task.placement.preferences[0]: nothing, wanted: spread over a property such as node.labels.zone",
    ),
    (
        task(placement=Placement(platforms=(Platform("amd64", "linux "),))),
        "task.placement.platforms[0].os: 'linux ', wanted: a word such as amd64 or linux",
    ),
    (task(networks=(NetworkAttachmentConfig(),)), "task.networks[0].target: '', wanted: the id or name of a network"),
    (service(networks=(NetworkAttachmentConfig(),)), "networks[0].target: '', wanted: the id or name of a network"),
    (task(resources=ResourceRequirements(swap_bytes=-2)), "task.resources.swap_bytes: -2, wanted: a number from -1 to"),
    (
        task(resources=ResourceRequirements(memory_swappiness=101)),
        "task.resources.memory_swappiness: 101, wanted: a number from -1 to 100",
    ),
    (task(container=None), "task.runtime: none, wanted: exactly one of container and generic"),
    (
        task(generic=GenericRuntimeSpec("plugin", AnyValue("t", b"v"))),
        "task.runtime: container and generic, wanted: exactly one",
    ),
    (task(container=None, generic=GenericRuntimeSpec("ab")), "task.generic.kind: 'ab', wanted: at least three"),
    (
        task(container=None, generic=GenericRuntimeSpec("container")),
        "task.generic.kind: 'container', wanted: a name other than container and attachment",
    ),
    (task(container=None, generic=GenericRuntimeSpec("plugin")), "task.generic.payload: no type, wanted"),
    (
        task(container=None, generic=GenericRuntimeSpec("plugin", AnyValue("t"))),
        "task.generic.payload: no value, wanted",
    ),
    (container(image=""), "task.container.image: '', wanted: an image such as redis"),
    (container(stop_grace_period=Duration(-1)), "task.container.stop_grace_period: -1ns, wanted: 0s or more"),
    (container(env=("=x",)), "task.container.env[0]: '=x', wanted: NAME=VALUE"),
    (container(args=("a\0b",)), "task.container.args: 'a\\x00b', wanted: a text without NUL"),
    (container(isolation=Isolation(5)), "task.container.isolation: 5, wanted: isolation-default or"),
    (container(pidsLimit=-2), "task.container.pidsLimit: -2, wanted: a number from -1 to"),
    (container(oom_score_adj=1001), "task.container.oom_score_adj: 1001, wanted: a number from -1000 to 1000"),
    (container(ulimits=(Ulimit("", 1, 2),)), "task.container.ulimits[0].name: '', wanted: the name of a limit"),
    (container(ulimits=(Ulimit("nofile", 3, 2),)), "task.container.ulimits[0]: soft 3, hard 2, wanted: a soft limit"),
    (container(mounts=(Mount(source="/a"),)), "task.container.mounts[0].target: '', wanted: a path in the container"),
    (container(mounts=(Mount(type=MountType(9), target="/a"),)), "task.container.mounts[0].type: 9, wanted: bind or"),
    (
        container(mounts=(Mount(target="/a"), Mount(target="/b"), Mount(target="/a/"))),
        "task.container.mounts[2].target: '/a/', wanted: a path of its own; task.container.mounts[0] has it",
    ),
    (
        container(mounts=(Mount(type=MountType.TMPFS, target="/a", tmpfs_options=TmpfsOptions(-1)),)),
        "task.container.mounts[0].tmpfs_options.size_bytes: -1, wanted: 0 or more",
    ),
    (
        container(healthcheck=HealthConfig(interval=Duration(999_999))),
        "task.container.healthcheck.interval: 999.999us, wanted: 0, or at least 1ms",
    ),
    (
        container(healthcheck=HealthConfig(start_interval=Duration(-1))),
        "task.container.healthcheck.start_interval: -1ns, wanted: 0, or at least 1ms",
    ),
    (
        container(healthcheck=HealthConfig(retries=-1)),
        "task.container.healthcheck.retries: -1, wanted: a number from 0",
    ),
    (service(replicated=ReplicatedService(-1)), "replicated.replicas: -1, wanted: 0 or more"),
    (service(replicated=ReplicatedService(2**63)), f"replicated.replicas: {2**63}, wanted: at most {2**63 - 1}"),
    (service(replicated=None), "mode: none, wanted: exactly one of replicated, global, replicated-job, global-job"),
    (service(global_=GlobalService()), "mode: replicated and global, wanted: exactly one of"),
    (
        service(replicated=None, replicated_job=ReplicatedJob(-1, 1)),
        "replicated_job.max_concurrent: -1, wanted: 0 or more",
    ),
    (
        service(replicated=None, replicated_job=ReplicatedJob(1, -1)),
        "replicated_job.total_completions: -1, wanted: 0 or more",
    ),
    (
        service(replicated=None, global_job=GlobalJob(), update=UpdateConfig()),
        "update: set, wanted: nothing: a global-job is not updated step by step",
    ),
]


@pytest.mark.parametrize(("spec", "message"), REFUSED, ids=[message.partition(",")[0] for _, message in REFUSED])
def test_what_is_refused(spec, message):
    """Each message names the field, the value seen and the value wanted."""
    assert refused(spec).startswith(message)


def test_what_is_taken():
    """A spec that uses nearly everything."""
    check_service_spec(
        ServiceSpec(
            annotations=Annotations("all"),
            task=TaskSpec(
                container=ContainerSpec(
                    image="registry.example.com:5000/team/app:1.0",
                    hostname="{{.Service.Name}}-{{.Task.Slot}}",
                    env=('A={{ index .Service.Labels "x" }}', "EMPTY=", "UNSET"),
                    mounts=(
                        Mount(type=MountType.BIND, source="/a", target="/a", bind_options=BindOptions()),
                        Mount(
                            type=MountType.VOLUME,
                            source="data-{{.Task.Slot}}",
                            target="/b",
                            volume_options=VolumeOptions(
                                labels={"n": "{{.Node.ID}}"}, driver_config=Driver("local", {"o": "{{.Task.ID}}"})
                            ),
                        ),
                    ),
                    healthcheck=HealthConfig(interval=Duration(0), timeout=Duration(1_000_000)),
                    stop_grace_period=Duration(0),
                    ulimits=(Ulimit("nofile", 1, 2), Ulimit("memlock", -1, -1)),
                ),
                resources=ResourceRequirements(swap_bytes=-1, memory_swappiness=0),
                restart=RestartPolicy(condition=RestartCondition.ON_FAILURE, window=Duration(0)),
                placement=Placement(platforms=(Platform("x86_64", "linux"), Platform())),
                networks=(NetworkAttachmentConfig(target="back"),),
            ),
            replicated_job=ReplicatedJob(0, 10),
        )
    )
    check_service_spec(task(container=None, generic=GenericRuntimeSpec("plugin", AnyValue("t", b"v"))))


def test_attachments_are_no_services():
    """That is not wrong but will never work."""
    with pytest.raises(Unsupported, match="attachment"):
        check_service_spec(task(container=None, attachment=NetworkAttachmentSpec("c")))


def port(target=80, published=0, mode=PublishMode.INGRESS, protocol=PortProtocol.TCP):
    return PortConfig(target_port=target, published_port=published, publish_mode=mode, protocol=protocol)


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        (
            EndpointSpec(ResolutionMode.DNSRR, (port(),)),
            "endpoint.ports[0].publish_mode: ingress, wanted: host: the routing mesh needs a virtual address",
        ),
        (
            EndpointSpec(ports=(port(80, 8080), port(81, 8080))),
            "endpoint.ports[1].published_port: 8080/tcp, wanted: each published port once; endpoint.ports[0] has it",
        ),
        (
            EndpointSpec(ports=(port(80, 8080), port(81, 8080, PublishMode.HOST))),
            "endpoint.ports[1].published_port: 8080/tcp, wanted",
        ),
        (EndpointSpec(ports=(port(0),)), "endpoint.ports[0].target_port: 0, wanted: a number from 1 to 65535"),
        (EndpointSpec(ports=(port(80, 65536),)), "endpoint.ports[0].published_port: 65536, wanted: a number from 0"),
        (
            EndpointSpec(ports=(port(protocol=PortProtocol(9)),)),
            "endpoint.ports[0].protocol: 9, wanted: tcp or udp or sctp",
        ),
        (EndpointSpec(ResolutionMode(4)), "endpoint.mode: 4, wanted: vip or dnsrr"),
    ],
)
def test_ports_that_are_refused(endpoint, message):
    """Clashes within the service, and what the routing mesh cannot do."""
    assert refused(service(endpoint=endpoint)).startswith(message)


def test_ports_that_are_taken():
    """The same number by another protocol, or chosen ports, clash with nothing; dnsrr may publish on hosts."""
    check_service_spec(
        service(endpoint=EndpointSpec(ports=(port(80, 53), port(80, 53, protocol=PortProtocol.UDP), port(), port())))
    )
    check_service_spec(service(endpoint=EndpointSpec(ResolutionMode.DNSRR, (port(80, 80, PublishMode.HOST),))))


def secret(name="s", file="f", **fields):
    return SecretReference(SecretId("id"), name, FileTarget(name=file, **fields))


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ((SecretReference(SecretId(""), "s", FileTarget(name="f")),), "[0]: id '' and name 's', wanted: both"),
        ((SecretReference(SecretId("id"), "", FileTarget(name="f")),), "[0]: id 'id' and name '', wanted: both"),
        ((SecretReference(SecretId("id"), "s"),), "[0]: no target, wanted: a file"),
        ((secret(file=""),), "[0].file.name: '', wanted: the name of a file"),
        ((secret(file="a/.."),), "[0].file.name: 'a/..', wanted: the name of a file"),
        ((secret("a"), secret("b")), "[1].file.name: 'f', wanted: a file of its own; a has it"),
        ((secret(uid="root"),), "[0].file.uid: 'root', wanted: a decimal number"),
        ((secret(mode=-1),), "[0].file.mode: -1, wanted: a number from 0 to"),
    ],
)
def test_secret_references(references, message):
    """Id, name and target are given, and no two secrets want the same file."""
    assert refused(container(secrets=references)).startswith(f"task.container.secrets{message}")
    check_service_spec(container(secrets=(secret("a", "/run/a", uid="0", gid="10", mode=0o440), secret("b"))))


def config(name="c", **fields):
    return ConfigReference(config_id=ConfigId("id"), config_name=name, **fields)


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ((config(),), "[0]: no target, wanted: either a file or the runtime"),
        ((config(file=FileTarget(name="f"), runtime=RuntimeTarget()),), "[0]: two targets, wanted: either"),
        (
            (config("a", file=FileTarget(name="f")), config("b", file=FileTarget(name="f"))),
            "[1].file.name: 'f', wanted",
        ),
    ],
)
def test_config_references(references, message):
    """A config is a file or is read by the engine."""
    assert refused(container(configs=references)).startswith(f"task.container.configs{message}")


def test_credential_specs():
    """A config that holds credentials is listed with the runtime as its target, and there is one source."""
    privileges = Privileges(credential_spec=CredentialSpec(config="id"))
    assert refused(container(privileges=privileges)).startswith(
        "task.container.privileges.credential_spec.config: 'id', wanted: the id of one of task.container.configs"
    )
    check_service_spec(container(privileges=privileges, configs=(config(runtime=RuntimeTarget()),)))
    two = Privileges(credential_spec=CredentialSpec(file="f", registry="r"))
    assert refused(container(privileges=two)) == (
        "task.container.privileges.credential_spec: file and registry, wanted: one source"
    )


@pytest.mark.parametrize(
    "image",
    [
        "redis",
        "redis:7",
        "library/redis",
        "a/b/c",
        "localhost/app",
        "localhost:5000/app:v1",
        "Registry.example.com/app",
        "[::1]:5000/app",
        "redis@sha256:" + "a" * 64,
        "redis:7@sha256:" + "a" * 64,
        "sha256:" + "a" * 64,
        "a__b.c-d---e",
    ],
)
def test_images(image):
    """References as engines take them."""
    check_image("image", image)


@pytest.mark.parametrize(
    "image",
    [
        "",
        "Redis",
        "a//b",
        "/a",
        "a:",
        "a:b:c",
        "a@b",
        "a b",
        "a..b",
        "a_",
        "-a",
        "a@sha256:abc",
        "x" * 256,
        "f" * 64,
        "é",
    ],
)
def test_bad_images(image):
    """Each names the field and what was seen."""
    with pytest.raises(InvalidSpec, match=r"^image: '.*wanted: a"):
        check_image("image", image)


@pytest.mark.parametrize("field", FIELDS)
def test_templates_may_name_every_field(field):
    """And labels by their names, and functions with texts, whatever is in the texts."""
    check_template("env[0]", f"x{{{{{field}}}}}y{{{{ {field} }}}}")
    check_template(
        "env[0]", '{{.Service.Labels.team}} {{ index .Service.Labels ".Odd" }} {{/* .Any */}} {{- .Task.ID -}}'
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{.Task.Nme}}", "env[0]: .Task.Nme, wanted: one of .Service.ID, "),
        ("{{.Slot}}", "env[0]: .Slot, wanted: one of"),
        ("{{.Task.ID", "env[0]: '{{.Task.ID', wanted: a }} for every {{"),
        ("{{}}", "env[0]: '{{}}', wanted: something between"),
    ],
)
def test_bad_templates(text, message):
    """A misspelt field is said at once, not by a rejected task on each node in turn."""
    with pytest.raises(InvalidSpec) as caught:
        check_template("env[0]", text)
    assert str(caught.value).startswith(message)
    with pytest.raises(InvalidSpec):
        check_service_spec(container(env=(f"A={text}",)))
