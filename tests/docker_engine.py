"""A Docker Engine for tests, where one answers; `.ci/engine run COMMAND` brings one."""

import asyncio
import io
import os
import secrets
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import docker
import pytest

from swarmlab.edges.docker import Engine, engine_answers, engine_url, remove_containers

#: Made from the machine's static busybox: no registry is needed.
TEST_IMAGE = "swarmlab-test/busybox:latest"
#: The label by which tests find what they left; another run beside this one may use the same engine.
TEST_CLUSTER = f"swarmlab-test-{os.getpid()}-{secrets.token_hex(3)}"


def image_tar(busybox: Path) -> bytes:
    """A root file system of busybox alone, with its applets and the directories that programs expect."""
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for directory, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("root", 0o700)):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        tar.add(busybox, "bin/busybox", filter=_as_root)
        for applet in sorted(set(listed) - {"busybox"}):
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
        for name, text in (
            ("passwd", "root:x:0:0::/root:/bin/sh\ngames:x:5:60::/:/bin/sh\n"),
            ("group", "root:x:0:\n"),
        ):
            entry = tarfile.TarInfo(f"etc/{name}")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def import_test_image(url: str) -> None:
    """Make sure that the engine at `url` has the image."""
    client = docker.APIClient(base_url=url, version="auto")
    try:
        try:
            client.inspect_image(TEST_IMAGE)
        except docker.errors.ImageNotFound:
            busybox = shutil.which("busybox")
            if busybox is None:
                pytest.skip("no static busybox on this machine: Docker tests skipped; .ci/engine installs it")
            client.import_image_from_data(
                image_tar(Path(busybox)), repository="swarmlab-test/busybox", tag="latest", changes=["ENV PATH=/bin"]
            )
    finally:
        client.close()


@pytest.fixture(scope="session")
def engine_at() -> str:
    """The address of an engine that answers and has the test image."""
    url = engine_url()
    if not asyncio.run(engine_answers(url)):
        pytest.skip(f"no Docker Engine answers at {url}: Docker tests skipped; bring one with .ci/engine run make test")
    import_test_image(url)
    return url


@pytest.fixture
async def engine(engine_at: str) -> AsyncIterator[Engine]:
    """An open engine; what the test left on it is removed."""
    engine = Engine(engine_at)
    try:
        yield engine
    finally:
        await remove_containers(engine, TEST_CLUSTER)
        await engine.close()
