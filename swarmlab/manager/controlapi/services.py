"""Services: the wish that all else follows."""

import random
from collections.abc import Sequence

from msgspec.structs import replace

from swarmlab.api import (
    Changes,
    Create,
    Delete,
    Filters,
    Instant,
    InvalidSpec,
    JobStatus,
    Precondition,
    Rollback,
    Service,
    ServiceId,
    ServiceSpec,
    ServiceStatus,
    Task,
    TaskState,
    Unsupported,
    Update,
    UpdateState,
    UpdateStatus,
    Version,
    new_id,
)
from swarmlab.api.defaults import with_defaults
from swarmlab.api.modes import mode_of
from swarmlab.api.naming import runtime_of
from swarmlab.api.validation import check_service_spec
from swarmlab.manager.constraint import Constraints
from swarmlab.manager.controlapi.filters import EVERYTHING, among, narrowed
from swarmlab.manager.controlapi.references import check_ports, check_references
from swarmlab.manager.controlapi.stored import require_free_name, stored, stored_at
from swarmlab.plugin import AFFINITY_LABEL, affinity_terms
from swarmlab.store import Snapshot


def create_service(view: Snapshot, spec: ServiceSpec, ids: random.Random, now: Instant) -> tuple[Changes, Service]:
    """A new service; its tasks follow from the orchestrators.

    Raises:
        InvalidSpec: A field is not acceptable, a port is taken, or a secret or config is not there.
        NotFound: A network is not there.
        NameConflict: Another service has the name.
    """
    _check(spec)
    require_free_name(view, Service, spec.annotations.name)
    check_references(view, spec)
    check_ports(view, spec)
    service = Service(
        id=ServiceId(new_id(ids)),
        spec=spec,
        spec_version=Version(),
        job_status=JobStatus(job_iteration=Version(), last_execution=now) if mode_of(spec).is_job else None,
    )
    return Changes.atomic(Create(service)), service


def get_service(view: Snapshot, service_id: ServiceId, insert_defaults: bool = False) -> Service:
    """The service of that id, with `insert_defaults` with every part of the spec filled in that the user left out.

    Raises:
        NotFound: There is none.
    """
    service = stored(view, Service, service_id)
    return replace(service, spec=with_defaults(service.spec)) if insert_defaults else service


def list_services(view: Snapshot, filters: Filters = EVERYTHING) -> tuple[Service, ...]:
    """The services that match, sorted by id."""
    return narrowed(
        view.services(),
        filters,
        name=lambda service: service.spec.annotations.name,
        labels=lambda service: service.spec.annotations.labels,
        also=lambda service: among(runtime_of(service.spec.task), filters.runtimes),
    )


def update_service(
    view: Snapshot,
    service_id: ServiceId,
    version: int,
    spec: ServiceSpec | None,
    rollback: Rollback,
    now: Instant,
) -> tuple[Changes, Service]:
    """The service with another spec, or with its previous one.

    The spec that was in force becomes the previous one, and the version in hand names the new one. An update of a job,
    even with an equal spec, begins a new iteration.

    Args:
        view: The cluster.
        service_id: The service.
        version: That of the service as it was read.
        spec: All of the new spec; not looked at in a rollback, otherwise it must be there.
        rollback: PREVIOUS swaps the present and the previous spec.
        now: The time, noted as the begin of a job's iteration.

    Raises:
        NotFound: No such service.
        OutOfSequence: It changed since.
        InvalidSpec, Precondition: As for a new service; also, a rollback with no previous spec.
        Unsupported: Another name, another mode, other networks in the old place alone.
    """
    service = stored_at(view, Service, service_id, version)
    if rollback == Rollback.PREVIOUS:
        updated = _rolled_back(view, service)
    elif spec is None:
        raise InvalidSpec("service spec must be provided")
    else:
        updated = _updated(view, service, spec)
    if mode_of(updated.spec).is_job:
        iteration = service.job_status.job_iteration.index + 1 if service.job_status is not None else 1
        updated = replace(updated, job_status=JobStatus(job_iteration=Version(iteration), last_execution=now))
    return Changes.atomic(Update(updated)), updated


def remove_service(view: Snapshot, service_id: ServiceId) -> tuple[Changes, None]:
    """Nothing of the service left; its tasks stop and go.

    Raises:
        NotFound: No such service.
    """
    stored(view, Service, service_id)
    return Changes.atomic(Delete(Service, service_id)), None


def list_service_statuses(view: Snapshot, service_ids: Sequence[ServiceId]) -> tuple[ServiceStatus, ...]:
    """How far each of these services is, in the order asked."""
    return tuple(_status(view, service_id) for service_id in service_ids)


def _check(spec: ServiceSpec) -> None:
    check_service_spec(spec)
    if spec.task.placement is not None:
        Constraints.parse(spec.task.placement.constraints)
    for name, term in affinity_terms(spec.annotations.labels).items():
        for wish in (term, *term.otherwise):
            try:
                Constraints.parse((wish.node,) if wish.node else ())
            except InvalidSpec as error:
                raise InvalidSpec(f"label {AFFINITY_LABEL}{name}: {error}") from error


def _updated(view: Snapshot, service: Service, spec: ServiceSpec) -> Service:
    _check(spec)
    if spec.annotations.name != service.spec.annotations.name:
        raise Unsupported(
            f"renaming services is not supported: {service.spec.annotations.name} to {spec.annotations.name}"
        )
    present, wanted = mode_of(service.spec), mode_of(spec)
    if present is not wanted:
        raise Unsupported(
            f"service mode change is not allowed: {service.spec.annotations.name} is {present.value}, "
            f"asked for {wanted.value}"
        )
    if spec.networks != service.spec.networks and not spec.task.networks and not service.spec.task.networks:
        raise Unsupported("changing network in service is not supported: use the networks of the task")
    check_references(view, spec)
    if spec.endpoint != service.spec.endpoint:
        check_ports(view, spec, own=service.id)
    return replace(
        service,
        spec=spec,
        spec_version=service.meta.version,
        previous_spec=service.spec,
        previous_spec_version=service.spec_version,
        update_status=None,
    )


def _rolled_back(view: Snapshot, service: Service) -> Service:
    if service.previous_spec is None:
        raise Precondition(f"service {service.id} does not have a previous spec")
    spec = service.previous_spec
    check_references(view, spec)
    if spec.endpoint != service.spec.endpoint:
        check_ports(view, spec, own=service.id)
    return replace(
        service,
        spec=spec,
        spec_version=service.previous_spec_version,
        previous_spec=service.spec,
        previous_spec_version=service.spec_version,
        update_status=UpdateStatus(state=UpdateState.ROLLBACK_STARTED, message="manually requested rollback"),
    )


def _status(view: Snapshot, service_id: ServiceId) -> ServiceStatus:
    service = view.service(service_id)
    if service is None:
        return ServiceStatus(service_id=service_id)
    tasks = view.tasks_of(service_id)
    running = sum(
        1 for task in tasks if task.status.state == TaskState.RUNNING and task.desired_state <= TaskState.COMPLETE
    )
    desired, completed = _wanted_now(service, tasks)
    return ServiceStatus(service_id=service_id, desired_tasks=desired, running_tasks=running, completed_tasks=completed)


def _wanted_now(service: Service, tasks: Sequence[Task]) -> tuple[int, int]:
    """How many tasks are to run now, and how many of the present iteration of a job completed."""
    spec = service.spec
    if spec.replicated is not None:
        return spec.replicated.replicas, 0
    if spec.global_ is not None:
        return sum(1 for task in tasks if task.desired_state == TaskState.RUNNING), 0
    iteration = service.job_status.job_iteration if service.job_status is not None else Version()
    present = [task for task in tasks if (task.job_iteration or Version()) == iteration]
    completed = sum(1 for task in present if task.status.state == TaskState.COMPLETE)
    if spec.replicated_job is not None:
        return spec.replicated_job.max_concurrent, completed
    pending = sum(
        1 for task in present if task.desired_state == TaskState.COMPLETE and task.status.state != TaskState.COMPLETE
    )
    return pending, completed
