"""Majorities: what most of the voters have, did or said."""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from swarmlab.raft.messages import RaftId


def needed(voters: Sequence[RaftId]) -> int:
    """How many make a majority; nobody is not one, so 1 for no voters at all."""
    return len(voters) // 2 + 1


def reached(voters: Sequence[RaftId], value: Callable[[RaftId], int]) -> int:
    """The highest number that a majority of the voters reached; 0 without voters."""
    if not voters:
        return 0
    return sorted(map(value, voters), reverse=True)[len(voters) // 2]


class Outcome(Enum):
    """How a ballot stands."""

    OPEN = "open"
    WON = "won"
    LOST = "lost"


def outcome(voters: Sequence[RaftId], votes: Mapping[RaftId, bool]) -> Outcome:
    """How a ballot stands. Who is no voter does not count, whatever was said; without voters it cannot be won."""
    granted = sum(votes.get(voter, False) for voter in voters)
    if granted >= needed(voters):
        return Outcome.WON
    refused = sum(not votes.get(voter, True) for voter in voters)
    return Outcome.LOST if len(voters) - refused < needed(voters) else Outcome.OPEN
