"""Scenario files: what they say, and where a bad one is wrong."""

from pathlib import Path

import pytest

from swarmlab.api import InvalidSpec, RestartCondition, seconds
from swarmlab.sim import TaskModel, load_scenario, run_scenario
from swarmlab.sim.chance import Spread

GOOD = """
description: One node, one service.
nodes: [{name: w, count: 2}]
services:
  web: {replicas: 2}
events:
  - {at: 10s, stop: w1}
until: 20s
"""


def _written(folder: Path, text: str) -> Path:
    path = folder / "story.yml"
    path.write_text(text)
    return path


def _refusal(folder: Path, text: str) -> str:
    """Why that text is no scenario, without the name of the file, which must be there."""
    path = _written(folder, text)
    with pytest.raises(InvalidSpec) as refusal:
        load_scenario(path)
    message = str(refusal.value)
    assert message.startswith(f"scenario {path}: ")
    return message.removeprefix(f"scenario {path}: ")


def test_a_scenario_is_read_with_its_defaults(tmp_path: Path) -> None:
    scenario = load_scenario(_written(tmp_path, GOOD))
    assert [name for node in scenario.nodes for name in node.names()] == ["w1", "w2"]
    assert scenario.events[0].actions() == ("stop",)
    spec = scenario.services["web"].spec("web")
    assert spec.replicated is not None
    assert spec.replicated.replicas == 2
    assert spec.task.restart is not None
    assert spec.task.restart.condition is RestartCondition.ANY
    assert (scenario.strategies, scenario.heartbeat, scenario.history) == (("spread",), "5s", 5)


def test_models_of_tasks_are_those_of_the_service_and_its_image(tmp_path: Path) -> None:
    text = GOOD.replace("{replicas: 2}", "{image: 'web:1', tasks: {run: 3s~0.2, exit-code: 4}}").replace(
        "stop: w1", "update: {web: {image: 'web:2', tasks: {start-fails: 0.5}}}"
    )
    model = load_scenario(_written(tmp_path, text)).executor()
    assert sorted(model.versions) == [("web", "web:1"), ("web", "web:2")]
    assert model.versions["web", "web:1"].run == Spread(median=seconds(3), sigma=0.2)
    assert model.versions["web", "web:1"].exit_code == 4
    assert model.versions["web", "web:2"].start_fails == 0.5
    assert model.default == TaskModel()


def test_on_is_a_word(tmp_path: Path) -> None:
    """YAML 1.1 takes the key `on` for true."""
    scenario = load_scenario(_written(tmp_path, GOOD.replace("stop: w1", "expect: {on: {web: {w1: 1}}}")))
    assert scenario.events[0].expect is not None
    assert scenario.events[0].expect.on == {"web": {"w1": 1}}


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.yml"
    with pytest.raises(InvalidSpec, match="No such file or directory") as refusal:
        load_scenario(path)
    assert str(path) in str(refusal.value)


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="Is a directory"):
        load_scenario(tmp_path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "story.yml"
    path.write_bytes(b"description: \xff\xfe\n")
    with pytest.raises(InvalidSpec, match="not YAML"):
        load_scenario(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("events: [\n", "not YAML: while parsing a flow node"),
        ("a: 1\na: 2\n", "not YAML: 'a' stands there twice\n"),
        ("? [a]\n: 1\n", "not YAML: a key is a word\n"),
        ("", "Expected `object`, got `null`"),
        ("- a\n", "Expected `object`, got `array`"),
        ("description: x\n", "Object missing required field `until`"),
    ],
)
def test_what_is_no_document(tmp_path: Path, text: str, message: str) -> None:
    assert _refusal(tmp_path, text).startswith(message)


def test_yaml_errors_name_the_line(tmp_path: Path) -> None:
    assert "line 3, column 1" in _refusal(tmp_path, "a: 1\nb: 2\na: 3\n")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("until", "util", "Object contains unknown field `util`"),
        ("replicas: 2", "replica: 2", "Object contains unknown field `replica` - at `$.services[...]`"),
        ("replicas: 2", "replicas: two", "Expected `int`, got `str` - at `$.services[...].replicas`"),
        ("at: 10s, ", "", "Object missing required field `at` - at `$.events[0]`"),
        ("at: 10s", "at: 10", "Expected `str`, got `int` - at `$.events[0].at`"),
        ("until: 20s", "until: 20", "Expected `str`, got `int` - at `$.until`"),
        ("stop: w1", "stop: w1, start: w2", "events[0]: at 10s: wanted exactly one action, found stop, start"),
        (", stop: w1", "", "events[0]: at 10s: wanted exactly one action, found none"),
        ("at: 10s", "at: 10x", "events[0].at: '10x', wanted: a span such as 1h30m, 10s or 500ms"),
        ("at: 10s", "at: -1s", "events[0].at: '-1s', wanted 0 or more"),
        ("at: 10s", "at: 21s", "events[0].at: '21s' is after the end, which is at 20s"),
        ("until: 20s", "until: soon", "until: 'soon', wanted: a span such as 1h30m, 10s or 500ms"),
        ("until: 20s", "until: 20s\nheartbeat: x", "heartbeat: 'x', wanted: a span such as 1h30m, 10s or 500ms"),
        ("until: 20s", "until: 20s\nsettle: -1s", "settle: '-1s', wanted 0 or more"),
        ("until: 20s", "until: 20s\nhistory: -1", "history: -1, wanted 0 or more"),
        (
            "until: 20s",
            "until: 20s\ndelay: 1ms~x",
            "delay: span '1ms~x': wanted a duration, or one with its sigma such as 200ms~0.5",
        ),
        ("until: 20s", "until: 20s\nbreaks: 2", "breaks: 2.0, wanted a probability, 0 to 1"),
        ("until: 20s", "until: 20s\nstrategies: []", "strategies: wanted at least one"),
        (
            "until: 20s",
            "until: 20s\ntasks: {run: long}",
            "tasks: span 'long': wanted a duration, or one with its sigma such as 200ms~0.5",
        ),
        (
            "replicas: 2",
            "tasks: {start-fails: -1}",
            "services.web: start-fails -1.0: wanted a probability, 0 to 1",
        ),
        ("count: 2", "count: 0", "nodes[0]: count 0, wanted 1 or more"),
        ("[{name: w, count: 2}]", "[{name: a}, {name: a}]", "nodes[1]: two nodes named 'a'"),
        ("count: 2", "memory: much", "nodes[0]: 'much', wanted: a size such as 512M or 1GiB"),
        ("count: 2", "generic: gpu", "nodes[0]: 'gpu', wanted: KIND=NUMBER or KIND=NAME,KIND=NAME"),
        ("count: 2", "cpus: -1", "nodes[0]: '-1.0', wanted: a number of CPUs such as 2 or 0.5"),
        ("stop: w1", "join: {name: w1}", "events[0].join: two nodes named 'w1'"),
        ("stop: w1", "stop: w3", "events[0].stop: node 'w3' is not known; there are w1, w2"),
        ("stop: w1", "label: {x: {a: b}}", "events[0].label: node 'x' is not known; there are w1, w2"),
        ("stop: w1", "memory: {w1: big}", "events[0].memory.w1: 'big', wanted: a size such as 512M or 1GiB"),
        ("stop: w1", "flap: w1, times: 0", "events[0].times: 0, wanted 1 or more"),
        ("stop: w1", "flap: w1, every: 0s", "events[0].every: '0s', wanted more than 0"),
        ("stop: w1", "scale: {api: 3}", "events[0].scale: service 'api' is not known; there are web"),
        ("stop: w1", "remove: api", "events[0].remove: service 'api' is not known; there are web"),
        (
            "replicas: 2",
            "mode: daemon",
            "services.web: mode 'daemon' of service web: wanted one of replicated, global, replicated-job, global-job",
        ),
        (
            "replicas: 2",
            "restart: {condition: maybe}",
            "services.web: condition 'maybe': wanted one of none, on-failure, any",
        ),
        (
            "replicas: 2",
            "update: {order: both}",
            "services.web: order 'both': wanted one of stop-first, start-first",
        ),
        ("stop: w1", "expect: {}", "events[0].expect: nothing is expected"),
        ("stop: w1", "expect: {strategies: [spread]}", "events[0].expect: nothing is expected"),
        (
            "stop: w1",
            "expect: {strategies: [sprad], moves: 0}",
            "events[0].expect.strategies: strategy of this scenario 'sprad' is not known; there are spread",
        ),
        (
            "stop: w1",
            "expect: {running: {wep: 2}}",
            "events[0].expect.running: service 'wep' is not known; there are web",
        ),
        (
            "stop: w1",
            "expect: {tasks: {web: {v1: 2}}}",
            "events[0].expect.tasks.web: node 'v1' is not known; there are w1, w2",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    assert _refusal(tmp_path, GOOD.replace(old, new)) == message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("web: {", "web!: {", "services.web!: name: 'web!', wanted: 1 to 63 of"),
        ("replicas: 2", "replicas: -1", "services.web: replicated.replicas: -1, wanted"),
        ("replicas: 2", "constraints: [disk]", "services.web: "),
        ("stop: w1", "expect: {update: {web: done}}", "events[0].expect.update.web: state 'done': wanted one of"),
    ],
)
def test_what_the_cluster_would_refuse_is_refused_before_the_run(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert _refusal(tmp_path, GOOD.replace(old, new)).startswith(message)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("start: w1", "event at 10s: worker w1 runs already"),
        ("deploy: {web: {}}", "event at 10s: name conflicts with an existing object: service web"),
        ("rollback: web", "event at 10s: service "),
        ("heal: w1", ""),
    ],
)
def test_an_event_that_cannot_happen_is_named(tmp_path: Path, event: str, message: str) -> None:
    path = _written(tmp_path, GOOD.replace("stop: w1", event))
    if not message:
        assert run_scenario(path).failures == ()
        return
    with pytest.raises(InvalidSpec) as refusal:
        run_scenario(path)
    assert str(refusal.value).startswith(f"scenario {path}: {message}")
