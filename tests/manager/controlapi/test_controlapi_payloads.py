"""Secrets and configs: sizes, names, labels, and what is never shown."""

import pytest
from asked import Requests, spec
from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    ConfigReference,
    ConfigSpec,
    ContainerSpec,
    Driver,
    FileTarget,
    Filters,
    InvalidSpec,
    NameConflict,
    NotFound,
    OutOfSequence,
    Secret,
    SecretId,
    SecretReference,
    SecretSpec,
    Service,
    ServiceId,
    TaskSpec,
)
from swarmlab.manager.controlapi import (
    create_config,
    create_secret,
    get_config,
    get_secret,
    list_configs,
    list_secrets,
    remove_config,
    remove_secret,
    update_config,
    update_secret,
)


def secret(name: str = "key", data: bytes = b"hush", **more: object) -> SecretSpec:
    return SecretSpec(annotations=Annotations(name, more.pop("labels", {})), data=data, **more)


def config(name: str = "conf", data: bytes = b"a=1", **labels: str) -> ConfigSpec:
    return ConfigSpec(annotations=Annotations(name, labels), data=data)


def test_secret_data_never_comes_back(at: Requests) -> None:
    answer = at.commit(create_secret(at.view, secret(), at.ids))
    updated = at.commit(update_secret(at.view, answer.id, 1, secret(data=b"", labels={"a": "b"})))
    shown = [answer, updated, get_secret(at.view, answer.id), *list_secrets(at.view)]
    assert [found.spec.data for found in shown] == [b""] * 4
    assert at.view.secret(answer.id).spec.data == b"hush"


def test_config_data_does(at: Requests) -> None:
    answer = at.commit(create_config(at.view, config(), at.ids))
    assert get_config(at.view, answer.id).spec.data == b"a=1"
    assert list_configs(at.view)[0].spec.data == b"a=1"


@pytest.mark.parametrize(
    "wish",
    [
        secret(""),
        secret("a b"),
        secret(".a"),
        secret("a" * 65),
        secret(data=b""),
        secret(data=b"x" * 512_000),
        secret(data=b"", driver=Driver()),
    ],
)
def test_bad_secrets_are_refused(at: Requests, wish: SecretSpec) -> None:
    with pytest.raises(InvalidSpec):
        create_secret(at.view, wish, at.ids)


def test_sizes_up_to_the_limit_are_taken(at: Requests) -> None:
    at.commit(create_secret(at.view, secret(data=b"x" * 511_999), at.ids))
    at.commit(create_config(at.view, config(data=b"x" * 1_023_999), at.ids))
    at.commit(create_secret(at.view, secret("driven", b"", driver=Driver("vault")), at.ids))
    with pytest.raises(InvalidSpec):
        create_config(at.view, config("big", b"x" * 1_024_000), at.ids)


def test_names_are_taken_in_whatever_case(at: Requests) -> None:
    at.commit(create_secret(at.view, secret("Key"), at.ids))
    at.commit(create_config(at.view, config("key"), at.ids))
    with pytest.raises(NameConflict, match="secret key already exists"):
        create_secret(at.view, secret("key"), at.ids)
    with pytest.raises(NameConflict, match="config KEY already exists"):
        create_config(at.view, config("KEY"), at.ids)


@pytest.mark.parametrize(
    "wish",
    [secret("other"), secret(data=b"new"), secret(driver=Driver("vault")), secret(templating=Driver("golang"))],
)
def test_only_the_labels_of_a_secret_change(at: Requests, wish: SecretSpec) -> None:
    answer = at.commit(create_secret(at.view, secret(), at.ids))
    with pytest.raises(InvalidSpec, match="only updates to Labels are allowed"):
        update_secret(at.view, answer.id, 1, wish)


def test_only_the_labels_of_a_config_change(at: Requests) -> None:
    answer = at.commit(create_config(at.view, config(), at.ids))
    at.commit(update_config(at.view, answer.id, 1, config(tier="front")))
    assert get_config(at.view, answer.id).spec.annotations.labels == {"tier": "front"}
    for wish in (config("other"), config(data=b"new"), replace(config(), templating=Driver("golang"))):
        with pytest.raises(InvalidSpec, match="only updates to Labels are allowed"):
            update_config(at.view, answer.id, 2, wish)


def test_defect_19_stale_versions_are_out_of_sequence(at: Requests) -> None:
    key = at.commit(create_secret(at.view, secret(), at.ids))
    conf = at.commit(create_config(at.view, config(), at.ids))
    with pytest.raises(OutOfSequence):
        update_secret(at.view, key.id, 9, secret())
    with pytest.raises(OutOfSequence):
        update_config(at.view, conf.id, 9, config())


def test_what_services_refer_to_stays(at: Requests) -> None:
    key = at.commit(create_secret(at.view, secret(), at.ids))
    conf = at.commit(create_config(at.view, config(), at.ids))
    container = ContainerSpec(
        image="nginx",
        secrets=(SecretReference(key.id, "key", FileTarget(name="key")),),
        configs=(ConfigReference(config_id=conf.id, config_name="conf", file=FileTarget(name="conf")),),
    )
    at.put(Service(id=ServiceId("s1"), spec=spec("web", task=TaskSpec(container=container))))
    with pytest.raises(InvalidSpec, match=r"secret 'key' is in use by the following service: web$"):
        remove_secret(at.view, key.id)
    at.put(Service(id=ServiceId("s0"), spec=spec("api", task=TaskSpec(container=container))))
    with pytest.raises(InvalidSpec, match=r"config 'conf' is in use by the following services: api, web$"):
        remove_config(at.view, conf.id)
    with pytest.raises(InvalidSpec, match=r"secret 'key' is in use by the following services: api, web$"):
        remove_secret(at.view, key.id)


def test_what_nobody_refers_to_goes(at: Requests) -> None:
    key = at.commit(create_secret(at.view, secret(), at.ids))
    conf = at.commit(create_config(at.view, config(), at.ids))
    at.commit(remove_secret(at.view, key.id))
    at.commit(remove_config(at.view, conf.id))
    with pytest.raises(NotFound, match=f"secret {key.id} not found"):
        get_secret(at.view, key.id)
    with pytest.raises(NotFound, match=f"config {conf.id} not found"):
        remove_config(at.view, conf.id)


def test_the_clusters_own_secrets_are_not_listed(at: Requests) -> None:
    at.put(Secret(id=SecretId("x"), spec=secret("inner"), internal=True))
    at.commit(create_secret(at.view, secret("outer", labels={"a": "1"}), at.ids))
    assert [found.spec.annotations.name for found in list_secrets(at.view)] == ["outer"]
    assert list_secrets(at.view, Filters(labels={"a": "2"})) == ()
    assert list_configs(at.view, Filters(names=("conf",))) == ()
