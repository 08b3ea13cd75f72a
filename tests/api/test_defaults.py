"""What holds where a spec is silent, and how things are called."""

import random

import pytest

from swarmlab.api import (
    SECOND,
    Annotations,
    Cluster,
    ClusterSpec,
    ContainerSpec,
    DispatcherConfig,
    Duration,
    EndpointSpec,
    Extension,
    GenericRuntimeSpec,
    GlobalJob,
    GlobalService,
    InvalidSpec,
    Mode,
    Network,
    NetworkAttachmentSpec,
    NetworkSpec,
    Node,
    NodeDescription,
    NodeId,
    OrchestrationConfig,
    ReplicatedJob,
    ReplicatedService,
    RestartCondition,
    RestartPolicy,
    ServiceSpec,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    UpdateConfig,
    base36,
    defaults,
    heartbeat_period,
    is_dead,
    mode_of,
    name_of,
    new_id,
    node_name,
    restart_policy,
    rollback_config,
    runtime_of,
    stop_grace_period,
    task_history_limit,
    task_name,
    update_config,
    with_defaults,
)


def test_defaults_fill_what_is_absent():
    """Restart any after 5 s; update one at a time, watched for 5 s, pause; 10 s of grace; a virtual address."""
    full = with_defaults(ServiceSpec(task=TaskSpec(container=ContainerSpec(image="a"))))
    assert full.task.restart == RestartPolicy(condition=RestartCondition.ANY, delay=Duration(5 * SECOND))
    assert full.update == full.rollback == UpdateConfig(parallelism=1, monitor=Duration(5 * SECOND))
    assert full.task.container.stop_grace_period == 10 * SECOND
    assert full.endpoint == EndpointSpec()
    assert full.task.resources is not None
    assert full.task.placement is not None
    assert full.task.container.dns_config is not None
    assert full.task.container.pull_options is not None


def test_defaults_leave_what_is_there():
    """Zero is a wish like any other; only the absent parts of a given policy are filled in."""
    spec = ServiceSpec(
        task=TaskSpec(
            container=ContainerSpec(stop_grace_period=Duration(0)),
            restart=RestartPolicy(condition=RestartCondition.NONE, max_attempts=3),
        ),
        update=UpdateConfig(parallelism=0, monitor=Duration(0)),
        rollback=UpdateConfig(parallelism=4),
    )
    full = with_defaults(spec)
    assert full.task.container.stop_grace_period == 0
    assert full.task.restart == RestartPolicy(
        condition=RestartCondition.NONE, max_attempts=3, delay=Duration(5 * SECOND)
    )
    assert full.update == spec.update
    assert full.rollback == UpdateConfig(parallelism=4, monitor=Duration(5 * SECOND))
    assert with_defaults(full) == full


def test_single_defaults():
    """The same values, asked for one by one."""
    assert restart_policy(TaskSpec()) == defaults.RESTART
    assert update_config(ServiceSpec()) == rollback_config(ServiceSpec()) == defaults.UPDATE
    assert stop_grace_period(TaskSpec()) == 10 * SECOND
    assert stop_grace_period(TaskSpec(container=ContainerSpec(stop_grace_period=Duration(0)))) == 0
    assert heartbeat_period(None) == heartbeat_period(Cluster()) == 5 * SECOND
    assert heartbeat_period(Cluster(spec=ClusterSpec(dispatcher=DispatcherConfig(Duration(SECOND))))) == SECOND
    assert task_history_limit(None) == 5
    assert task_history_limit(Cluster(spec=ClusterSpec(orchestration=OrchestrationConfig(-1)))) == -1
    assert with_defaults(ServiceSpec()).task.container is None


@pytest.mark.parametrize(
    ("spec", "mode"),
    [
        (ServiceSpec(replicated=ReplicatedService(0)), Mode.REPLICATED),
        (ServiceSpec(global_=GlobalService()), Mode.GLOBAL),
        (ServiceSpec(replicated_job=ReplicatedJob()), Mode.REPLICATED_JOB),
        (ServiceSpec(global_job=GlobalJob()), Mode.GLOBAL_JOB),
    ],
)
def test_modes(spec, mode):
    """Exactly one of four, by docker's words."""
    assert mode_of(spec) is mode
    assert mode.is_job == mode.value.endswith("job")
    assert mode.is_global == mode.value.startswith("global")


@pytest.mark.parametrize(
    ("spec", "seen"),
    [
        (ServiceSpec(), "none"),
        (ServiceSpec(replicated=ReplicatedService(), global_=GlobalService()), "replicated and global"),
    ],
)
def test_no_mode_or_two(spec, seen):
    """The error says which were seen."""
    with pytest.raises(InvalidSpec, match=f"mode: {seen}, wanted: exactly one of replicated, global, replicated-job"):
        mode_of(spec)


def test_names():
    """Tasks are called after service, slot and id; nodes as their agents say; all else as users say."""
    task = Task(id=TaskId("t"), service_annotations=Annotations("web"), slot=2, node_id=NodeId("n"))
    assert task_name(task) == name_of(task) == "web.2.t"
    assert task_name(Task(id=TaskId("t"), service_annotations=Annotations("web"), node_id=NodeId("n"))) == "web.n.t"
    assert task_name(Task(id=TaskId("t"), annotations=Annotations("mine"))) == "mine"
    assert node_name(Node()) == ""
    assert name_of(Node(description=NodeDescription(hostname="w1"))) == "w1"
    assert name_of(Network(spec=NetworkSpec(annotations=Annotations("back")))) == "back"
    assert name_of(Extension(annotations=Annotations("printer"))) == "printer"


@pytest.mark.parametrize(
    ("spec", "runtime"),
    [
        (TaskSpec(container=ContainerSpec()), "container"),
        (TaskSpec(attachment=NetworkAttachmentSpec()), "attachment"),
        (TaskSpec(generic=GenericRuntimeSpec("plugin")), "plugin"),
        (TaskSpec(), ""),
    ],
)
def test_runtimes(spec, runtime):
    """A generic runtime is called by its kind."""
    assert runtime_of(spec) == runtime


def test_dead_is_all_after_running():
    """READY and RUNNING live; COMPLETE, and all that is higher, does not."""
    assert [state.name for state in TaskState if is_dead(state)] == [
        "COMPLETE",
        "SHUTDOWN",
        "FAILED",
        "REJECTED",
        "REMOVE",
        "ORPHANED",
    ]


def test_ids_are_25_characters_of_base_36():
    """Always the same length, and the same from the same entropy."""
    made = [new_id(random.Random(seed)) for seed in range(200)]
    assert {len(name) for name in made} == {25}
    assert len(set(made)) == 200
    assert set("".join(made)) <= set("0123456789abcdefghijklmnopqrstuvwxyz")
    assert new_id(random.Random(3)) == made[3]
    assert [base36(number) for number in (0, 35, 36, 36**3 - 1)] == ["0", "z", "10", "zzz"]
