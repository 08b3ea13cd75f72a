"""One fleet for all tests that break one, whole again before each of them."""

import asyncio
import os
from collections.abc import Iterator

import pytest
from fleet.fleet_ground import Fleet, lacks_hosts

#: How long managers are cut off; long enough for workers to find another one.
PARTITION_SECONDS = float(os.environ.get("SWARMLAB_PARTITION_SECONDS", "12"))
#: Snapshots come and go under load. The heartbeat is docker's: a worker whose manager falls silent takes up to ten
#: seconds to notice it, and a node is down after fifteen, so a shorter one would show restarts that nobody else sees.
INIT = ("--snapshot-interval", "500")
#: Megabytes of the first manager's disk, where hosts and mounts can be made.
SMALL_DISK = 64


@pytest.fixture(scope="session")
def founded_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three managers and three workers."""
    with Fleet(init=INIT, logs=tmp_path_factory.mktemp("logs")) as fleet:
        if fleet.hosts is not None:
            fleet.small_disk("m1", SMALL_DISK)
        asyncio.run(fleet.found())
        yield fleet


@pytest.fixture
def fleet(founded_fleet: Fleet) -> Fleet:
    """The same, whole and without services."""
    asyncio.run(founded_fleet.mended())
    return founded_fleet


@pytest.fixture
def apart(fleet: Fleet) -> Fleet:
    """The same on hosts of their own, which can be cut off."""
    if fleet.hosts is None:
        pytest.skip(f"hosts of their own need {lacks_hosts()}")
    return fleet


@pytest.fixture
def partition_seconds() -> float:
    """How long partitions last."""
    return PARTITION_SECONDS
