"""Terms in words: what is read, what is written, and where a mistake is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlab.plugin import InvalidSpec, Term, affinity_labels, affinity_terms, parse_term, written


@pytest.mark.parametrize(
    ("text", "term"),
    [
        (
            "service==db domain=rack weight=10",
            Term(service="db", avoid=False, domain="node.labels.rack", hard=False, weight=10),
        ),
        ("service != db", Term(service="db", avoid=True)),
        ("service!=self domain=rack max=2", Term(service="self", avoid=True, domain="node.labels.rack", most=2)),
        (
            'service.labels.tier=="a b" symmetric=no domain=engine.labels.x',
            Term(label=("tier", "a b"), avoid=False, symmetric=False, domain="engine.labels.x"),
        ),
        ("service==db domain=node.hostname", Term(service="db", avoid=False, domain="node.hostname")),
        (
            "node.labels.dc == 1 else node.labels.dc == 2 else any",
            Term(
                node="node.labels.dc == 1",
                avoid=False,
                otherwise=(Term(node="node.labels.dc == 2", avoid=False), Term(avoid=False)),
            ),
        ),
        (
            "service==db else service==db domain=rack weight=2",
            Term(
                service="db",
                avoid=False,
                hard=False,
                weight=2,
                otherwise=(Term(service="db", avoid=False, domain="node.labels.rack", hard=False, weight=2),),
            ),
        ),
    ],
)
def test_a_text_is_a_term(text: str, term: Term) -> None:
    assert parse_term(text) == term
    assert parse_term(written(term)) == term


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("", 1, "expected service, service.labels.KEY or node.labels.KEY, found nothing"),
        ("servce==db", 1, "expected service, service.labels.KEY or node.labels.KEY, found 'servce'"),
        ("service=db", 8, "expected == or != after service, found '='"),
        ("service==", 10, "expected a value after ==, found nothing"),
        ("service==db domain=", 20, "expected a value after domain=, found nothing"),
        ("service==db foo=1", 13, "there is no option 'foo'; there are domain, max, weight, symmetric"),
        ("service==db max=2", 13, "max goes with != alone"),
        ("service!=db max=0", 17, "max is '0', wanted a whole number >= 1"),
        ("service==db weight=nan", 20, "weight is 'nan', wanted a number > 0"),
        ("service==db symmetric=maybe", 23, "symmetric is 'maybe', wanted yes or no"),
        ("service==db or", 13, "expected else or an option (domain, max, weight, symmetric), found 'or'"),
        ("node.labels.a==1 domain=x", 18, "domain goes with service and service.labels.KEY alone"),
        (
            "service==db domain=node.rack",
            20,
            "the domain 'node.rack' is no key; wanted node, a node label such as rack, or a key",
        ),
        ("service==db else any foo", 22, "expected the end after any, found 'foo'"),
        ("service==db weight=1 else any weight=2", 31, "weight is given twice"),
        ('service=="db', 10, "unexpected '\"'"),
    ],
)
def test_a_mistake_is_pointed_at(text: str, at: int, message: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_term(text)
    assert str(caught.value) == f"affinity {text!r}, character {at}: {message}"


@given(st.text(st.sampled_from('serviclabnod.=! "maxwght12els'), max_size=30))
def test_no_text_breaks_the_reader(text: str) -> None:
    """It is a term that is written and read as itself, or a mistake inside the text."""
    try:
        term = parse_term(text)
    except InvalidSpec as error:
        at = int(str(error).removeprefix(f"affinity {text!r}, character ").partition(":")[0])
        assert 1 <= at <= len(text) + 1
    else:
        assert parse_term(written(term)) == term


def test_labels_carry_terms_under_names() -> None:
    labels = {"swarmlab.affinity.db": "service!=db", "swarmlab.affinity.1": "service==web", "other": "x"}
    assert affinity_terms(labels) == {"1": Term(service="web", avoid=False), "db": Term(service="db", avoid=True)}
    added = affinity_labels(["service != db", "service!=cache", "node.labels.a==1"], labels)
    assert added == {"swarmlab.affinity.2": "service!=cache", "swarmlab.affinity.3": "node.labels.a==1"}
    with pytest.raises(InvalidSpec, match=r"label swarmlab.affinity.x: affinity 'no', character 1: expected service"):
        affinity_terms({"swarmlab.affinity.x": "no"})
