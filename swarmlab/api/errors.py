"""Everything that can go wrong, as one tree.

    SwarmlabError
    +-- InvalidSpec            the request cannot be right, whatever the state        (INVALID_ARGUMENT)
    +-- NotFound               no such object                                         (NOT_FOUND)
    +-- AlreadyExists          the id is taken                                        (ALREADY_EXISTS)
    |   +-- NameConflict       the name is taken                                      (ALREADY_EXISTS)
    +-- OutOfSequence          the version in hand is not the stored one              (ABORTED)
    +-- Precondition           not now: the state forbids it                          (FAILED_PRECONDITION)
    +-- Forbidden              not for this caller                                    (PERMISSION_DENIED)
    +-- Unsupported            a change that is never possible                        (UNIMPLEMENTED)
    +-- TooLarge               over a size limit                                      (RESOURCE_EXHAUSTED)
    +-- NotLeader              another manager leads                                  (UNAVAILABLE)
    +-- ProposalDropped        definite: it was not and will not be committed         (UNAVAILABLE)
    +-- ProposalUnknown        indefinite: it may have been committed; look first     (DEADLINE_EXCEEDED)
    +-- PluginError            a plugin or strategy is wrong, with its name           (INTERNAL)
    |   +-- UnknownPlugin      nothing of that name, with near names                  (INVALID_ARGUMENT)
    +-- ExecutorError          a step on a node failed; temporary or final
    +-- StateError             a state directory cannot be used
        +-- Locked             its key is sealed, and the unlock key is missing or wrong (FAILED_PRECONDITION)

A message names the thing, the value seen and the value wanted. The words in brackets are the gRPC status codes, which
`edges/grpc` alone translates.
"""

from collections.abc import Sequence


class SwarmlabError(Exception):
    """Root of the tree."""


class InvalidSpec(SwarmlabError):
    """The request cannot be right, whatever the state of the cluster."""


class NotFound(SwarmlabError):
    """No object of that kind has that id or name."""


class AlreadyExists(SwarmlabError):
    """An object with that id exists."""


class NameConflict(AlreadyExists):
    """Another object of that kind has that name."""


class OutOfSequence(SwarmlabError):
    """The object changed since the caller read it: read it again, then repeat."""


class Precondition(SwarmlabError):
    """The state of the cluster forbids it now."""


class Forbidden(SwarmlabError):
    """Not for this caller."""


class Unsupported(SwarmlabError):
    """A change that is never possible."""


class TooLarge(SwarmlabError):
    """Over a size limit."""


class NotLeader(SwarmlabError):
    """Another manager leads; `hint` is its address where it is known."""

    def __init__(self, hint: str = "") -> None:
        super().__init__(f"this manager does not lead{f'; {hint} does' if hint else ''}")
        self.hint = hint


class ProposalDropped(SwarmlabError):
    """Definite: the proposal was not and will not be committed."""


class ProposalUnknown(SwarmlabError):
    """Indefinite: the proposal may have been committed; look before repeating it."""


class PluginError(SwarmlabError):
    """A plugin or a strategy broke its contract, or raised."""

    def __init__(self, plugin: str, hook: str, message: str) -> None:
        super().__init__(f"{plugin}: {hook}: {message}" if hook else f"{plugin}: {message}")
        self.plugin = plugin
        self.hook = hook


class UnknownPlugin(PluginError):
    """Nothing of that name is registered; `near` holds the names that look alike, best first."""

    def __init__(self, plugin: str, message: str, near: Sequence[str] = ()) -> None:
        super().__init__(plugin, "", message)
        self.near = tuple(near)


class ExecutorError(SwarmlabError):
    """A step of a task failed on its node. `temporary` ones are tried again, the others end the task."""

    def __init__(self, message: str, *, temporary: bool = False, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.temporary = temporary
        self.exit_code = exit_code


class StateError(SwarmlabError):
    """A state directory cannot be used: taken, not writable, of another version, damaged."""


class Locked(StateError):
    """The state is sealed with a key that has to be given: none was, or a wrong one."""
