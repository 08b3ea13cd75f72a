"""The `deploy` section of a compose service: mode, resources, placement, policies."""

from typing import Any, NamedTuple

from msgspec.structs import replace

from swarmlab.api import (
    FailureAction,
    GenericResource,
    GlobalJob,
    GlobalService,
    Mode,
    Placement,
    PlacementPreference,
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
    UpdateConfig,
    UpdateOrder,
    generic_amount,
    restart_policy,
    rollback_config,
    update_config,
)
from swarmlab.cli.document import Section

_MODES = {mode.value: mode for mode in Mode}
_CONDITIONS = {word.name.lower().replace("_", "-"): word for word in RestartCondition}
_ACTIONS = {word.name.lower(): word for word in FailureAction}
_ROLLBACK_ACTIONS: dict[str, FailureAction] = {
    name: word for name, word in _ACTIONS.items() if word is not FailureAction.ROLLBACK
}
_ORDERS = {word.name.lower().replace("_", "-"): word for word in UpdateOrder}
_ENDPOINTS = {word.name.lower(): word for word in ResolutionMode}


class Deploy(NamedTuple):
    """What the section says, as parts of a spec."""

    #: The mode field of a ServiceSpec.
    mode: dict[str, Any]
    labels: dict[str, str]
    resources: ResourceRequirements | None
    pids: int
    placement: Placement | None
    restart: RestartPolicy | None
    update: UpdateConfig | None
    rollback: UpdateConfig | None
    endpoint_mode: ResolutionMode | None


NOTHING = Deploy({"replicated": ReplicatedService(1)}, {}, None, 0, None, None, None, None, None)


def read_deploy(section: Section | None) -> Deploy:
    """The parts that `deploy` asks for; without the section one replica and the defaults."""
    if section is None:
        return NOTHING
    resources, pids = _resources(section.within("resources"))
    found = Deploy(
        mode=_mode(section),
        labels=section.labels_at("labels"),
        resources=resources,
        pids=pids,
        placement=_placement(section.within("placement")),
        restart=_restart(section.within("restart_policy")),
        update=_policy(section.within("update_config"), update_config(ServiceSpec()), _ACTIONS),
        rollback=_policy(section.within("rollback_config"), rollback_config(ServiceSpec()), _ROLLBACK_ACTIONS),
        endpoint_mode=section.word_at("endpoint_mode", _ENDPOINTS),
    )
    section.finish()
    return found


def _mode(section: Section) -> dict[str, Any]:
    mode = section.word_at("mode", _MODES) or Mode.REPLICATED
    replicas = section.count_at("replicas")
    at_once = section.count_at("max_concurrent")
    if mode.is_global and replicas is not None:
        raise section.wrong(f"replicas does not go with mode {mode.value}")
    wanted = 1 if replicas is None else replicas
    match mode:
        case Mode.REPLICATED:
            return {"replicated": ReplicatedService(wanted)}
        case Mode.GLOBAL:
            return {"global_": GlobalService()}
        case Mode.GLOBAL_JOB:
            return {"global_job": GlobalJob()}
        case Mode.REPLICATED_JOB:
            return {"replicated_job": ReplicatedJob(wanted if at_once is None else at_once, wanted)}


def _resources(section: Section | None) -> tuple[ResourceRequirements | None, int]:
    if section is None:
        return None, 0
    limits, pids = _amounts(section.within("limits"), limits=True)
    reservations, _ = _amounts(section.within("reservations"), limits=False)
    section.finish()
    if limits is None and reservations is None:
        return None, pids
    return ResourceRequirements(limits=limits, reservations=reservations), pids


def _amounts(section: Section | None, *, limits: bool) -> tuple[Resources | None, int]:
    if section is None:
        return None, 0
    pids = section.count_at("pids") or 0 if limits else 0
    generic = () if limits else _generic(section)
    found = Resources(section.cpus_at("cpus") or 0, section.bytes_at("memory") or 0, generic)
    section.finish(ignored=() if limits else ("devices",))
    return (None if found == Resources() else found), pids


def _generic(section: Section) -> tuple[GenericResource, ...]:
    found = []
    for item in section.items_at("generic_resources"):
        entry = item.section()
        amount = entry.within("discrete_resource_spec")
        if amount is None:
            raise item.wrong("discrete_resource_spec is missing")
        kind, value = amount.text_at("kind"), amount.count_at("value")
        if not kind or value is None:
            raise amount.wrong("wanted: kind and value")
        amount.finish()
        entry.finish()
        found.append(generic_amount(kind, value))
    return tuple(found)


def _placement(section: Section | None) -> Placement | None:
    if section is None:
        return None
    preferences = []
    for item in section.items_at("preferences"):
        entry = item.section()
        descriptor = entry.text_at("spread")
        if not descriptor:
            raise item.wrong("wanted: spread: node.labels.KEY")
        entry.finish()
        preferences.append(PlacementPreference(SpreadOver(descriptor)))
    found = Placement(
        constraints=section.texts_at("constraints"),
        preferences=tuple(preferences),
        max_replicas=section.count_at("max_replicas_per_node") or 0,
    )
    section.finish()
    return None if found == Placement() else found


def _restart(section: Section | None) -> RestartPolicy | None:
    if section is None:
        return None
    found = _given(
        condition=section.word_at("condition", _CONDITIONS),
        delay=section.span_at("delay"),
        max_attempts=section.count_at("max_attempts"),
        window=section.span_at("window"),
    )
    section.finish()
    return replace(restart_policy(TaskSpec()), **found)


def _policy(section: Section | None, usual: UpdateConfig, actions: dict[str, FailureAction]) -> UpdateConfig | None:
    if section is None:
        return None
    found = _given(
        parallelism=section.count_at("parallelism"),
        delay=section.span_at("delay"),
        failure_action=section.word_at("failure_action", actions),
        monitor=section.span_at("monitor"),
        max_failure_ratio=section.ratio_at("max_failure_ratio"),
        order=section.word_at("order", _ORDERS),
    )
    section.finish()
    return replace(usual, **found)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
