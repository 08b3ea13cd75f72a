"""Scenarios as text: commands, `----`, and what came of them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

SCENARIOS = Path(__file__).parent / "scenarios"

#: Takes one command line; gives the lines that it caused.
Interpreter = Callable[[str], Sequence[str]]


class Block(NamedTuple):
    """Some commands and their transcript, with the comments above them."""

    comments: tuple[str, ...]
    commands: tuple[str, ...]
    transcript: tuple[str, ...]

    def text(self) -> str:
        return "\n".join((*self.comments, *self.commands, "----", *self.transcript))


def blocks_of(text: str) -> list[Block]:
    """The blocks of a file; an empty line ends each."""
    blocks = []
    for part in text.strip().split("\n\n"):
        above, rule, below = part.partition("\n----")
        assert rule, f"no ---- in:\n{part}"
        lines = above.splitlines()
        comments = tuple(line for line in lines if line.startswith("#"))
        commands = tuple(line for line in lines if not line.startswith("#"))
        blocks.append(Block(comments, commands, tuple(below.strip("\n").splitlines())))
    return blocks


def scenario_files(room: str) -> list[Path]:
    """The scenarios of a room, sorted; there are some."""
    found = sorted((SCENARIOS / room).glob("*.txt"))
    assert found, f"no scenarios in {SCENARIOS / room}"
    return found


def play(path: Path, interpreter: Interpreter, *, rewrite: bool) -> None:
    """Run every command of the file against one interpreter and compare, or write down, what comes of it."""
    played = []
    for block in blocks_of(path.read_text()):
        lines: list[str] = []
        for command in block.commands:
            lines += interpreter(command)
        played.append(block._replace(transcript=tuple(lines)))
    text = "\n\n".join(block.text() for block in played) + "\n"
    if rewrite:
        path.write_text(text)
    assert text.splitlines() == path.read_text().splitlines()
