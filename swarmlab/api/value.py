"""The base of every value: frozen, cheap, written without its defaults."""

from typing import Any, ClassVar

import msgspec


class Value(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """An immutable value.

    `msgspec.structs.replace` makes the next version and shares what did not change. Values hold other values, numbers,
    texts and tuples, never something that refers back to them, so the garbage collector need not follow them.
    """


class Guarded(Value, frozen=True):
    """A value with secrets: its `repr`, and with it every log and traceback, says only that they are there."""

    #: Fields that are not shown.
    hidden: ClassVar[frozenset[str]] = frozenset()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        shown: list[tuple[str, Any]] = []
        for name in self.__struct_fields__:
            value = getattr(self, name)
            shown.append((name, _Veil(len(value)) if name in self.hidden and value else value))
        return shown


class _Veil:
    """Stands for a secret of so many bytes or characters."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __repr__(self) -> str:
        return f"<hidden, {self._length} long>"
