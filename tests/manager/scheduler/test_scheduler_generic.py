"""Generic resources: counted and named ones, whose units are never given twice nor in part."""

from hypothesis import given
from hypothesis import strategies as st
from scheduling import Desk, a_node, a_service, a_task, tasks_of

from swarmlab.api import GenericResource, Node, Task, TaskState, format_generic_resources, parse_generic_resources
from swarmlab.manager.scheduler.demand import units
from swarmlab.manager.scheduler.generic import Stock, claims, holdings, joined, stocks


def given_to(desk: Desk, task: str) -> str:
    return format_generic_resources(desk.task(task).assigned_generic_resources)


def named(*names: str) -> tuple[GenericResource, ...]:
    return parse_generic_resources(",".join(f"gpu={name}" for name in names))


def test_counted_units_are_given_as_a_number() -> None:
    web = a_service("web", 3, generic="fpga=2")
    desk = Desk(a_node("n0", generic="fpga=5"), web)
    desk.create(*tasks_of(web, 3))
    assert [given_to(desk, f"web.0{slot}") for slot in (1, 2, 3)] == ["fpga=2", "fpga=2", ""]
    assert desk.pending() == {"web.03": "no suitable node (insufficient resources on 1 node)"}
    assert desk.seen().nodes.generic_free("fpga").tolist() == [1]


def test_named_units_are_given_one_by_one_in_the_order_of_the_report() -> None:
    web = a_service("web", 3, generic="gpu=2")
    desk = Desk([a_node("n0", generic="gpu=u2,gpu=u1,gpu=u3"), a_node("n1", generic="gpu=v1,gpu=v2")], web)
    desk.create(*tasks_of(web, 3))
    assert sorted(given_to(desk, f"web.0{slot}") for slot in (1, 2, 3)) == ["", "gpu=u2,gpu=u1", "gpu=v1,gpu=v2"]
    desk.report("web.01", TaskState.COMPLETE)
    assert given_to(desk, "web.03") == "gpu=u2,gpu=u1"


def test_several_kinds_are_given_together_or_not_at_all() -> None:
    desk = Desk(a_node("n0", generic="gpu=u1,fpga=1"))
    desk.create(a_task("both", generic="fpga=1,gpu=1"), a_task("more", generic="fpga=1,gpu=1"))
    assert given_to(desk, "both") == "fpga=1,gpu=u1"
    assert list(desk.pending()) == ["more"]


def test_two_groups_of_one_round_do_not_get_the_same_unit() -> None:
    first, second = a_service("a", generic="gpu=1"), a_service("b", generic="gpu=1")
    desk = Desk(a_node("n0", generic="gpu=u1,gpu=u2"), [first, second], lead=False)
    desk.create(a_task("ta", first), a_task("tb", second))
    desk.lead()
    assert (given_to(desk, "ta"), given_to(desk, "tb")) == ("gpu=u1", "gpu=u2")


def test_a_node_without_the_kind_has_none_of_it() -> None:
    desk = Desk(a_node("n0"))
    desk.create(a_task("t", generic="gpu=1"))
    assert desk.pending() == {"t": "no suitable node (insufficient resources on 1 node)"}


def test_defect_06_claims_are_read_back_from_the_tasks_when_leadership_begins() -> None:
    """SwarmKit claims anew, in any order: it could take u1 for the task that runs on u2, and give u2 out again."""
    web = a_service("web", generic="gpu=1")
    desk = Desk(a_node("n0", generic="gpu=u1,gpu=u2"), web, lead=False)
    desk.create(a_task("old", web, node="n0", state=TaskState.RUNNING, given=named("u2")), a_task("new", web))
    desk.lead()
    assert given_to(desk, "new") == "gpu=u1"


def test_defect_06_a_partial_claim_is_refused() -> None:
    node = {"gpu": Stock(names=("u1", "u2"))}
    assert claims({"gpu": 2}, node, {"gpu": {"u1": 1}}) is None
    assert claims({"gpu": 1}, node, {"gpu": {"u1": 1}}) == list(named("u2"))
    assert claims({"fpga": 3}, {"fpga": Stock(4)}, {"fpga": {"": 2}}) is None
    assert claims({"other": 1}, node, {}) is None


def test_a_unit_that_the_node_lost_is_nobodys_loss() -> None:
    """What a task holds and the node does not report any more takes nothing from what is left."""
    stock = Stock(names=("u2", "u3"))
    assert stock.free({"u1": 1}) == 2
    assert stock.free({"u2": 1}) == 1


def test_a_changed_form_of_report_counts_held_units_one_for_one() -> None:
    assert Stock(names=("u1", "u2", "u3")).free({"": 2}) == 1
    assert Stock(4).free({"u1": 1, "u2": 1}) == 2


def test_a_lowered_report_may_leave_less_than_nothing() -> None:
    web = a_service("web", 2, generic="fpga=2")
    desk = Desk(a_node("n0", generic="fpga=4"), web)
    desk.create(*tasks_of(web, 2))
    desk.change(Node, "n0", description=a_node("n0", generic="fpga=1").description)
    assert desk.seen().nodes.generic_free("fpga").tolist() == [-3]
    desk.remove(Task, "web.01")
    assert desk.seen().nodes.generic_free("fpga").tolist() == [-1]


def test_what_a_node_reports() -> None:
    node = a_node("n0", generic="gpu=u1,gpu=u2,fpga=3")
    assert stocks(node) == {"fpga": Stock(3), "gpu": Stock(names=("u1", "u2"))}
    assert stocks(Node(id="n1")) == {}
    assert units(parse_generic_resources("gpu=u1,gpu=u2,fpga=3")) == {"fpga": 3, "gpu": 2}


@given(
    st.dictionaries(st.sampled_from(["gpu", "fpga"]), st.integers(1, 4), min_size=1),
    st.sets(st.sampled_from(["u1", "u2", "u3", "u4"])),
    st.integers(0, 5),
    st.lists(st.sampled_from(["u1", "u2", "u3"]), max_size=3),
    st.integers(0, 3),
)
def test_a_claim_is_whole_and_of_what_is_free(
    needs: dict[str, int], names: set[str], amount: int, taken: list[str], counted: int
) -> None:
    node = {"gpu": Stock(names=tuple(sorted(names))), "fpga": Stock(amount)}
    held = {"gpu": dict.fromkeys(taken, 1), "fpga": {"": counted}}
    found = claims(needs, node, held)
    free = {"gpu": len(names - set(taken)), "fpga": amount - counted}
    assert (found is not None) is all(need <= free[kind] for kind, need in needs.items())
    if found is not None:
        assert units(found) == dict(sorted(needs.items()))
        got = holdings(found)
        assert set(got.get("gpu", {})) <= names - set(taken)
        assert joined(held["fpga"], got.get("fpga", {})).get("", 0) <= max(amount, counted)
