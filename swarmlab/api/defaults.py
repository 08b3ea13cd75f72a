"""What holds where a spec is silent. Source: SwarmKit `api/defaults`, and the constants of its parts."""

from msgspec.structs import replace

from swarmlab.api.annotations import Annotations
from swarmlab.api.certificates import CAConfig
from swarmlab.api.containers import ContainerSpec, DNSConfig, PullOptions
from swarmlab.api.enums import FailureAction, RestartCondition, UpdateOrder
from swarmlab.api.moments import HOUR, SECOND, Duration
from swarmlab.api.objects import Cluster
from swarmlab.api.placement import Placement
from swarmlab.api.policies import RestartPolicy, UpdateConfig
from swarmlab.api.resources import ResourceRequirements
from swarmlab.api.settings import DispatcherConfig, OrchestrationConfig, RaftConfig
from swarmlab.api.specs import ClusterSpec, EndpointSpec, ServiceSpec, TaskSpec

#: The only name that a cluster may have.
CLUSTER_NAME = "default"

STOP_GRACE_PERIOD = Duration(10 * SECOND)
RESTART_DELAY = Duration(5 * SECOND)
UPDATE_MONITOR = Duration(5 * SECOND)
HEARTBEAT_PERIOD = Duration(5 * SECOND)
#: Silence for so many heartbeat periods makes a node DOWN.
HEARTBEAT_GRACE = 3
#: The same for nodes that a new leader has not heard yet.
HEARTBEAT_GRACE_UNKNOWN = 6
TASK_HISTORY_RETENTION_LIMIT = 5
NODE_CERT_EXPIRY = Duration(2160 * HOUR)
ADDRESS_POOL = ("10.0.0.0/8",)
SUBNET_SIZE = 24
VXLAN_UDP_PORT = 4789

RESTART = RestartPolicy(condition=RestartCondition.ANY, delay=RESTART_DELAY)
UPDATE = UpdateConfig(
    parallelism=1, failure_action=FailureAction.PAUSE, monitor=UPDATE_MONITOR, order=UpdateOrder.STOP_FIRST
)
CLUSTER = ClusterSpec(
    annotations=Annotations(CLUSTER_NAME),
    orchestration=OrchestrationConfig(TASK_HISTORY_RETENTION_LIMIT),
    raft=RaftConfig(
        snapshot_interval=10_000,
        keep_old_snapshots=0,
        log_entries_for_slow_followers=500,
        heartbeat_tick=1,
        election_tick=10,
    ),
    dispatcher=DispatcherConfig(HEARTBEAT_PERIOD),
    ca_config=CAConfig(node_cert_expiry=NODE_CERT_EXPIRY),
)


def restart_policy(spec: TaskSpec) -> RestartPolicy:
    """The restart policy that applies to tasks of `spec`; its delay is always set."""
    if spec.restart is None:
        return RESTART
    return spec.restart if spec.restart.delay is not None else replace(spec.restart, delay=RESTART_DELAY)


def update_config(spec: ServiceSpec) -> UpdateConfig:
    """How updates of the service go; its monitor is always set."""
    return _monitored(spec.update)


def rollback_config(spec: ServiceSpec) -> UpdateConfig:
    """How rollbacks of the service go; its monitor is always set."""
    return _monitored(spec.rollback)


def stop_grace_period(spec: TaskSpec) -> Duration:
    """How long a task of `spec` may take from its stop signal to the kill."""
    if spec.container is None or spec.container.stop_grace_period is None:
        return STOP_GRACE_PERIOD
    return spec.container.stop_grace_period


def heartbeat_period(cluster: Cluster | None) -> Duration:
    """How often the nodes of `cluster` give a sign of life."""
    period = cluster.spec.dispatcher.heartbeat_period if cluster is not None else None
    return period or HEARTBEAT_PERIOD


def task_history_limit(cluster: Cluster | None) -> int:
    """How many dead tasks of a slot are kept; negative: all of them."""
    return TASK_HISTORY_RETENTION_LIMIT if cluster is None else cluster.spec.orchestration.task_history_retention_limit


def with_defaults(spec: ServiceSpec) -> ServiceSpec:
    """`spec` with what is absent filled in; what is there, even with its zero value, stays."""
    task = spec.task
    return replace(
        spec,
        task=replace(
            task,
            container=None if task.container is None else _complete(task.container),
            resources=task.resources or ResourceRequirements(),
            restart=restart_policy(task),
            placement=task.placement or Placement(),
        ),
        update=update_config(spec),
        rollback=rollback_config(spec),
        endpoint=spec.endpoint or EndpointSpec(),
    )


def _monitored(config: UpdateConfig | None) -> UpdateConfig:
    if config is None:
        return UPDATE
    return config if config.monitor is not None else replace(config, monitor=UPDATE_MONITOR)


def _complete(container: ContainerSpec) -> ContainerSpec:
    grace = container.stop_grace_period
    return replace(
        container,
        stop_grace_period=STOP_GRACE_PERIOD if grace is None else grace,
        pull_options=container.pull_options or PullOptions(),
        dns_config=container.dns_config or DNSConfig(),
    )
