"""The settings of a cluster, by the part that reads them."""

from swarmlab.api.drivers import Driver
from swarmlab.api.moments import Duration
from swarmlab.api.value import Value


class OrchestrationConfig(Value, frozen=True):
    """Settings of the orchestrators."""

    #: Dead tasks kept for each slot; negative: all of them.
    task_history_retention_limit: int = 0


class TaskDefaults(Value, frozen=True):
    """What tasks get when their spec is silent."""

    log_driver: Driver | None = None


class DispatcherConfig(Value, frozen=True):
    """Settings of the dispatcher."""

    #: None: 5 s.
    heartbeat_period: Duration | None = None


class RaftConfig(Value, frozen=True, kw_only=True):
    """Settings of the Raft log and its timers."""

    #: Entries between two snapshots.
    snapshot_interval: int = 0
    keep_old_snapshots: int = 0
    #: Entries kept behind a snapshot.
    log_entries_for_slow_followers: int = 0
    #: Ticks between two heartbeats of the leader.
    heartbeat_tick: int = 0
    #: Ticks of silence after which an election starts.
    election_tick: int = 0


class EncryptionConfig(Value, frozen=True):
    """Whether managers lock their keys."""

    #: A manager that starts needs the unlock key.
    auto_lock_managers: bool = False
