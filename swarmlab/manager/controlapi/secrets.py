"""Secrets: payloads that are never shown again."""

import random

from msgspec.structs import replace

from swarmlab.api import (
    Changes,
    Create,
    Delete,
    Filters,
    InvalidSpec,
    Secret,
    SecretId,
    SecretSpec,
    Service,
    Update,
    new_id,
)
from swarmlab.api.validation import check_secret_spec
from swarmlab.manager.controlapi.filters import EVERYTHING, narrowed
from swarmlab.manager.controlapi.stored import require_free_name, stored, stored_at
from swarmlab.store import ReferencesSecret, Snapshot


def create_secret(view: Snapshot, spec: SecretSpec, ids: random.Random) -> tuple[Changes, Secret]:
    """A new secret; what comes back to the caller holds no data.

    Raises:
        InvalidSpec: Name, data or driver are not acceptable.
        NameConflict: Another secret has the name.
    """
    check_secret_spec(spec)
    require_free_name(view, Secret, spec.annotations.name)
    secret = Secret(id=SecretId(new_id(ids)), spec=spec)
    return Changes.atomic(Create(secret)), without_data(secret)


def get_secret(view: Snapshot, secret_id: SecretId) -> Secret:
    """The secret of that id, without its data.

    Raises:
        NotFound: There is none.
    """
    return without_data(stored(view, Secret, secret_id))


def list_secrets(view: Snapshot, filters: Filters = EVERYTHING) -> tuple[Secret, ...]:
    """The secrets that match, sorted by id, without their data; the cluster's own are left out."""
    return narrowed(
        (without_data(secret) for secret in view.secrets() if not secret.internal),
        filters,
        name=lambda secret: secret.spec.annotations.name,
        labels=lambda secret: secret.spec.annotations.labels,
    )


def update_secret(view: Snapshot, secret_id: SecretId, version: int, spec: SecretSpec) -> tuple[Changes, Secret]:
    """The secret with other labels, without its data. Nothing else of a secret ever changes.

    A spec without data stands for the data that is stored: who reads a secret does not get any to send back.

    Raises:
        NotFound: There is no such secret.
        OutOfSequence: It changed since `version`.
        InvalidSpec: Something other than the labels differs.
    """
    secret = stored_at(view, Secret, secret_id, version)
    wished = replace(spec, data=spec.data or secret.spec.data)
    if replace(wished, annotations=replace(wished.annotations, labels=secret.spec.annotations.labels)) != secret.spec:
        raise InvalidSpec("only updates to Labels are allowed")
    updated = replace(secret, spec=wished)
    return Changes.atomic(Update(updated)), without_data(updated)


def remove_secret(view: Snapshot, secret_id: SecretId) -> tuple[Changes, None]:
    """Nothing of the secret left.

    Raises:
        NotFound: There is no such secret.
        InvalidSpec: Services refer to it; the message names them.
    """
    secret = stored(view, Secret, secret_id)
    users = view.find(Service, ReferencesSecret(secret_id))
    if users:
        names = ", ".join(sorted(service.spec.annotations.name for service in users))
        raise InvalidSpec(
            f"secret '{secret.spec.annotations.name}' is in use by the following "
            f"service{'s' if len(users) > 1 else ''}: {names}"
        )
    return Changes.atomic(Delete(Secret, secret_id)), None


def without_data(secret: Secret) -> Secret:
    """The secret as it may be shown."""
    return replace(secret, spec=replace(secret.spec, data=b""))
