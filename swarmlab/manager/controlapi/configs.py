"""Configs: payloads that anybody may read."""

import random

from msgspec.structs import replace

from swarmlab.api import (
    Changes,
    Config,
    ConfigId,
    ConfigSpec,
    Create,
    Delete,
    Filters,
    InvalidSpec,
    Service,
    Update,
    new_id,
)
from swarmlab.api.validation import check_config_spec
from swarmlab.manager.controlapi.filters import EVERYTHING, narrowed
from swarmlab.manager.controlapi.stored import require_free_name, stored, stored_at
from swarmlab.store import ReferencesConfig, Snapshot


def create_config(view: Snapshot, spec: ConfigSpec, ids: random.Random) -> tuple[Changes, Config]:
    """A new config.

    Raises:
        InvalidSpec: Name or data are not acceptable.
        NameConflict: Another config has the name.
    """
    check_config_spec(spec)
    require_free_name(view, Config, spec.annotations.name)
    config = Config(id=ConfigId(new_id(ids)), spec=spec)
    return Changes.atomic(Create(config)), config


def get_config(view: Snapshot, config_id: ConfigId) -> Config:
    """The config of that id, data included.

    Raises:
        NotFound: There is none.
    """
    return stored(view, Config, config_id)


def list_configs(view: Snapshot, filters: Filters = EVERYTHING) -> tuple[Config, ...]:
    """The configs that match, sorted by id, data included."""
    return narrowed(
        view.configs(),
        filters,
        name=lambda config: config.spec.annotations.name,
        labels=lambda config: config.spec.annotations.labels,
    )


def update_config(view: Snapshot, config_id: ConfigId, version: int, spec: ConfigSpec) -> tuple[Changes, Config]:
    """The config with other labels. Nothing else of a config ever changes; a spec without data keeps what is stored.

    Raises:
        NotFound: There is no such config.
        OutOfSequence: It changed since `version`.
        InvalidSpec: Something other than the labels differs.
    """
    config = stored_at(view, Config, config_id, version)
    wished = replace(spec, data=spec.data or config.spec.data)
    if replace(wished, annotations=replace(wished.annotations, labels=config.spec.annotations.labels)) != config.spec:
        raise InvalidSpec("only updates to Labels are allowed")
    updated = replace(config, spec=wished)
    return Changes.atomic(Update(updated)), updated


def remove_config(view: Snapshot, config_id: ConfigId) -> tuple[Changes, None]:
    """Nothing of the config left.

    Raises:
        NotFound: There is no such config.
        InvalidSpec: Services refer to it; the message names them.
    """
    config = stored(view, Config, config_id)
    users = view.find(Service, ReferencesConfig(config_id))
    if users:
        names = ", ".join(sorted(service.spec.annotations.name for service in users))
        raise InvalidSpec(
            f"config '{config.spec.annotations.name}' is in use by the following "
            f"service{'s' if len(users) > 1 else ''}: {names}"
        )
    return Changes.atomic(Delete(Config, config_id)), None
