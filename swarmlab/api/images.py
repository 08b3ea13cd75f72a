"""The form of an image reference: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`.

Source: the grammar of the distribution project, and what its normalisation makes of short names.
"""

import re

from swarmlab.api.refusals import refuse

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_REFERENCE = re.compile(rf"(?P<name>[^@]+?)(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?")
_HEXADECIMAL_ID = re.compile(r"[a-f0-9]{64}")
#: Characters of a name with its host.
NAME_LENGTH = 255


def check_image(field: str, image: str) -> None:
    """`image` is a reference that an engine can resolve."""
    wanted = "an image such as redis, redis:7 or registry.example.com:5000/team/redis@sha256:..."
    if not image:
        refuse(field, "''", wanted)
    if _HEXADECIMAL_ID.fullmatch(image):
        refuse(field, repr(image), "a name: a bare id is not found on other nodes")
    match = _REFERENCE.fullmatch(image) if len(image) <= 1024 else None
    if match is None or len(match["name"]) > NAME_LENGTH or not _is_name(match["name"]):
        seen = repr(image) if len(image) <= NAME_LENGTH else f"{image[:NAME_LENGTH]!r}... ({len(image)} characters)"
        refuse(field, seen, wanted)


def _is_name(name: str) -> bool:
    first, slash, rest = name.partition("/")
    if slash and (first == "localhost" or any(mark in first for mark in ".:") or first != first.lower()):
        return re.fullmatch(_HOST, first) is not None and _PATH.fullmatch(rest) is not None
    return _PATH.fullmatch(name) is not None
