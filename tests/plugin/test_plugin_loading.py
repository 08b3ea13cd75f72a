"""Finding strategies and plugins by name or by file, and what is said when that fails."""

import importlib.metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from swarmlab.plugin import API, Catalog, Host, PluginError, Strategy, UnknownPlugin, hookimpl
from swarmlab.plugin.loading import installed, offered

GOOD = '''
from swarmlab.plugin import Option, Refusals, Strategy, hookimpl

class Mine(Strategy):
    """Does it my way.

    More words.
    """

    name = "mine"

    def __init__(self, price: float = 1.5, calm: bool = True, label: str = "zone", most: int = 3):
        self.price, self.calm, self.label, self.most = price, calm, label, most

class Other(Strategy):
    name = "other"

    def rebalance(self, view, trigger):
        return super().rebalance(view, trigger)

class Plug:
    @hookimpl
    def swarmlab_add_options(self):
        return [Option("size", 3)]

class Bad:
    def __init__(self):
        raise RuntimeError("no")

@hookimpl
def swarmlab_filter(nodes):
    return None
'''


@pytest.fixture
def mine(tmp_path: Path) -> str:
    file = tmp_path / "mine.py"
    file.write_text(GOOD)
    return str(file)


def write(folder: Path, text: str) -> str:
    file = folder / "some.py"
    file.write_text(text)
    return str(file)


SHIPPED = ("balanced", "binpack", "dotproduct", "least-allocated", "optimal", "random", "rebalance", "spread")


def strategy_with(body: str) -> str:
    return f"from swarmlab.plugin import Strategy\nclass Some(Strategy):\n    name = 'some'\n{body}"


def test_a_strategy_of_a_file_with_its_parameters(mine: str) -> None:
    host = Host.load(f"{mine}:Mine", parameters={"price": "2", "calm": "no", "most": 7}, strict=True)
    strategy: Any = host.strategy
    assert (strategy.price, strategy.calm, strategy.label, strategy.most) == (2.0, False, "zone", 7)
    info = {info.name: info for info in host.strategies()}
    assert set(info) == {*SHIPPED, "mine"}
    assert (info["mine"].origin, info["mine"].summary, info["mine"].active) == (mine, "Does it my way.", True)
    assert info["mine"].parameters == {"price": "1.5", "calm": "True", "label": "zone", "most": "3"}
    assert (info["mine"].rebalances, info["rebalance"].rebalances, info["spread"].active) == (False, True, False)


def test_a_file_with_one_strategy_needs_no_class(tmp_path: Path) -> None:
    assert Host.load(write(tmp_path, strategy_with(""))).strategy.name == "some"


def test_a_plugin_of_a_file_as_a_module_or_as_a_class(mine: str) -> None:
    assert Host.load("spread", [mine]).plugins == ("mine",)
    host = Host.load("spread", [f"{mine}:Plug"], {"Plug.size": 4}, strict=True)
    assert (host.plugins, host.options) == (("Plug",), {"Plug.size": 4})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("spraed", "spraed: there is no strategy of that name; did you mean spread? There are: balanced, binpack"),
        ("zzz", "zzz: there is no strategy of that name. There are: balanced, binpack, dotproduct"),
        ("", ": there is no strategy of that name. There are"),
        ("{mine}:Mien", "the file has no Mien; did you mean Mine?"),
        ("{mine}:Nothing", "{mine}:Nothing: the file has no Nothing"),
    ],
)
def test_an_unknown_name_comes_with_near_ones(spec: str, message: str, mine: str) -> None:
    with pytest.raises(UnknownPlugin) as caught:
        Host.load(spec.replace("{mine}", mine))
    assert message.replace("{mine}", mine) in str(caught.value)


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        ("afinity", "afinity: there is no plugin of that name; did you mean affinity? There are: affinity, decisions"),
        ("{mine}:Plugg", "the file has no Plugg; did you mean Plug"),
    ],
)
def test_an_unknown_plugin_comes_with_near_ones(plugin: str, message: str, mine: str) -> None:
    with pytest.raises(UnknownPlugin) as caught:
        Host.load("spread", [plugin.replace("{mine}", mine)])
    assert message in str(caught.value)
    assert caught.value.near


@pytest.mark.parametrize(
    ("text", "suffix", "message"),
    [
        ("import nowhere_to_be_found", "", "raised on import: ModuleNotFoundError: No module named"),
        ("x = 1\n1 / 0", ":Some", "raised on import: ZeroDivisionError: division by zero (some.py, line 2)"),
        ("def f(:\n    pass", ":Some", "raised on import: SyntaxError: invalid syntax (some.py, line 1)"),
        ("class Some: pass", ":Some", "the class Some is no strategy: it does not derive from"),
        ("Some = 3", ":Some", "3 is no strategy"),
        ("x = 1", "", "wanted one strategy in the file, found none; name it"),
        (strategy_with("class Two(Some): name = 'two'\n"), "", "found Some, Two; name it"),
        (strategy_with("    name = ''\n"), ":Some", "has the name '', wanted lower case letters"),
        (strategy_with("    name = 'My Own'\n"), ":Some", "has the name 'My Own'"),
        (
            strategy_with("    name = 'spread'\n"),
            ":Some",
            "its name 'spread' is taken by the strategy of",
        ),
        (strategy_with("    api = (2, 0)\n"), ":Some", "is written for plugin API 2.0, this is 1.0"),
        (strategy_with("    api = (1, 7)\n"), ":Some", "is written for plugin API 1.7"),
        (
            strategy_with("    def place(self, groups): ...\n"),
            ":Some",
            "place: the strategy Some cannot be called",
        ),
        (strategy_with("    async def score(self, group, nodes, view): ...\n"), ":Some", "decides in a coroutine"),
        (strategy_with("    def __init__(self, size): ...\n"), ":Some", "the parameter 'size' of Some has no default"),
        (
            strategy_with("    def __init__(self, size=[]): ...\n"),
            ":Some",
            "whose default is no bool",
        ),
        (
            strategy_with("    def __init__(self): raise RuntimeError('no')\n"),
            ":Some",
            "its constructor raised",
        ),
    ],
)
def test_a_strategy_file_that_is_wrong(text: str, suffix: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(PluginError) as caught:
        Host.load(write(tmp_path, text) + suffix)
    assert message in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path, mine: str) -> None:
    with pytest.raises(PluginError, match=r"there is no such file; did you mean .*mine\.py\?"):
        Host.load(f"{tmp_path}/mien.py:Mine")
    with pytest.raises(PluginError, match=r"there is no such file$"):
        Host.load("./no/such/folder.py:Mine")
    with pytest.raises(PluginError, match=r"there is no such file$"):
        Host.load(f"{tmp_path}/folder/")


def test_a_file_that_is_no_python(tmp_path: Path) -> None:
    (tmp_path / "strategy").write_text("x")
    with pytest.raises(PluginError, match="is not a Python file"):
        Host.load(f"{tmp_path}/strategy")


def test_a_plugin_whose_constructor_raises(mine: str) -> None:
    with pytest.raises(PluginError, match="Bad: its constructor raised RuntimeError: no"):
        Host.load("spread", [f"{mine}:Bad"])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"prize": "2"}, "mine: has no parameter 'prize'; there are: price, calm, label, most"),
        ({"price": "much"}, "mine: the parameter price is 'much', wanted float such as 1.5"),
        ({"price": "nan"}, "the parameter price is 'nan', wanted float"),
        ({"calm": "maybe"}, "the parameter calm is 'maybe', wanted bool such as True"),
        ({"most": "1.5"}, "the parameter most is '1.5', wanted int such as 3"),
        ({"most": True}, "the parameter most is True, wanted int"),
        ({"mine.price": "1"}, "mine: mine.price is set, but that plugin is not in use; in use: none"),
    ],
)
def test_parameters_that_are_wrong(parameters: dict[str, Any], message: str, mine: str) -> None:
    with pytest.raises(PluginError) as caught:
        Host.load(f"{mine}:Mine", parameters=parameters)
    assert message in str(caught.value)


def test_the_same_plugin_twice() -> None:
    with pytest.raises(PluginError, match="prefer: is asked for twice"):
        Host.load("spread", ["prefer", "prefer"])
    one = SimpleNamespace()
    with pytest.raises(PluginError, match="b: cannot be loaded twice"):
        Host(One(), {"a": one, "b": one})


class One(Strategy):
    name = "one"


class Same(Strategy):
    name = "one"


def module(*strategies: Any, plugins: Any = None) -> Any:
    found = SimpleNamespace(swarmlab_register_strategies=hookimpl(lambda: strategies))
    if plugins is not None:
        found.swarmlab_register_plugins = hookimpl(lambda: plugins)
    return found


def test_two_modules_that_offer_the_same_name_are_both_named() -> None:
    with pytest.raises(PluginError) as caught:
        offered({"first": module(One), "second": module(Same)})
    assert str(caught.value) == "second: its strategy 'one' has the name of one of first; one of them must go"
    with pytest.raises(PluginError, match="second: its plugin 'x' has the name of one of first"):
        offered({"first": module(plugins={"x": 1}), "second": module(plugins={"x": 2})})


def test_a_module_that_offers_what_is_no_strategy() -> None:
    with pytest.raises(PluginError, match="third: 'One' is no strategy"):
        offered({"third": module("One")})
    broken = SimpleNamespace(swarmlab_register_strategies=hookimpl(lambda: 1 / 0))
    with pytest.raises(PluginError, match="fourth: swarmlab_register_strategies: raised ZeroDivisionError"):
        offered({"fourth": broken})


def test_a_module_that_cannot_be_imported_is_left_out_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        importlib.metadata.EntryPoint("theirs", "nowhere_to_be_found.module", "swarmlab"),
        importlib.metadata.EntryPoint("ours", "swarmlab_strategies", "swarmlab"),
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    catalog = installed()
    assert set(catalog.strategies) == set(SHIPPED)
    assert list(catalog.broken) == ["theirs = nowhere_to_be_found.module"]
    with pytest.raises(UnknownPlugin, match=r"theirs = nowhere_to_be_found.module could not be loaded: ModuleNotFound"):
        Host.load("theirs", catalog=catalog)


def test_the_fall_back_must_be_there_unless_the_host_is_strict() -> None:
    catalog = Catalog(strategies={"one": (One, "here")})
    with pytest.raises(UnknownPlugin, match="spread: there is no strategy"):
        Host.load("one", catalog=catalog)
    assert Host.load("one", catalog=catalog, strict=True).strategy.name == "one"
    assert Host.load("one", catalog=catalog, fallback="one").strategy.name == "one"


def test_the_api_is_the_one_that_authors_write_against() -> None:
    assert API == (1, 0)
    assert Strategy.api == API


def point(name: str, distribution: str, offers: Any) -> SimpleNamespace:
    """An entry point; `offers` is a module, or what importing it raises."""

    def load() -> Any:
        if isinstance(offers, Exception):
            raise offers
        return offers

    return SimpleNamespace(name=name, value=f"{name}_module", dist=SimpleNamespace(name=distribution), load=load)


def offering(*classes: type[Strategy]) -> SimpleNamespace:
    return SimpleNamespace(swarmlab_register_strategies=hookimpl(lambda: list(classes)))


class First(Strategy):
    name = "first"


class Later(Strategy):
    name = "later"
    api = (2, 0)


class Taken(Strategy):
    name = "first"


class Good(Strategy):
    name = "good"


POINTS = [
    point("a", "swarmlab", offering(First)),
    point("b", "other", offering(Good, Later)),
    point("c", "third", offering(Taken)),
    point("d", "fourth", ImportError("no such thing")),
    point("e", "fifth", offering(Good)),
]


def test_each_module_is_loaded_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """What breaks the contract, takes a name twice or cannot be imported is left out whole, and said."""
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: POINTS)
    catalog = installed()
    assert list(catalog.strategies) == ["first", "good"]
    assert catalog.strategies["good"] == (Good, "e_module")
    assert list(catalog.broken) == ["b = b_module", "c = c_module", "d = d_module"]
    assert "is written for plugin API 2.0, this is" in catalog.broken["b = b_module"]
    assert "its strategy 'first' has the name of one of a_module" in catalog.broken["c = c_module"]
    assert "ImportError: no such thing" in catalog.broken["d = d_module"]


@pytest.mark.parametrize(
    ("named", "found"),
    [("", ["first"]), ("fifth", ["first", "good"]), ("e, d", ["first", "good"]), ("none", ["first"])],
)
def test_the_allow_list_names_who_is_imported(named: str, found: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """By distribution or by entry point; what swarmlab ships is always there, and others are not even imported."""
    monkeypatch.setenv("SWARMLAB_PLUGINS", named)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: POINTS)
    catalog = installed()
    assert list(catalog.strategies) == found
    assert ("d = d_module" in catalog.broken) == ("d" in named)
    assert catalog.left_out["b = b_module"] == "SWARMLAB_PLUGINS does not name it"
    with pytest.raises(UnknownPlugin, match="b = b_module was left out: SWARMLAB_PLUGINS does not name it"):
        Host.load("goood", catalog=catalog)
