"""Amounts: CPU, memory and what a cluster invents for itself."""

from swarmlab.api.value import Value


class NamedGenericResource(Value, frozen=True):
    """One named unit of a resource that the cluster's owner invented, e.g. one certain GPU."""

    #: What it is, e.g. gpu.
    kind: str = ""
    #: Which one.
    value: str = ""


class DiscreteGenericResource(Value, frozen=True):
    """A counted amount of a resource that the cluster's owner invented."""

    #: What it is, e.g. fpga.
    kind: str = ""
    #: How many.
    value: int = 0


class GenericResource(Value, frozen=True):
    """Either a named unit or a counted amount, never both."""

    named_resource_spec: NamedGenericResource | None = None
    discrete_resource_spec: DiscreteGenericResource | None = None


class Resources(Value, frozen=True):
    """An amount of CPU, memory and generic resources."""

    #: 10**9 is one core.
    nano_cpus: int = 0
    memory_bytes: int = 0
    generic: tuple[GenericResource, ...] = ()


class ResourceRequirements(Value, frozen=True, kw_only=True):
    """What a task may use at most, and what is kept free for it."""

    #: Hard caps, handed to the runtime and never scheduled.
    limits: Resources | None = None
    #: What the scheduler books.
    reservations: Resources | None = None
    #: None: as the engine likes; -1: unlimited; else swap on top of memory.
    swap_bytes: int | None = None
    #: None: as the engine likes; -1: unset; else 0..100.
    memory_swappiness: int | None = None
