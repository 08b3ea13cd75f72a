"""Both directions: stock Docker Engines join a swarmlab manager, and swarmlab's worker joins a stock Docker manager.

`make interop` runs it from nothing and prints each step; the tests run the same chapters. Needs root, for hosts of its
own. Words after the command choose chapters by a part of their name.
"""

import signal
import sys
import time

from interop import engines_join, leader_change, swarmlab_joins
from interop.ground import logs_told
from interop.hosts import missing
from interop.steps import Steps

DIRECTIONS = (engines_join, leader_change, swarmlab_joins)


def main(words: list[str]) -> int:
    """Tell the story; 0 where all of it holds, 3 where this machine cannot have it."""
    lacking = missing()
    if lacking:
        print(
            f"interop: this machine lacks {lacking}; hosts of its own take root and .ci/engine install", file=sys.stderr
        )
        return 3
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))
    start = time.monotonic()
    told = 0
    steps = Steps(lambda text: print(text, flush=True))
    for direction in DIRECTIONS:
        chapters = [
            each
            for each in direction.CHAPTERS
            if not words or any(word in f"{each.__module__}.{each.__name__}" for word in words)
        ]
        if not chapters:
            continue
        try:
            with direction.stage(steps) as stage, logs_told(stage):
                for chapter in chapters:
                    chapter(stage)
                    told += 1
        except (AssertionError, RuntimeError, TimeoutError) as error:
            print(f"\nFAILED: {error}", *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nstopped, and everything taken away", file=sys.stderr)
            return 130
    if not told:
        print(f"interop: no chapter is named like {' or '.join(words)}", file=sys.stderr)
        return 2
    what = f"the chapters that were chosen ({told})" if words else "both directions"
    print(f"\n{what} work ({time.monotonic() - start:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
