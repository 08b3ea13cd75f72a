"""How a check says no: the field's path, the value seen and the value wanted."""

from typing import NoReturn

from swarmlab.api.enums import Word
from swarmlab.api.errors import InvalidSpec
from swarmlab.api.moments import Duration
from swarmlab.api.quantities import MAX_INT64, format_duration


def refuse(field: str, seen: str, wanted: str) -> NoReturn:
    """Raises `InvalidSpec`."""
    raise InvalidSpec(f"{field}: {seen}, wanted: {wanted}")


def within(field: str, value: int, least: int, most: int) -> None:
    """`value` is one of `least` .. `most`."""
    if not least <= value <= most:
        refuse(field, str(value), f"a number from {least} to {most}")


def at_least(field: str, value: int | Duration | None, least: int, measure: str = "number") -> None:
    """`value` is `least` or more and fits a signed 64-bit number, or is absent; `measure` is `number` or `span`."""
    if value is None:
        return
    if measure == "span":
        if value < least:
            refuse(field, format_duration(value), f"{format_duration(least)} or more")
    elif not least <= value <= MAX_INT64:
        refuse(field, str(value), f"{least} or more" if value < least else f"at most {MAX_INT64}")


def known(field: str, word: Word, kind: type[Word]) -> None:
    """`word` is one that its list has; numbers that it does not have survive the wire, and end here."""
    if word not in kind.__members__.values():
        refuse(field, str(int(word)), " or ".join(name.lower().replace("_", "-") for name in kind.__members__))
