"""Networks: what can be asked for, and when one may go."""

import pytest
from asked import Requests, spec, task
from msgspec.structs import replace

from swarmlab.api import (
    AlreadyExists,
    Annotations,
    Driver,
    EndpointSpec,
    Filters,
    Forbidden,
    InvalidSpec,
    IPAMConfig,
    IPAMOptions,
    NameConflict,
    Network,
    NetworkAttachmentConfig,
    NetworkId,
    NetworkSpec,
    NotFound,
    PortConfig,
    Precondition,
    Service,
    ServiceId,
    TaskSpec,
    TaskState,
)
from swarmlab.manager.controlapi import create_network, get_network, list_networks, remove_network


def network(name: str = "back", labels: dict[str, str] | None = None, **more: object) -> NetworkSpec:
    pool = more.pop("pool", None)
    ipam = more.pop("ipam", IPAMOptions(configs=(pool,)) if pool else None)
    return NetworkSpec(annotations=Annotations(name, labels or {}), ipam=ipam, **more)


def pool(**parts: object) -> IPAMConfig:
    return IPAMConfig(**parts)


@pytest.mark.parametrize(
    "wish",
    [
        network(),
        network(driver_config=Driver("overlay")),
        network(driver_config=Driver("host")),
        network(pool=pool(subnet="10.1.0.0/16", range="10.1.2.0/24", gateway="10.1.0.1", reserved={"a": "10.1.0.9"})),
        network(pool=pool(subnet="fd00::/64", gateway="fd00::1")),
        network(ipam=IPAMOptions(driver=Driver("default"))),
        network(ingress=True),
    ],
)
def test_good_networks_are_taken(at: Requests, wish: NetworkSpec) -> None:
    answer = at.commit(create_network(at.view, wish, at.ids))
    assert get_network(at.view, answer.id).spec == wish


@pytest.mark.parametrize(
    ("wish", "about"),
    [
        (network("a b"), "name"),
        (network(driver_config=Driver("carrier-pigeon")), "network driver 'carrier-pigeon' is not supported"),
        (network(ipam=IPAMOptions(driver=Driver("mine"))), "IPAM driver 'mine' is not supported"),
        (network(pool=pool(subnet="10.0.0.0/40")), "invalid subnet '10.0.0.0/40'"),
        (network(pool=pool(subnet="10.0.0.0/16", range="x")), "invalid ip range 'x'"),
        (network(pool=pool(subnet="10.0.0.0/16", range="10.1.0.0/24")), "ip range 10.1.0.0/24 is not in subnet"),
        (network(pool=pool(subnet="10.0.0.0/16", range="fd00::/64")), "ip range fd00::/64 is not in subnet"),
        (network(pool=pool(gateway="here")), "invalid gateway 'here'"),
        (network(pool=pool(subnet="10.0.0.0/16", gateway="10.1.0.1")), "gateway 10.1.0.1 is not in subnet"),
        (network(pool=pool(reserved={"a": "b"})), "invalid auxiliary address a 'b'"),
        (network(ingress=True, attachable=True), "attachable"),
        (network(pool=pool(subnet="10.1.0.0/30")), "subnet 10.1.0.0/30 is too small, wanted: /29 or shorter"),
        (network(ipam=IPAMOptions(driver=Driver("null"))), "IPAM driver 'null' gives no addresses"),
    ],
)
def test_bad_networks_are_refused(at: Requests, wish: NetworkSpec, about: str) -> None:
    with pytest.raises(InvalidSpec, match=about):
        create_network(at.view, wish, at.ids)


def test_the_label_of_predefined_networks_is_not_for_users(at: Requests) -> None:
    with pytest.raises(Forbidden, match="predefined"):
        create_network(at.view, network(labels={"com.docker.swarm.predefined": ""}), at.ids)


def test_there_is_one_ingress_network(at: Requests) -> None:
    first = at.commit(create_network(at.view, network("ingress", {"com.docker.swarm.internal": "true"}), at.ids))
    with pytest.raises(AlreadyExists, match=rf"ingress network \({first.id}\) is already present"):
        create_network(at.view, network("second", ingress=True), at.ids)
    with pytest.raises(NameConflict):
        create_network(at.view, network("Ingress"), at.ids)


def test_lists_are_narrowed(at: Requests) -> None:
    at.commit(create_network(at.view, network("back", {"tier": "1"}), at.ids))
    at.commit(create_network(at.view, network("front"), at.ids))
    names = [found.spec.annotations.name for found in list_networks(at.view, Filters(labels={"tier": ""}))]
    assert names == ["back"]
    assert len(list_networks(at.view)) == 2


def test_a_network_in_use_stays(at: Requests) -> None:
    attached = (NetworkAttachmentConfig(target="n1"),)
    at.put(
        Network(id=NetworkId("n1"), spec=network("back")),
        Service(id=ServiceId("s1"), spec=spec("web", task=TaskSpec(networks=attached))),
    )
    with pytest.raises(Precondition, match="network n1 is in use by service s1"):
        remove_network(at.view, NetworkId("n1"))


def test_a_network_of_a_running_task_stays_and_of_an_ended_one_goes(at: Requests) -> None:
    attached = TaskSpec(networks=(NetworkAttachmentConfig(target="n1"),))
    ended = task("t1", state=TaskState.FAILED, spec=attached)
    at.put(Network(id=NetworkId("n1"), spec=network("back")), ended)
    at.put(replace(ended, id="t2", status=task("t2").status))
    with pytest.raises(Precondition, match="network n1 is in use by task t2"):
        remove_network(at.view, NetworkId("n1"))


def test_a_free_network_goes(at: Requests) -> None:
    answer = at.commit(create_network(at.view, network(), at.ids))
    at.commit(remove_network(at.view, answer.id))
    with pytest.raises(NotFound, match=f"network {answer.id} not found"):
        get_network(at.view, answer.id)


def test_predefined_networks_stay(at: Requests) -> None:
    at.put(Network(id=NetworkId("n1"), spec=network("host", {"com.docker.swarm.predefined": "true"})))
    with pytest.raises(Precondition, match="predefined"):
        remove_network(at.view, NetworkId("n1"))


def test_the_ingress_network_stays_while_a_service_publishes_through_it(at: Requests) -> None:
    answer = at.commit(create_network(at.view, network("mesh", ingress=True), at.ids))
    wish = spec("web", endpoint=EndpointSpec(ports=(PortConfig(target_port=80),)))
    at.put(Service(id=ServiceId("s1"), spec=wish))
    with pytest.raises(Precondition, match=r"service s1 \(web\) depends on it"):
        remove_network(at.view, answer.id)
    at.put(Network(id=NetworkId("other"), spec=network("other")))
    at.commit(remove_network(at.view, NetworkId("other")))


@pytest.mark.parametrize("name", ["host", "bridge", "none"])
def test_names_of_networks_that_each_node_has_are_taken(at: Requests, name: str) -> None:
    with pytest.raises(NameConflict, match=f"network {name} is one that each node has"):
        create_network(at.view, network(name), at.ids)


def test_a_subnet_of_another_network_is_refused(at: Requests) -> None:
    other = network("back", pool=pool(subnet="10.1.0.0/16"))
    at.put(Network(id=NetworkId("n1"), spec=other, ipam=IPAMOptions(configs=(pool(subnet="10.1.0.0/16"),))))
    with pytest.raises(Precondition, match=r"10\.1\.7\.0/24 overlaps with 10\.1\.0\.0/16 of network back \(n1\)"):
        create_network(at.view, network("front", pool=pool(subnet="10.1.7.0/24")), at.ids)
    at.commit(create_network(at.view, network("front", pool=pool(subnet="10.2.0.0/24")), at.ids))


def test_a_network_that_a_service_names_stays(at: Requests) -> None:
    attached = (NetworkAttachmentConfig(target="back"),)
    at.put(
        Network(id=NetworkId("n1"), spec=network("back")),
        Service(id=ServiceId("s1"), spec=spec("web", task=TaskSpec(networks=attached))),
    )
    with pytest.raises(Precondition, match="network n1 is in use by service s1"):
        remove_network(at.view, NetworkId("n1"))
