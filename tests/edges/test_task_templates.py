"""Templates are expanded as a stock swarm does it, and what is not supported is said."""

import pytest

from swarmlab.api import Annotations, ExecutorError, NodeId, Platform, ServiceId, Task, TaskId
from swarmlab.edges.template import context, expand

TASK = Task(
    id=TaskId("t1"),
    slot=3,
    node_id=NodeId("n1"),
    service_id=ServiceId("s1"),
    service_annotations=Annotations("web", {"tier": "front", "a.b/c": "odd"}),
)
DATA = context(TASK, "host1", Platform("x86_64", "linux"))


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("", ""),
        ("}} alone", "}} alone"),
        ("{{.Service.ID}} {{.Service.Name}}", "s1 web"),
        ("{{.Task.ID}}/{{.Task.Name}}/{{.Task.Slot}}", "t1/web.3.t1/3"),
        ("{{.Node.ID}} {{ .Node.Hostname }}", "n1 host1"),
        ("{{.Node.Platform.OS}}-{{.Node.Platform.Architecture}}", "linux-x86_64"),
        ("{{.Service.Labels.tier}}", "front"),
        ('{{index .Service.Labels "a.b/c"}}', "odd"),
        ('{{join "-" .Service.Name .Task.Slot "x"}}', "web-3-x"),
        ('{{join "," (index .Service.Labels "tier") (join "" "a" "b")}}', "front,ab"),
        ('{{"a \\"quoted\\" text\\n"}}{{`raw\\n`}}', 'a "quoted" text\nraw\\n'),
        ("a  {{- .Task.Slot -}}  b", "a3b"),
        ("a\n{{.Task.Slot}}\n", "a\n3\n"),
    ],
)
def test_values(text: str, expanded: str) -> None:
    assert expand(text, DATA, "env X") == expanded


def test_the_slot_of_a_global_task_is_its_node() -> None:
    task = Task(id=TaskId("t1"), node_id=NodeId("n1"), service_annotations=Annotations("web"))
    data = context(task, "host1", Platform())
    assert expand("{{.Task.Slot}} {{.Task.Name}}", data, "x") == "n1 web.n1.t1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{.Sevice.Name}}", "no 'Sevice' in .Sevice.Name; there is: Node, Service, Task"),
        ("{{.Service.Labels.gone}}", "no 'gone' in .Service.Labels.gone; there is: a.b/c, tier"),
        ("{{.Task.ID.More}}", "no 'More' in .Task.ID.More; there is: a text"),
        ("{{.Service.Labels}}", "a map, wanted: one of its values"),
        ("{{.Service", "'{{' without '}}'"),
        ("{{}}", "nothing in it"),
        ("{{if .Task.Slot}}x{{end}}", "if with 1 arguments; known are: index, join"),
        ("{{.Task.Slot | printf}}", "'|' is not supported here"),
        ("{{join (.Task.ID}}", "'(' without ')'"),
        ("{{join .Service.Labels}}", "join of a map"),
        ("{{index}}", "index with 0 arguments; known are: index, join"),
        ("{{join join}}", "'join' is not supported here"),
        ("{{join (}}", "nothing in it"),
    ],
)
def test_mistakes_name_the_field_and_what_is_there(text: str, message: str) -> None:
    with pytest.raises(ExecutorError) as caught:
        expand(text, DATA, "env X")
    assert str(caught.value).startswith("env X: template ")
    assert message in str(caught.value)
    assert not caught.value.temporary


def test_functions_are_there_where_they_are_given() -> None:
    functions = {"env": {"A": "1"}.__getitem__}
    assert expand('{{env "A"}}', DATA, "config c", functions) == "1"
    with pytest.raises(ExecutorError, match="env with 1 arguments"):
        expand('{{env "A"}}', DATA, "env X")
