"""The decisions of a desk, written down: one line each, the same bytes for the same decisions."""

import json
from pathlib import Path

from swarmlab.testing.desk import Desk


def trace_of(desk: Desk) -> list[str]:
    """What was recorded, then where each task is, by id."""
    lines = [json.dumps({"record": record.name, **record.fields}, sort_keys=True) for record in desk.records]
    for task in sorted(desk.view.tasks(), key=lambda task: task.id):
        where = f"on {task.node_id}" if task.node_id else f"nowhere ({task.status.err})"
        lines.append(f"{task.id} {task.status.state.name.lower()} {where}")
    return lines


def golden(path: Path | str, desk: Desk, *, rewrite: bool = False) -> None:
    """Compare the trace of `desk` with the file, byte for byte; with `rewrite`, write it there first.

    Raises AssertionError with the first line that differs.
    """
    file = Path(path)
    text = "".join(f"{line}\n" for line in trace_of(desk))
    if rewrite:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert file.is_file(), f"there is no golden trace {file}; write it with --rewrite, and look at it"
    kept = file.read_text()
    if kept == text:
        return
    pairs = zip([*kept.splitlines(), "(the end)"], [*text.splitlines(), "(the end)"], strict=False)
    number, (was, now) = next((at, pair) for at, pair in enumerate(pairs, 1) if pair[0] != pair[1])
    raise AssertionError(f"{file}, line {number}: it was\n  {was}\nand is\n  {now}")
