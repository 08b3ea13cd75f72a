"""The form of a template in a container's spec: what it may name. Expansion is the agent's.

Only what is inside `{{ }}` is looked at, and of that only which fields it names: a misspelt field is by far the
commonest mistake, and would otherwise show as a rejected task on every node in turn.
"""

import re

from swarmlab.api.refusals import refuse

#: What a template may name. Source: SwarmKit `template/context.go`.
FIELDS = (
    ".Service.ID",
    ".Service.Name",
    ".Service.Labels",
    ".Node.ID",
    ".Node.Hostname",
    ".Node.Platform.OS",
    ".Node.Platform.Architecture",
    ".Task.ID",
    ".Task.Name",
    ".Task.Slot",
)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`')
_FIELD = re.compile(r"(?<![\w).])(?:\.[A-Za-z]\w*)+")
_ACTION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


def check_template(field: str, text: str) -> None:
    """Every `{{` has its `}}`, and what stands between names only what there is."""
    if "{{" not in text:
        return
    if "{{" in _ACTION.sub("", text):
        refuse(field, repr(text), "a }} for every {{")
    for action in _ACTION.finditer(text):
        body = action[1].strip().strip("-").strip()
        if not body:
            refuse(field, repr(text), "something between {{ and }}")
        if body.startswith("/*"):
            continue
        for named in _FIELD.finditer(_QUOTED.sub('""', body)):
            if named[0] not in FIELDS and not named[0].startswith(".Service.Labels."):
                refuse(field, named[0], f"one of {', '.join(FIELDS)}")
