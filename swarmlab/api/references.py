"""What a task refers to."""

from swarmlab.api.enums import ResourceType
from swarmlab.api.ids import ConfigId, SecretId
from swarmlab.api.specs import TaskSpec


def secrets_of(spec: TaskSpec) -> tuple[SecretId, ...]:
    """The secrets that tasks of `spec` may see, sorted, each once."""
    named = [reference for reference in spec.resource_references if reference.resource_type is ResourceType.SECRET]
    found = {SecretId(reference.resource_id) for reference in named}
    if spec.container is not None:
        found.update(reference.secret_id for reference in spec.container.secrets)
    return tuple(sorted(found))


def configs_of(spec: TaskSpec) -> tuple[ConfigId, ...]:
    """The configs that tasks of `spec` may see, sorted, each once."""
    named = [reference for reference in spec.resource_references if reference.resource_type is ResourceType.CONFIG]
    found = {ConfigId(reference.resource_id) for reference in named}
    if spec.container is not None:
        found.update(reference.config_id for reference in spec.container.configs)
    return tuple(sorted(found))
