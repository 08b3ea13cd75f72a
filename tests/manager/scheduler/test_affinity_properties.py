"""Terms under chance: the columns say what a judge says that looks at one node and one task after the other."""

from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scheduling import Desk, a_node, a_service, a_task

from swarmlab.api import Node, Service, Task, TaskState
from swarmlab.manager.constraint import Constraints, attribute
from swarmlab.plugin import Host, Term, parse_term
from swarmlab.store import Snapshot

HOSTS = {name: Host.load(name, ["affinity"], strict=True) for name in ("spread", "binpack", "random")}
NAMES = ("a", "b", "c")
DOMAINS = ("node", "rack", "zone")

wishes = st.one_of(
    st.builds(
        "{}!={} domain={}{}".format,
        st.sampled_from(["service", "service.labels.tier"]),
        st.sampled_from([*NAMES, "self", "nobody"]),
        st.sampled_from(DOMAINS),
        st.sampled_from(["", " max=1", " max=2"]),
    ),
    st.builds(
        "{}=={} domain={}".format,
        st.sampled_from(["service", "service.labels.tier"]),
        st.sampled_from([*NAMES, "self"]),
        st.sampled_from(DOMAINS),
    ),
    st.builds("node.labels.rack{}{}".format, st.sampled_from(["==", "!="]), st.sampled_from(["r0", "r1", "r9"])),
)
terms = st.one_of(
    wishes,
    wishes.map(lambda wish: f"{wish} else any"),
    st.builds("{} else {}".format, wishes, wishes),
    wishes.map(lambda wish: f"{wish} weight=3"),
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Node], list[Service]]:
    nodes = [
        a_node(f"n{number}", labels={"rack": draw(st.sampled_from(["r0", "r1", "r2"])), "zone": f"z{number % 2}"})
        for number in range(draw(st.integers(1, 5)))
    ]
    services = []
    for name in NAMES:
        labels = {"tier": draw(st.sampled_from(NAMES))}
        for number, term in enumerate(draw(st.lists(terms, max_size=2))):
            labels[f"swarmlab.affinity.{number}"] = term
        services.append(a_service(name, 9, labels=labels))
    return nodes, services


# The judge


class Judge:
    """Looks at a store, object by object."""

    def __init__(self, view: Snapshot) -> None:
        self.services = view.services()
        self.nodes = view.nodes()
        self.on = [
            (task, node)
            for node in self.nodes
            for task in view.tasks_on(node.id)
            if TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING
        ]

    def terms(self, service: Service) -> list[Term]:
        labels = service.spec.annotations.labels
        return [parse_term(labels[key]) for key in sorted(labels) if key.startswith("swarmlab.affinity.")]

    def means(self, term: Term, owner: Service, service: Service) -> bool:
        if term.label[0]:
            return service.spec.annotations.labels[term.label[0]] == term.label[1]
        return service.id == (owner.id if term.service == "self" else term.service)

    def beside(self, term: Term, owner: Service, place: Node) -> list[Task]:
        """Tasks that the term means, in the place of that node."""
        key = term.domain
        return [
            task
            for task, node in self.on
            if attribute(node, key) == attribute(place, key)
            and any(self.means(term, owner, service) for service in self.services if service.id == task.service_id)
        ]

    def allowed(self, term: Term, owner: Service) -> int:
        return term.most or int(self.means(term, owner, owner))

    def holds(self, term: Term, service: Service, node: Node) -> bool:
        """Whether one task more of the service may come, as far as one choice of its own is concerned."""
        if not term.is_about_tasks:
            return not term.node or Constraints.parse((term.node,)).match(node)
        count = len(self.beside(term, service, node))
        itself = self.means(term, service, service)
        if term.avoid:
            return count + itself <= self.allowed(term, service)
        anywhere = any(self.beside(term, service, other) for other in self.nodes)
        return count > 0 or (itself and not anywhere)

    def refuses(self, service: Service, node: Node) -> bool:
        for term in self.terms(service):
            if term.hard and not any(self.holds(choice, service, node) for choice in (term, *term.otherwise)):
                return True
        for owner in self.services:
            for term in self.terms(owner):
                binds = term.hard and term.avoid and term.is_about_tasks and not term.otherwise
                if not binds or owner.id == service.id or not self.means(term, owner, service):
                    continue
                here = [
                    task
                    for task, place in self.on
                    if task.service_id == owner.id and attribute(place, term.domain) == attribute(node, term.domain)
                ]
                if here and len(self.beside(term, owner, node)) + 1 > self.allowed(term, owner):
                    return True
        return False

    def broken(self) -> list[str]:
        """What is too near, of all that keep apart."""
        found = []
        for owner in self.services:
            for term in self.terms(owner):
                if not (term.hard and term.avoid and term.is_about_tasks and not term.otherwise):
                    continue
                for task, node in self.on:
                    count = len(self.beside(term, owner, node))
                    if task.service_id == owner.id and count > self.allowed(term, owner):
                        found.append(f"{task.id} on {node.id}: {count} under {term}")
        return found


def steps() -> st.SearchStrategy[list[tuple[str, int]]]:
    return st.lists(st.tuples(st.sampled_from([*NAMES, "end"]), st.integers(1, 5)), max_size=8)


def played(desk: Desk, services: Sequence[Service], history: Sequence[tuple[str, int]]) -> None:
    """Let tasks come and go."""
    by_name = {str(service.id): service for service in services}
    made = 0
    for word, count in history:
        if word == "end":
            there = [task for task in desk.view.tasks() if task.status.state == TaskState.ASSIGNED]
            for task in there[:count]:
                desk.report(task.id, TaskState.FAILED)
            continue
        desk.create(*(a_task(f"t{made + number:03}", by_name[word]) for number in range(count)))
        made += count


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds(), steps(), st.sampled_from(sorted(HOSTS)))
def test_no_placement_breaks_a_hard_term(
    world: tuple[list[Node], list[Service]], history: list[tuple[str, int]], strategy: str
) -> None:
    """Nor puts more than its most into a place, however tasks come and go and in whatever numbers."""
    nodes, services = world
    desk = Desk(nodes, services, host=HOSTS[strategy])
    played(desk, services, history)
    assert Judge(desk.view).broken() == []
    too_near = [one for one in desk.scheduler.violations(desk.view, desk.now) if "at most" in one.reason]
    assert too_near == []


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds(), steps())
def test_the_columns_say_what_the_judge_says(
    world: tuple[list[Node], list[Service]], history: list[tuple[str, int]]
) -> None:
    """For one task more of each service, and each node: refused or not; and only the best choice has room."""
    nodes, services = world
    desk = Desk(nodes, services, host=HOSTS["spread"])
    played(desk, services, history)
    judge, view = Judge(desk.view), desk.seen()
    for service in services:
        refused = [judge.refuses(service, node) for node in judge.nodes]
        group = view.group_of(service.id)
        seen = [any(bool(one.mask[at]) for one in view.refusals(group)) for at in range(len(nodes))]
        assert seen == refused, service
        room = [not no for no in refused]
        for term in judge.terms(service):
            if term.hard and term.otherwise:
                chain = (term, *term.otherwise)
                ranks = [
                    next((rank for rank, one in enumerate(chain) if judge.holds(one, service, node)), len(chain))
                    for node in judge.nodes
                ]
                best = min((rank for rank, open_ in zip(ranks, room, strict=True) if open_), default=0)
                room = [open_ and rank == best for rank, open_ in zip(ranks, room, strict=True)]
        assert [bool(count) for count in view.capacity(group)] == room, service
