"""What members of a log say and do, as lines."""

from collections.abc import Callable

from raft_cluster import Member, State, Watcher

from swarmlab.raft import (
    EntryKind,
    LogEntry,
    Membership,
    Message,
    MessageKind,
    RaftId,
    Ready,
    Role,
    SnapshotMeta,
    decode_change,
)


class Story(Watcher):
    """Tells every message, change of role, entry that is applied and read that is good."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._roles: dict[RaftId, tuple[Role, int]] = {}

    def started(self, member: Member) -> None:
        assert member.raft is not None
        self._roles[member.raft_id] = (member.raft.role, member.raft.term)

    def acted(self, member: Member) -> None:
        assert member.raft is not None
        now = (member.raft.role, member.raft.term)
        before = self._roles[member.raft_id]
        if now[0] != before[0]:
            self._tell(f"{member.raft_id} {before[0].name} -> {now[0].name} term={now[1]}")
        elif now[1] != before[1]:
            self._tell(f"{member.raft_id} term={now[1]}")
        self._roles[member.raft_id] = now

    def asked(self, member: Member, ready: Ready) -> None:
        for read in ready.reads:
            self._tell(f"{member.raft_id} may read {read.context.decode()} at {read.index}")
        if member.is_slow and (ready.entries or ready.hard_state or ready.snapshot):
            what = [shown_entry(entry) for entry in ready.entries]
            hard, known = ready.hard_state, member.disk.hard_state
            if hard is not None and (hard.term, hard.vote) != (known.term, known.vote):
                what.append(f"term={hard.term} vote={hard.vote}")
            self._tell(f"{member.raft_id} writes {' '.join(what)} ...")

    def sent(self, message: Message) -> None:
        self._tell(f"{message.sender}->{message.to} {message.kind.name} term={message.term}{_said(message)}")

    def applied(self, member: Member, entry: LogEntry) -> None:
        self._tell(f"{member.raft_id} applies {shown_entry(entry)}")

    def restored(self, member: Member, meta: SnapshotMeta, state: State) -> None:
        values = " ".join(data.decode() for _, data in state)
        self._tell(f"{member.raft_id} restores {meta.index}/{meta.term} {shown_members(meta.members)} state=[{values}]")


def shown_entry(entry: LogEntry) -> str:
    """An entry: index/term and what it carries, nothing for the first of a term."""
    if entry.kind == EntryKind.CONFIG:
        change = decode_change(entry.data)
        return f"{entry.index}/{entry.term}:{change.kind.name}-{change.raft_id}"
    return f"{entry.index}/{entry.term}" + (f":{entry.data.decode()}" if entry.data else "")


def shown_members(members: Membership) -> str:
    """The voters, and the learners if there are some."""
    voters = f"voters={','.join(map(str, members.voters))}"
    return voters + (f" learners={','.join(map(str, members.learners))}" if members.learners else "")


def _said(message: Message) -> str:
    match message.kind:
        case MessageKind.VOTE | MessageKind.PRE_VOTE:
            return f" log={message.index}/{message.log_term}" + (" transfer" if message.context else "")
        case MessageKind.VOTE_ANSWER | MessageKind.PRE_VOTE_ANSWER:
            return " refused" if message.reject else " granted"
        case MessageKind.APPEND:
            entries = " ".join(map(shown_entry, message.entries))
            return f" after={message.index}/{message.log_term} commit={message.commit} [{entries}]"
        case MessageKind.APPEND_ANSWER if message.reject:
            return f" lacks={message.index} hint={message.hint}/{message.hint_term}"
        case MessageKind.APPEND_ANSWER:
            return f" has={message.index}"
        case MessageKind.HEARTBEAT:
            return f" commit={message.commit} round={int.from_bytes(message.context, 'big')}"
        case MessageKind.HEARTBEAT_ANSWER:
            return f" round={int.from_bytes(message.context, 'big')}"
        case MessageKind.SNAPSHOT:
            assert message.snapshot is not None
            meta = message.snapshot
            return f" {meta.index}/{meta.term} {shown_members(meta.members)}"
        case MessageKind.READ_INDEX_ANSWER:
            return f" index={message.index}"
        case _:
            return ""
