"""Variables in stack files, form by form."""

import pytest

from swarmlab.cli.interpolation import interpolate

VARIABLES = {"SET": "value", "EMPTY": "", "TAG": "1.2"}


@pytest.mark.parametrize(
    ("text", "expected", "unset"),
    [
        ("plain", "plain", []),
        ("$SET", "value", []),
        ("a${SET}b", "avalueb", []),
        ("$SET.com $EMPTY.", "value.com .", []),
        ("${NONE}", "", ["NONE"]),
        ("$NONE/x", "/x", ["NONE"]),
        ("${NONE:-other}", "other", []),
        ("${NONE-other}", "other", []),
        ("${EMPTY:-other}", "other", []),
        ("${EMPTY-other}", "", []),
        ("${NONE:-}", "", []),
        ("${NONE:-${TAG}}", "1.2", []),
        ("${NONE:-a:${NOR:-b}-c}", "a:b-c", []),
        ("${SET:+yes}", "yes", []),
        ("${EMPTY:+yes}", "", []),
        ("${EMPTY+yes}", "yes", []),
        ("${NONE+yes}", "", []),
        ("${SET:?must}", "value", []),
        ("$$SET costs $$5", "$SET costs $5", []),
        ("$${SET}", "${SET}", []),
    ],
)
def test_forms(text: str, expected: str, unset: list[str]) -> None:
    heard: list[str] = []
    assert interpolate(text, VARIABLES, heard.append) == expected
    assert heard == unset


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${NONE:?set it}", "required variable NONE is missing a value: set it"),
        ("${EMPTY:?}", "required variable EMPTY is missing a value"),
        ("${SET", "'${SET': ${ without its closing brace"),
        ("cost 5$", "'cost 5$': a lone $, wanted: $NAME, ${NAME}, or $$ for the sign itself"),
        ("${1X}", "'${1X}': no name of a variable after the brace"),
        ("${SET!}", "'${SET!}', wanted: ${NAME}, ${NAME:-default} or ${NAME:?message}"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        interpolate(text, VARIABLES, lambda name: None)
    assert str(caught.value) == message
