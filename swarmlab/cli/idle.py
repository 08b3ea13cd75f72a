"""A task that does nothing, for demonstrations and benches: on every executor, without a registry.

The image for Docker holds one program of a few instructions that sleeps for ever. It is made on the engine itself, so
that what is shown or timed is the cluster, not a download.
"""

import io
import struct
import tarfile
from typing import TYPE_CHECKING, Any

from swarmlab.api import ContainerSpec, Duration, ExecutorError

if TYPE_CHECKING:
    from swarmlab.edges.docker import Engine

IMAGE = "swarmlab/idle:latest"
_REPOSITORY, _, _TAG = IMAGE.partition(":")
_PROGRAM = "/idle"
_LOAD_ADDRESS = 0x400000

#: {architecture as the engine names it: (machine number of ELF, code that waits for ever)}
_CODE = {
    # mov eax, 34 (pause); syscall; jmp to the start
    "x86_64": (62, bytes.fromhex("b822000000 0f05 ebf7")),
    # x0..x3 = 0; x8 = 73 (ppoll); svc 0; b to the start
    "aarch64": (183, struct.pack("<7I", *(0xD2800000 + n for n in range(4)), 0xD2800928, 0xD4000001, 0x17FFFFFA)),
}


def idle_container(executor: str, image: str = "") -> ContainerSpec:
    """A container that runs until it is stopped, and then ends at once. `image`: another than ours, with `sleep`."""
    command = (_PROGRAM,) if executor == "docker" and not image else ("sleep", "86400")
    return ContainerSpec(
        image=image or IMAGE, command=command, stop_signal="SIGKILL", stop_grace_period=Duration(1_000_000_000)
    )


def program(architecture: str) -> bytes:
    """A static ELF program for Linux on that architecture.

    Raises:
        ExecutorError: No code is known for it.
    """
    if architecture not in _CODE:
        known = ", ".join(sorted(_CODE))
        raise ExecutorError(f"no idle program for {architecture}, only for {known}; name an image with --image")
    machine, code = _CODE[architecture]
    header, segment = 64, 56
    start = header + segment
    size = start + len(code)
    elf = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # 64 bits, little endian, version 1
    elf += struct.pack(
        "<HHIQQQIHHHHHH", 2, machine, 1, _LOAD_ADDRESS + start, header, 0, 0, header, segment, 1, 0, 0, 0
    )
    elf += struct.pack("<IIQQQQQQ", 1, 5, 0, _LOAD_ADDRESS, _LOAD_ADDRESS, size, size, 0x1000)  # read and execute
    return elf + code


def image_tar(architecture: str) -> bytes:
    """A root file system that holds the program alone."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        content = program(architecture)
        entry = tarfile.TarInfo(_PROGRAM.removeprefix("/"))
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


async def make_image(engine: "Engine") -> None:
    """Make sure that the engine has the image."""

    def make(client: Any) -> None:
        if not client.images(name=IMAGE):
            architecture = client.info()["Architecture"]
            client.import_image_from_data(
                image_tar(architecture), repository=_REPOSITORY, tag=_TAG, changes=[f'CMD ["{_PROGRAM}"]']
            )

    await engine.call(make)
