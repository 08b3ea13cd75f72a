"""Writes a root file system with this Python and dockercoins to standard output, as a tar for `docker import`.

Everything comes from this machine: the interpreter, its standard library without tests and graphics, the shared
libraries that they need, and the files beside this one. So it works without a registry; the image has some 70 MB.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
#: Parts of the standard library that no service needs.
LEFT_OUT = re.compile(
    r"(^|/)(__pycache__|test|tests|idlelib|tkinter|turtledemo|ensurepip|lib2to3|site-packages|dist-packages|pydoc_data"
    r"|config-[^/]*|[^/]*\.a|_tkinter[^/]*\.so)(/|$)"
)
#: Libraries that the C library loads by name: to look names up, and to end a thread.
BY_NAME = ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2", "libgcc_s.so.1")


def libraries(programs: list[Path]) -> list[Path]:
    """The shared libraries that `programs` need, and the loader."""
    found: set[Path] = set()
    ldd = shutil.which("ldd")
    if ldd is None:
        sys.exit("image.py: ldd is not on this machine; it comes with the C library")
    for program in programs:
        listed = subprocess.run([ldd, str(program)], capture_output=True, text=True, check=False).stdout  # noqa: S603
        found.update(Path(path) for path in re.findall(r"(/\S+) \(0x", listed))
    for directory in {path.parent for path in found}:
        found.update(directory / name for name in BY_NAME if (directory / name).exists())
    return sorted(found)


def clean(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """As root's, whoever builds it."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def write(tar: tarfile.TarFile) -> None:
    """All that is in the image."""
    program = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
    standard = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix, "base": sys.base_prefix}))
    extensions = sorted((standard / "lib-dynload").glob("*.so"))
    for directory, mode in (("tmp", 0o1777), ("root", 0o700), ("etc", 0o755)):
        entry = tarfile.TarInfo(directory)
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        tar.addfile(entry)
    tar.add(program, f"usr/local/bin/{PYTHON}", filter=clean)
    link = tarfile.TarInfo("usr/local/bin/python3")
    link.type, link.linkname = tarfile.SYMTYPE, PYTHON
    tar.addfile(link)
    tar.add(
        standard,
        f"usr/local/lib/{PYTHON}",
        filter=lambda entry: None if LEFT_OUT.search(entry.name.removeprefix("usr/local/lib/")) else clean(entry),
    )
    for path in libraries([program, *extensions]):
        tar.add(os.path.realpath(path), str(path).lstrip("/"), filter=clean)
    for path in sorted(HERE.glob("*.py")):
        tar.add(path, f"examples/dockercoins/{path.name}", filter=clean)


if __name__ == "__main__":
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as out:
        write(out)
