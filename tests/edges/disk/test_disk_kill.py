"""Killed at any moment: whatever was acknowledged is there, and whatever is there is whole."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from disk_loop import Kept

from swarmlab.api import TaskId

ROUNDS = 20

#: Creates groups of two tasks for ever, a dozen in flight, and says each that was committed.
WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
from disk_loop import Kept
from swarmlab.api import Changes, Create, Task
kept = Kept(sys.argv[2], snapshot_every=50)
number = int(sys.argv[3])

def begin():
    global number
    number += 1
    first, second = f"{number:08}a", f"{number:08}b"
    def done(outcome):
        assert outcome.error is None, outcome
        sys.stdout.write(f"{first} {second}\\n")
        sys.stdout.flush()
        begin()
    kept.store.propose(Changes.atomic(Create(Task(id=first)), Create(Task(id=second))), done)

for _ in range(12):
    begin()
kept.calls.run_until(lambda: False)
"""


@pytest.mark.timeout(120)
def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path):
    rng = random.Random(20240229)
    acknowledged: set[str] = set()
    for round_number in range(ROUNDS):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(Path(__file__).parent), str(tmp_path), str(round_number * 1_000_000)],
            stdout=subprocess.PIPE,
            text=True,
        )
        with writer:
            for _ in range(rng.randrange(1, 150)):
                acknowledged.update(writer.stdout.readline().split())
            writer.kill()
            # What it had said before it died counts as well, but for a line cut in the middle.
            rest = writer.stdout.read()
            acknowledged.update(rest[: rest.rfind("\n") + 1].split())
        kept = Kept(tmp_path)
        view = kept.store.view
        kept.close()
        there = {task.id for task in view.tasks()}
        assert acknowledged <= there, f"lost in round {round_number}: {sorted(acknowledged - there)[:5]}"
        for key in there:
            assert TaskId(key[:-1] + ("b" if key.endswith("a") else "a")) in there, "half a group is there"
        assert view.version == len(there) // 2
    assert len(acknowledged) > 2 * ROUNDS
