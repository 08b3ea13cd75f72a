"""Completion for shells: the script that a shell loads, and the words that fit what was typed so far.

Names come from the file that a running cluster keeps beside its socket (`names.py`), so that no completion waits for a
connection.
"""

import argparse

from swarmlab.cli.commands import ALIASES, BY_WORDS, COMMANDS, GROUPS, Command
from swarmlab.cli.exits import Exit
from swarmlab.cli.parser import FORMATS, Parser

_SCRIPTS = {
    "bash": """\
_swarmlab_complete() {
    local IFS=$'\\n' words=("${COMP_WORDS[@]:1:COMP_CWORD}")
    local line="${COMP_LINE:0:COMP_POINT}" current="${COMP_WORDS[COMP_CWORD]}"
    COMPREPLY=($(swarmlab __complete "${words[@]}" 2>/dev/null))
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2>/dev/null; fi
    if [[ ${#COMPREPLY[@]} -eq 0 ]]; then COMPREPLY=($(compgen -f -- "$current")); fi
}
complete -F _swarmlab_complete swarmlab
""",
    "zsh": """\
#compdef swarmlab
_swarmlab() {
    local -a found
    found=("${(@f)$(swarmlab __complete "${words[@]:1:$((CURRENT-1))}" 2>/dev/null)}")
    found=(${found:#})
    if (( ${#found} )); then compadd -Q -- "${found[@]}"; else _files; fi
}
compdef _swarmlab swarmlab
""",
    "fish": """\
function __swarmlab_complete
    set -l words (commandline -opc) (commandline -ct)
    swarmlab __complete $words[2..-1] 2>/dev/null
end
complete -c swarmlab -a '(__swarmlab_complete)'
""",
}


def completion_arguments(parser: Parser) -> None:
    """The shell."""
    parser.description = (
        "Print the completion script of a shell. Load it with\n"
        "  bash:  source <(swarmlab completion bash)\n"
        "  zsh:   source <(swarmlab completion zsh)\n"
        "  fish:  swarmlab completion fish | source"
    )
    parser.add_argument("shell", choices=sorted(_SCRIPTS))


def completion(options: argparse.Namespace) -> int:
    """Print the script."""
    print(_SCRIPTS[options.shell], end="")
    return Exit.OK


def complete(words: list[str]) -> int:
    """Print the words that may stand where the last one of `words` (perhaps empty) stands, one a line."""
    for word in candidates(words or [""]):
        print(word)
    return Exit.OK


def candidates(words: list[str]) -> list[str]:
    """What may replace the last of `words`, sorted; empty where only a file name or free text fits."""
    typed, current = words[:-1], words[-1]
    if current == "=":  # bash parts words at "=", and the cursor stands right after it
        typed, current = words, ""
    socket, typed = _socket_of(typed)
    command, rest = _command_of(typed)
    if command is None:
        if not typed and current.startswith("-"):
            return sorted(word for word in _arguments(BY_WORDS["run"], [], current, socket) if word.startswith(current))
        found = _command_words(typed)
        return sorted(word for word in found if word.startswith(current))
    return sorted(word for word in _arguments(command, rest, current, socket) if word.startswith(current))


def _socket_of(typed: list[str]) -> tuple[str, list[str]]:
    """The value of --socket anywhere in `typed`; and `typed` without it where it stands before the command."""
    socket = ""
    for place, word in enumerate(typed):
        if word.startswith("--socket="):
            socket = word.partition("=")[2]
        elif word == "--socket" and place + 1 < len(typed):
            socket = typed[place + 1]
    if typed and typed[0].startswith("--socket"):
        typed = typed[1 if "=" in typed[0] else 2 :]
    return socket, typed


def _command_of(typed: list[str]) -> tuple[Command | None, list[str]]:
    if typed and typed[0].startswith("-"):
        return BY_WORDS["run"], typed
    for count in (2, 1):
        words = typed[:count]
        if len(words) == count:
            words = [*words[:-1], ALIASES.get(words[-1], words[-1])] if count == 2 else words
            if (command := BY_WORDS.get(" ".join(words))) is not None:
                return command, typed[count:]
    return None, typed


def _command_words(typed: list[str]) -> list[str]:
    if len(typed) > 1:
        return []
    if typed:
        return [c.words.partition(" ")[2] for c in COMMANDS if c.words.startswith(f"{typed[0]} ")]
    return [*GROUPS, *(c.words for c in COMMANDS if " " not in c.words)]


def _declared(command: Command) -> Parser:
    parser = Parser(f"swarmlab {command.words}", command.summary)
    command.declare(parser)
    return parser


def _arguments(command: Command, rest: list[str], current: str, socket: str) -> list[str]:
    parser = _declared(command)
    if current.startswith("-") and "=" in current:
        flag, _, _ = current.partition("=")
        return [f"{flag}={word}" for word in _values(parser, flag, socket)]
    previous = rest[-1] if rest else ""
    if previous == "=":
        previous = rest[-2] if len(rest) > 1 else ""
        if not previous.startswith("-"):
            return []
    if previous.startswith("-") and "=" not in previous and _takes_value(parser, previous):
        return _values(parser, previous, socket)
    if current.startswith("-"):
        return [flag for flag in parser.flags() if flag.startswith("--")]
    positional = next((action for action in parser._actions if not action.option_strings and action.choices), None)
    if positional is not None:
        return [str(choice) for choice in positional.choices or ()]
    if not command.completes:
        return []
    names = [name for name in _names(command.completes, socket) if name not in rest]
    return [f"{name}=" for name in names] if command.words == "service scale" else names


def _action(parser: Parser, flag: str) -> argparse.Action | None:
    return next((action for action in parser._actions if flag in action.option_strings), None)


def _takes_value(parser: Parser, flag: str) -> bool:
    action = _action(parser, flag)
    return action is not None and action.nargs != 0


#: {flag: kind of object whose names are its values}
_FLAG_NAMES = {
    "--secret": "secret",
    "--secret-add": "secret",
    "--secret-rm": "secret",
    "--config": "config",
    "--config-add": "config",
    "--config-rm": "config",
    "--network": "network",
    "--network-add": "network",
    "--network-rm": "network",
    "--strategy": "strategy",
    "--strategies": "strategy",
}


def _values(parser: Parser, flag: str, socket: str) -> list[str]:
    action = _action(parser, flag)
    if action is None:
        return []
    if action.choices:
        return [str(choice) for choice in action.choices]
    if flag in ("-o", "--output"):
        return list(FORMATS)
    return _names(_FLAG_NAMES[flag], socket) if flag in _FLAG_NAMES else []


def _names(kind: str, socket: str) -> list[str]:
    from swarmlab.cli.names import read_names

    return read_names(kind, socket)
