"""The health check of a task that is a plain process."""

import asyncio
from collections.abc import Callable

from msgspec.structs import replace

from swarmlab.api import SECOND, Duration, ExecutorError, HealthConfig, LogStream, Value
from swarmlab.edges.process.child import Child, Launch

#: Of a probe's output, for the message; the end says most.
_OUTPUT_BYTES = 400


class HealthPlan(Value, frozen=True, kw_only=True):
    """A health check with docker's defaults filled in."""

    argv: tuple[str, ...]
    interval: Duration
    timeout: Duration
    #: Failures in a row until the task is unhealthy.
    retries: int
    start_period: Duration
    start_interval: Duration


def health_plan(config: HealthConfig | None) -> HealthPlan | None:
    """What to do for `config`; None when nothing is checked. A final `ExecutorError` for a test of no known kind."""
    match config.test if config is not None else ():
        case () | ("NONE",):
            return None
        case ("CMD", *words) if words:
            argv = tuple(words)
        case ("CMD-SHELL", line):
            argv = ("/bin/sh", "-c", line)
        case test:
            seen = " ".join(test)
            raise ExecutorError(f"health check {seen!r}, wanted: NONE, CMD with a program, or CMD-SHELL with a line")
    assert config is not None
    return HealthPlan(
        argv=argv,
        interval=config.interval or Duration(30 * SECOND),
        timeout=config.timeout or Duration(30 * SECOND),
        retries=config.retries or 3,
        start_period=config.start_period or Duration(0),
        start_interval=config.start_interval or Duration(5 * SECOND),
    )


async def watch_health(plan: HealthPlan, launch: Launch, healthy: Callable[[], None]) -> str:
    """Probe until the task is unhealthy, then say why; `healthy` is called after each probe that passes.

    As docker does it: the first probe comes after one interval, and failures during the start period count only once a
    probe has passed.
    """
    loop = asyncio.get_running_loop()
    begin = loop.time()
    passed_once = False
    failures = 0
    while True:
        starting = not passed_once and (loop.time() - begin) * SECOND < plan.start_period
        await asyncio.sleep((min(plan.start_interval, plan.interval) if starting else plan.interval) / SECOND)
        trouble = await probe(plan, launch)
        if trouble is None:
            passed_once = True
            failures = 0
            healthy()
            continue
        if passed_once or (loop.time() - begin) * SECOND >= plan.start_period:
            failures += 1
        if failures >= plan.retries:
            return trouble


async def probe(plan: HealthPlan, launch: Launch) -> str | None:
    """One run of the test in the task's environment; None where it passes, else what went wrong."""
    printed = bytearray()

    def take(_: LogStream, data: bytes) -> None:
        printed.extend(data)
        del printed[:-_OUTPUT_BYTES]

    try:
        child = Child.start(replace(launch, argv=plan.argv, program=plan.argv[0]), take)
    except ExecutorError as error:
        return str(error)
    late = False
    try:
        async with asyncio.timeout(plan.timeout / SECOND):
            await asyncio.shield(child.ended)
    except TimeoutError:
        late = True
    finally:
        child.kill()
        await asyncio.shield(child.ended)
        code = await child.reap()
    if late:
        return f"health check took longer than {plan.timeout / SECOND:g} s"
    if code == 0:
        return None
    said = printed.decode(errors="replace").strip()
    return f"health check exited with {code}" + (f": {said}" if said else "")
