"""Services: what is taken, what is refused, and what an update leaves behind."""

import pytest
from asked import Requests, placed, spec, task
from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    Changes,
    Config,
    ConfigId,
    ConfigReference,
    ConfigSpec,
    ContainerSpec,
    EndpointSpec,
    FileTarget,
    Filters,
    GenericResource,
    GlobalJob,
    GlobalService,
    InvalidSpec,
    NameConflict,
    NamedGenericResource,
    Network,
    NetworkAttachmentConfig,
    NetworkId,
    NetworkSpec,
    NotFound,
    OutOfSequence,
    PortConfig,
    PortProtocol,
    Precondition,
    PublishMode,
    ReplicatedJob,
    ReplicatedService,
    Resources,
    RestartCondition,
    Rollback,
    Secret,
    SecretId,
    SecretReference,
    SecretSpec,
    Service,
    ServiceId,
    ServiceSpec,
    ServiceStatus,
    TaskSpec,
    TaskState,
    Unsupported,
    Update,
    UpdateConfig,
    UpdateState,
    UpdateStatus,
    Version,
)
from swarmlab.manager.controlapi import (
    create_service,
    get_service,
    list_service_statuses,
    list_services,
    remove_service,
    update_service,
)


def created(at: Requests, wish: ServiceSpec) -> Service:
    answer = at.commit(create_service(at.view, wish, at.ids, at.now))
    return get_service(at.view, answer.id)


def updated(at: Requests, service: Service, wish: ServiceSpec, rollback: Rollback = Rollback.NONE) -> Service:
    version = service.meta.version.index
    at.commit(update_service(at.view, service.id, version, wish, rollback, at.now))
    return get_service(at.view, service.id)


def publishing(name: str, *ports: PortConfig) -> ServiceSpec:
    return spec(name, endpoint=EndpointSpec(ports=ports))


def port(
    published: int, mode: PublishMode = PublishMode.INGRESS, protocol: PortProtocol = PortProtocol.TCP
) -> PortConfig:
    return PortConfig(target_port=80, published_port=published, publish_mode=mode, protocol=protocol)


def with_container(**parts: object) -> TaskSpec:
    return TaskSpec(container=ContainerSpec(image="nginx", **parts))


def test_a_created_service_has_an_id_a_version_and_no_history(at: Requests) -> None:
    service = created(at, spec("web", labels={"tier": "front"}))
    assert len(service.id) == 25
    assert service.meta.version.index == 1
    assert service.spec_version == Version(0)
    assert service.previous_spec is None
    assert service.job_status is None
    assert service.update_status is None


def test_the_request_itself_changes_nothing(at: Requests) -> None:
    create_service(at.view, spec("web"), at.ids, at.now)
    assert at.view.services() == ()


@pytest.mark.parametrize(
    ("wish", "about"),
    [
        (spec(""), "name"),
        (spec("-web"), "name"),
        (spec("web."), "name"),
        (spec("w" * 64), "name"),
        (spec("web", replicas=-1), "replicas"),
        (spec("web", task=TaskSpec()), "runtime"),
        (spec("web", task=TaskSpec(container=ContainerSpec())), "image"),
        (spec("web", task=placed("node.role")), "constraint 1"),
        (spec("web", task=placed("node.role==worker", "=no")), "constraint 2"),
        (spec("web", task=placed(reserve=Resources(nano_cpus=5))), "cpu"),
        (spec("web", task=placed(reserve=Resources(memory_bytes=1024))), "memory"),
        (spec("web", update=UpdateConfig(max_failure_ratio=1.5)), "max_failure_ratio"),
        (spec("web", replicated_job=ReplicatedJob(1, 2), update=UpdateConfig()), "update"),
        (spec("web", replicated_job=ReplicatedJob(-1, 2)), "max_concurrent"),
        (ServiceSpec(annotations=Annotations("web"), task=with_container()), "mode"),
        (publishing("web", port(80), port(80)), "published_port"),
    ],
)
def test_what_cannot_be_right_is_refused_by_name(at: Requests, wish: ServiceSpec, about: str) -> None:
    with pytest.raises(InvalidSpec, match=about):
        create_service(at.view, wish, at.ids, at.now)


def test_defect_08_named_generic_reservations_and_rollback_are_checked(at: Requests) -> None:
    """A reservation may ask for amounts alone, and the rollback follows the rules of the update."""
    named = Resources(generic=(GenericResource(named_resource_spec=NamedGenericResource("gpu", "u1")),))
    with pytest.raises(InvalidSpec, match="gpu"):
        create_service(at.view, spec("web", task=placed(reserve=named)), at.ids, at.now)
    with pytest.raises(InvalidSpec, match="rollback"):
        create_service(at.view, spec("web", rollback=UpdateConfig(max_failure_ratio=2.0)), at.ids, at.now)


def test_a_name_is_taken_in_whatever_case(at: Requests) -> None:
    service = created(at, spec("Web"))
    with pytest.raises(NameConflict, match=f"service web already exists \\({service.id}\\)"):
        create_service(at.view, spec("web"), at.ids, at.now)


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        (PublishMode.INGRESS, PublishMode.INGRESS, "as an ingress port"),
        (PublishMode.INGRESS, PublishMode.HOST, "as an ingress port"),
        (PublishMode.HOST, PublishMode.INGRESS, "as a host-published port"),
        (PublishMode.HOST, PublishMode.HOST, ""),
    ],
)
def test_ports_clash_unless_both_are_on_hosts(
    at: Requests, first: PublishMode, second: PublishMode, clash: str
) -> None:
    created(at, publishing("api", port(8080, first)))
    wish = publishing("web", port(8080, second))
    if not clash:
        created(at, wish)
        return
    with pytest.raises(InvalidSpec, match=r"port '8080' is already in use by service 'api' \(.*\) " + clash):
        create_service(at.view, wish, at.ids, at.now)


def test_ports_of_another_protocol_do_not_clash(at: Requests) -> None:
    created(at, publishing("api", port(53)))
    created(at, publishing("dns", port(53, protocol=PortProtocol.UDP)))
    with pytest.raises(InvalidSpec, match=r"port '53'/udp is already"):
        create_service(at.view, publishing("dns2", port(53, protocol=PortProtocol.UDP)), at.ids, at.now)


def test_references_must_exist_under_their_name(at: Requests) -> None:
    at.put(
        Secret(id=SecretId("s1"), spec=SecretSpec(annotations=Annotations("key"), data=b"x")),
        Config(id=ConfigId("c1"), spec=ConfigSpec(annotations=Annotations("conf"), data=b"x")),
    )

    def with_secrets(*named: tuple[str, str]) -> ServiceSpec:
        return spec(
            task=with_container(
                secrets=tuple(
                    SecretReference(SecretId(id_), name, FileTarget(name=f"{name}{n}"))
                    for n, (id_, name) in enumerate(named)
                )
            )
        )

    created(at, with_secrets(("s1", "key")))
    with pytest.raises(InvalidSpec, match=r"^secret not found: other$"):
        create_service(at.view, replace(with_secrets(("s1", "other")), annotations=Annotations("b")), at.ids, at.now)
    with pytest.raises(InvalidSpec, match=r"^secrets not found: a, b$"):
        create_service(
            at.view, replace(with_secrets(("x", "a"), ("y", "b")), annotations=Annotations("b")), at.ids, at.now
        )
    config = ConfigReference(config_id=ConfigId("c2"), config_name="conf", file=FileTarget(name="conf"))
    with pytest.raises(InvalidSpec, match=r"^config not found: conf$"):
        create_service(at.view, spec("b", task=with_container(configs=(config,))), at.ids, at.now)


def test_networks_must_exist_and_not_be_ingress(at: Requests) -> None:
    at.put(
        Network(id=NetworkId("n1"), spec=NetworkSpec(annotations=Annotations("back"))),
        Network(id=NetworkId("n2"), spec=NetworkSpec(annotations=Annotations("ingress"), ingress=True)),
    )

    def on(target: str) -> ServiceSpec:
        attachment = NetworkAttachmentConfig(target=target)
        return spec("on-" + target, task=replace(with_container(), networks=(attachment,)))

    for good in ("n1", "back", "host", "bridge"):
        created(at, on(good))
    with pytest.raises(NotFound, match="network front not found"):
        create_service(at.view, on("front"), at.ids, at.now)
    with pytest.raises(InvalidSpec, match="ingress network"):
        create_service(at.view, on("n2"), at.ids, at.now)


def test_defaults_are_filled_in_on_request_alone(at: Requests) -> None:
    service = created(at, spec())
    assert service.spec.task.restart is None
    full = get_service(at.view, service.id, insert_defaults=True)
    assert full.spec.task.restart is not None
    assert full.spec.task.restart.condition == RestartCondition.ANY
    assert full.spec.update is not None


def test_an_update_keeps_the_spec_before_it(at: Requests) -> None:
    first = created(at, spec("web", 2))
    completed = replace(first, update_status=UpdateStatus(state=UpdateState.COMPLETED))
    at.commit((Changes.atomic(Update(completed)), None))
    first = get_service(at.view, first.id)
    second = updated(at, first, spec("web", 5))
    assert second.spec.replicated == ReplicatedService(5)
    assert second.previous_spec == first.spec
    assert second.spec_version == first.meta.version
    assert second.previous_spec_version == first.spec_version
    assert second.update_status is None


def test_a_rollback_swaps_the_specs_and_a_second_one_swaps_them_back(at: Requests) -> None:
    first = created(at, spec("web", 2))
    second = updated(at, first, spec("web", 5))
    third = updated(at, second, second.spec, Rollback.PREVIOUS)
    assert (third.spec, third.previous_spec) == (first.spec, second.spec)
    assert (third.spec_version, third.previous_spec_version) == (first.spec_version, second.spec_version)
    assert third.update_status is not None
    assert third.update_status.state == UpdateState.ROLLBACK_STARTED
    fourth = updated(at, third, third.spec, Rollback.PREVIOUS)
    assert (fourth.spec, fourth.spec_version) == (second.spec, second.spec_version)


def test_a_rollback_needs_a_previous_spec(at: Requests) -> None:
    service = created(at, spec())
    with pytest.raises(Precondition, match="does not have a previous spec"):
        update_service(at.view, service.id, 1, None, Rollback.PREVIOUS, at.now)


def test_defect_19_a_stale_version_is_out_of_sequence(at: Requests) -> None:
    """Whatever else is wrong with the request; it is not an unknown error."""
    service = created(at, spec())
    updated(at, service, spec(replicas=3))
    with pytest.raises(OutOfSequence, match=r"update out of sequence: service .* is at version 2, the request holds 1"):
        update_service(at.view, service.id, 1, spec("", replicas=-1), Rollback.NONE, at.now)


@pytest.mark.parametrize(
    "wish", [spec("other"), spec("web", global_=GlobalService()), spec("web", global_job=GlobalJob())]
)
def test_name_and_mode_are_for_good(at: Requests, wish: ServiceSpec) -> None:
    service = created(at, spec("web"))
    with pytest.raises(Unsupported, match="web"):
        update_service(at.view, service.id, 1, wish, Rollback.NONE, at.now)


def test_networks_in_the_old_place_cannot_change_alone(at: Requests) -> None:
    service = created(at, spec("web"))
    wish = spec("web", networks=(NetworkAttachmentConfig(target="host"),))
    with pytest.raises(Unsupported, match="network"):
        update_service(at.view, service.id, 1, wish, Rollback.NONE, at.now)


def test_an_update_without_a_spec_is_refused(at: Requests) -> None:
    service = created(at, spec("web"))
    with pytest.raises(InvalidSpec, match="spec"):
        update_service(at.view, service.id, 1, None, Rollback.NONE, at.now)


def test_an_update_may_keep_its_own_port_and_not_take_another(at: Requests) -> None:
    created(at, publishing("api", port(8080)))
    service = created(at, publishing("web", port(80)))
    service = updated(at, service, publishing("web", port(80), port(443)))
    with pytest.raises(InvalidSpec, match="port '8080'"):
        update_service(
            at.view, service.id, service.meta.version.index, publishing("web", port(8080)), Rollback.NONE, at.now
        )


def test_every_update_of_a_job_runs_it_again(at: Requests) -> None:
    wish = spec("job", replicated_job=ReplicatedJob(2, 4))
    began = at.now
    service = created(at, wish)
    assert service.job_status is not None
    assert (service.job_status.job_iteration, service.job_status.last_execution) == (Version(0), began)
    again = at.now
    service = updated(at, service, wish)
    assert service.job_status is not None
    assert (service.job_status.job_iteration, service.job_status.last_execution) == (Version(1), again)
    assert updated(at, service, wish).job_status.job_iteration == Version(2)


def test_a_removed_service_is_gone(at: Requests) -> None:
    service = created(at, spec())
    at.commit(remove_service(at.view, service.id))
    with pytest.raises(NotFound, match=f"service {service.id} not found"):
        get_service(at.view, service.id)
    with pytest.raises(NotFound):
        remove_service(at.view, service.id)
    with pytest.raises(InvalidSpec, match="service id must be provided"):
        get_service(at.view, ServiceId(""))


def test_lists_are_narrowed_by_every_filter_and_sorted_by_id(at: Requests) -> None:
    web = created(at, spec("web", labels={"tier": "front", "team": "a"}))
    api = created(at, spec("api", labels={"tier": "back", "team": "a"}))
    job = created(at, spec("api-job", replicated_job=ReplicatedJob(1, 1)))

    def named(**by: object) -> list[str]:
        found = list_services(at.view, Filters(**by))
        assert list(found) == sorted(found, key=lambda service: service.id)
        return sorted(service.spec.annotations.name for service in found)

    assert named() == ["api", "api-job", "web"]
    assert named(names=("WEB", "nothing")) == ["web"]
    assert named(name_prefixes=("ap",)) == ["api", "api-job"]
    assert named(id_prefixes=(web.id[:9], job.id)) == ["api-job", "web"]
    assert named(labels={"team": ""}) == ["api", "web"]
    assert named(labels={"team": "a", "tier": "back"}) == ["api"]
    assert named(labels={"team": "b"}) == []
    assert named(runtimes=("container",), names=("api",)) == ["api"]
    assert named(runtimes=("attachment",)) == []
    assert list_services(at.view, Filters(id_prefixes=(api.id,))) == (api,)


def test_statuses_count_by_mode(at: Requests) -> None:
    web = created(at, spec("web", 3))
    every = created(at, spec("every", global_=GlobalService()))
    job = created(at, spec("job", replicated_job=ReplicatedJob(2, 9)))
    each = created(at, spec("each", global_job=GlobalJob()))
    done, running = TaskState.COMPLETE, TaskState.RUNNING
    at.put(
        task("w1", web.id),
        task("w2", web.id, TaskState.STARTING),
        task("w3", web.id, running, TaskState.SHUTDOWN),
        task("e1", every.id, node="n1"),
        task("e2", every.id, TaskState.PREPARING, node="n2"),
        task("e3", every.id, TaskState.FAILED, TaskState.SHUTDOWN, node="n2"),
        task("j1", job.id, running, done),
        task("j2", job.id, done, done),
        task("j3", job.id, done, done, job_iteration=Version(4)),
        task("g1", each.id, running, done),
        task("g2", each.id, done, done),
    )
    ids = (web.id, every.id, job.id, each.id, ServiceId("gone"))
    assert list_service_statuses(at.view, ids) == (
        ServiceStatus(service_id=web.id, desired_tasks=3, running_tasks=1),
        ServiceStatus(service_id=every.id, desired_tasks=2, running_tasks=1),
        ServiceStatus(service_id=job.id, desired_tasks=2, running_tasks=1, completed_tasks=1),
        ServiceStatus(service_id=each.id, desired_tasks=1, running_tasks=1, completed_tasks=1),
        ServiceStatus(service_id=ServiceId("gone")),
    )


def test_ids_come_from_the_generator_alone(at: Requests) -> None:
    other = Requests()
    assert created(at, spec()).id == created(other, spec()).id
