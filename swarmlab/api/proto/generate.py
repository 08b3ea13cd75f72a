"""Writes the `*_pb2.py` beside the `.proto` texts: `python -m swarmlab.api.proto.generate [DIRECTORY]`.

Needs grpcio-tools, of the version that pyproject.toml names for development. There is no generated code for services:
`edges/grpc` reads methods from the descriptors.
"""

import sys
from pathlib import Path

#: The folder that holds the package `swarmlab`; import paths in the texts begin there.
ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent


def generate(target: Path = ROOT) -> tuple[Path, ...]:
    """The generated files, written below `target` in the folders of their packages."""
    from grpc_tools import protoc

    texts = [str(path.relative_to(ROOT)) for path in sorted(HERE.glob("*.proto"))]
    well_known = Path(protoc.__file__).parent / "_proto"
    status = protoc.main(
        ["protoc", f"--proto_path={ROOT}", f"--proto_path={well_known}", f"--python_out={target}", *texts]
    )
    if status != 0:
        raise SystemExit(f"protoc ended with {status}")
    return tuple(target / text.replace(".proto", "_pb2.py") for text in texts)


if __name__ == "__main__":
    for written in generate(*(Path(argument) for argument in sys.argv[1:2])):
        sys.stdout.write(f"{written}\n")
