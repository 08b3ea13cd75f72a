"""Clients inside a leader's process: what consensus itself can take."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from swarmlab.api import Annotations, Changes, Config, ConfigId, ConfigSpec, Create, Update, new_id
from swarmlab.bench.latency import latencies
from swarmlab.daemon.plane import Plane

#: Bytes of the object that a client changes, as a small config has them.
OBJECT_BYTES = 64
#: Share of the time that is not counted at the beginning.
_WARM_UP = 0.1


async def propose(plane: Plane, clients: int, seconds: float) -> Mapping[str, Any]:
    """Let every client change a label of an object of its own, again as soon as the last change is committed.

    What is counted was proposed and committed within `seconds`, after a tenth of that as a start.
    """
    owned = [await plane.mutate(lambda _, ids, __: _created(ConfigId(new_id(ids)))) for _ in range(clients)]
    taken: list[float] = []
    start = time.monotonic() + _WARM_UP * seconds
    end = start + seconds
    before = after = time.process_time()

    async def client(config_id: ConfigId) -> None:
        count = 0
        while (begun := time.monotonic()) < end:
            count += 1
            await plane.mutate(lambda view, *_: _relabelled(view.config(config_id), count))  # noqa: B023  # asked at once
            done = time.monotonic()
            if start <= begun and done <= end:
                taken.append(done - begun)

    async def meter() -> None:
        nonlocal before, after
        await asyncio.sleep(start - time.monotonic())
        before = time.process_time()
        await asyncio.sleep(end - time.monotonic())
        after = time.process_time()

    async with asyncio.TaskGroup() as group:
        group.create_task(meter())
        for config_id in owned:
            group.create_task(client(config_id))
    return {"proposals": len(taken), "cpu_seconds": after - before, **latencies(taken)}


def _created(config_id: ConfigId) -> tuple[Changes, ConfigId]:
    spec = ConfigSpec(annotations=Annotations(name=f"bench-{config_id}"), data=b"x" * OBJECT_BYTES)
    return Changes.atomic(Create(Config(id=config_id, spec=spec))), config_id


def _relabelled(config: Config | None, count: int) -> tuple[Changes, None]:
    assert config is not None, "a client's own object"
    annotations = replace(config.spec.annotations, labels={"count": str(count)})
    return Changes.atomic(Update(replace(config, spec=replace(config.spec, annotations=annotations)))), None
