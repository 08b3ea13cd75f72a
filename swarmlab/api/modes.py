"""The four modes of a service, and how many tasks each wants."""

from enum import Enum

from swarmlab.api.errors import InvalidSpec
from swarmlab.api.specs import ServiceSpec


class Mode(Enum):
    """How many tasks of a service there are; the values are docker's words."""

    REPLICATED = "replicated"
    GLOBAL = "global"
    REPLICATED_JOB = "replicated-job"
    GLOBAL_JOB = "global-job"

    @property
    def is_job(self) -> bool:
        """Its tasks are meant to end."""
        return self in (Mode.REPLICATED_JOB, Mode.GLOBAL_JOB)

    @property
    def is_global(self) -> bool:
        """It has one task for each suitable node."""
        return self in (Mode.GLOBAL, Mode.GLOBAL_JOB)


def mode_of(spec: ServiceSpec) -> Mode:
    """The mode that is set in `spec`; `InvalidSpec` when it is none or more than one."""
    if spec.replicated is not None and spec.global_ is None and spec.replicated_job is None and spec.global_job is None:
        return Mode.REPLICATED
    modes = [
        mode
        for mode, part in (
            (Mode.REPLICATED, spec.replicated),
            (Mode.GLOBAL, spec.global_),
            (Mode.REPLICATED_JOB, spec.replicated_job),
            (Mode.GLOBAL_JOB, spec.global_job),
        )
        if part is not None
    ]
    if len(modes) != 1:
        seen = " and ".join(mode.value for mode in modes) or "none"
        raise InvalidSpec(f"mode: {seen}, wanted: exactly one of {', '.join(mode.value for mode in Mode)}")
    return modes[0]
