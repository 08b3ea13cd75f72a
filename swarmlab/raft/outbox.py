"""What a member has to say until its driver asks."""

from swarmlab.raft.messages import LogEntry, Message, MessageKind, RaftId, SnapshotMeta


class Outbox:
    """Messages in the order in which they were said."""

    def __init__(self, raft_id: RaftId) -> None:
        self._raft_id = raft_id
        #: May go at once: what a leader says.
        self.eager: list[Message] = []
        #: Wait until all that is not durable yet is.
        self.patient: list[Message] = []

    def say(
        self,
        kind: MessageKind,
        to: RaftId,
        term: int,
        *,
        is_eager: bool = False,
        index: int = 0,
        log_term: int = 0,
        entries: tuple[LogEntry, ...] = (),
        commit: int = 0,
        reject: bool = False,
        hint: int = 0,
        hint_term: int = 0,
        context: bytes = b"",
        snapshot: SnapshotMeta | None = None,
    ) -> None:
        """Put a message into it; the fields are those of `Message`."""
        message = Message(
            kind=kind,
            to=to,
            sender=self._raft_id,
            term=term,
            index=index,
            log_term=log_term,
            entries=entries,
            commit=commit,
            reject=reject,
            hint=hint,
            hint_term=hint_term,
            context=context,
            snapshot=snapshot,
        )
        (self.eager if is_eager else self.patient).append(message)

    def __bool__(self) -> bool:
        return bool(self.eager or self.patient)

    def clear(self) -> None:
        """All was handed over."""
        self.eager.clear()
        self.patient.clear()
