"""The base of every value: frozen, cheap, written without its defaults."""

import msgspec


class Value(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """An immutable value.

    `msgspec.structs.replace` makes the next version and shares what did not change. Values hold other values, numbers,
    texts and tuples, never something that refers back to them, so the garbage collector need not follow them.
    """
