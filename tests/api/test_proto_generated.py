"""The generated code is that of the texts beside it."""

from pathlib import Path

from swarmlab.api.proto.generate import ROOT, generate


def test_generated_code_is_up_to_date(tmp_path: Path) -> None:
    """`python -m swarmlab.api.proto.generate` would change nothing."""
    written = generate(tmp_path)
    assert len(written) == len(list((ROOT / "swarmlab/api/proto").glob("*.proto"))) > 0
    stale = [path.name for path in written if path.read_text() != (ROOT / path.relative_to(tmp_path)).read_text()]
    assert stale == []
    kept = {path.name for path in (ROOT / "swarmlab/api/proto").glob("*_pb2.py")}
    assert kept == {path.name for path in written}
