"""What a snapshot gives, and that it never changes."""

import random
from itertools import pairwise

import pytest
from store_builders import a_service, a_task, a_view, contents, create, delete, named, replace, taken, update

from swarmlab.api import KINDS, Cluster, Config, Network, Node, Secret, Service, Task, Volume
from swarmlab.store import EMPTY
from swarmlab.store.table import FLAT


def ids(objects):
    return [obj.id for obj in objects]


def test_each_kind_by_its_id():
    view = a_view(
        named(Node, "n", "host"),
        a_service("s"),
        a_task("t"),
        named(Network, "w", "net"),
        named(Secret, "x", "key"),
        named(Config, "c", "conf"),
        named(Volume, "v", "vol"),
    )
    for kind, one, every in (
        (Node, view.node("n"), view.nodes()),
        (Service, view.service("s"), view.services()),
        (Task, view.task("t"), view.tasks()),
        (Network, view.network("w"), view.networks()),
        (Secret, view.secret("x"), view.secrets()),
        (Config, view.config("c"), view.configs()),
        (Volume, view.volume("v"), view.volumes()),
    ):
        assert isinstance(one, kind)
        assert every == (one,) == view.all(kind)
        assert view.get(kind, one.id) is one
    assert view.get(Task, "s") is None
    assert view.task("missing") is None


def test_the_cluster_is_the_one_named_default():
    assert EMPTY.cluster() is None
    assert a_view(named(Cluster, "c1", "other"), named(Cluster, "c2", "default")).cluster().id == "c2"


def test_lists_are_sorted_by_id_and_kept():
    view = a_view(*(a_task(f"t{number}") for number in (5, 3, 9, 1)))
    assert ids(view.tasks()) == ["t1", "t3", "t5", "t9"]
    assert view.tasks() is view.tasks()
    assert view.count(Task) == 4


def test_tasks_by_service_node_and_slot():
    view = a_view(
        a_task("t3", "web", 1, "n1"),
        a_task("t1", "web", 1),
        a_task("t2", "web", 2, "n2"),
        a_task("t4", "agent", 0, "n1"),
        a_task("t5", "agent", 0, "n2"),
        a_task("t6"),
    )
    assert ids(view.tasks_of("web")) == ["t1", "t2", "t3"]
    assert ids(view.tasks_in("web", 1)) == ["t1", "t3"]
    assert ids(view.tasks_in("agent", 0)) == ["t4", "t5"]
    assert ids(view.tasks_on("n1")) == ["t3", "t4"]
    assert view.tasks_of("") == view.tasks_on("") == view.tasks_in("", 0) == view.tasks_of("none") == ()
    moved = taken(view, [*update(replace(view.task("t3"), node_id="n2", slot=2)), *delete(view.task("t4"))])
    assert ids(moved.tasks_on("n2")) == ["t2", "t3", "t5"]
    assert moved.tasks_on("n1") == ()
    assert ids(moved.tasks_in("web", 1)) == ["t1"]
    assert ids(moved.tasks_in("web", 2)) == ["t2", "t3"]
    assert ids(moved.tasks_of("agent")) == ["t5"]
    handed = taken(moved, update(replace(moved.task("t1"), service_id="agent", slot=0)))
    assert ids(handed.tasks_of("web")) == ["t2", "t3"]
    assert ids(handed.tasks_in("agent", 0)) == ["t1", "t5"]


def test_nodes_by_host_name():
    view = a_view(named(Node, "n2", "Alpha"), named(Node, "n1", "alpha"), named(Node, "n3", ""))
    assert ids(view.nodes_called("ALPHA")) == ["n1", "n2"]
    assert view.nodes_called("") == ()
    renamed = taken(view, update(replace(named(Node, "n1", "beta"), meta=view.node("n1").meta)))
    assert ids(renamed.nodes_called("alpha")) == ["n2"]
    assert ids(renamed.nodes_called("beta")) == ["n1"]
    assert taken(renamed, delete(renamed.node("n2"))).by_name(Node, "alpha") is None


def test_by_name_of_a_task_is_its_display_name():
    view = a_view(a_task("t1", "web", 3), named(Task, "t2", "own"))
    assert view.by_name(Task, ".3.T1").id == "t1"
    assert view.by_name(Task, "OWN").id == "t2"
    assert view.by_name(Task, "other") is None


@pytest.mark.parametrize("seed", range(5))
def test_buckets_of_any_size_equal_a_scan(seed):
    """Buckets turn from flat to hashed and back as they grow and shrink, in steps of any size."""
    rng = random.Random(seed)
    view = EMPTY
    forms = []
    for step in range(60):
        present = list(view.tasks())
        gone = rng.sample(present, min(len(present), rng.choice([0, 1, 3, FLAT, 3 * FLAT])))
        new = [
            a_task(
                f"{rng.randrange(10**6):06}-{step}-{place}",
                rng.choice(["web", "db"]),
                rng.randrange(2),
                rng.choice(["n1", "n2", ""]),
            )
            for place in range(rng.choice([0, 1, 2, FLAT]))
        ]
        kept = [task for task in present if task not in gone]
        moved = [replace(task, node_id=rng.choice(["n1", "n2", ""])) for task in rng.sample(kept, min(len(kept), 5))]
        view = taken(view, [*delete(*gone), *create(*new), *update(*moved)])
        tasks = view.tasks()
        for service in ("web", "db"):
            assert view.tasks_of(service) == tuple(task for task in tasks if task.service_id == service)
            for slot in range(2):
                assert view.tasks_in(service, slot) == tuple(
                    task for task in tasks if (task.service_id, task.slot) == (service, slot)
                )
        for node in ("n1", "n2"):
            assert view.tasks_on(node) == tuple(task for task in tasks if task.node_id == node)
        forms.append(type(view.indexes()[0].get("web", ())))
    turns = sum(before is not after for before, after in pairwise(forms))
    assert turns >= 2, "the walk should make a bucket grow over the border and shrink again"


def test_old_snapshots_never_change():
    view = a_view(a_service("s1"), a_task("t1", "s1", 1, "n1"))
    before = contents(view)
    later = taken(view, [*delete(a_service("s1")), *update(replace(view.task("t1"), node_id="n2"))])
    later = taken(later, delete(a_task("t1")))
    view.forget(later)
    assert contents(view) == before
    assert ids(view.tasks_on("n1")) == ["t1"]
    assert view.tasks_on("n2") == ()
    assert view.by_name(Service, "s1").id == "s1"
    assert contents(later) == contents(EMPTY)


def test_a_snapshot_describes_itself():
    assert repr(EMPTY) == "Snapshot(version=0, empty)"
    assert repr(a_view(a_task("t1"), a_task("t2"))) == "Snapshot(version=1, 2 tasks)"


def test_the_order_of_a_list_does_not_depend_on_the_order_of_creation():
    tasks = [a_task(f"t{number:03}", "s", number % 3) for number in range(200)]
    shuffled = random.Random(4).sample(tasks, len(tasks))
    assert contents(a_view(*tasks)) == contents(a_view(*shuffled))
    assert a_view(*tasks).tasks_of("s") == a_view(*shuffled).tasks_of("s")
    assert set(contents(EMPTY)) == set(KINDS)
