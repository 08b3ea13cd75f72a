"""The simulated wire between managers: messages arrive late, twice or never, each pair's in order."""

import random
from collections.abc import Callable
from typing import TypeGuard

from swarmlab.api import Instant, NotFound, Value, after, seconds
from swarmlab.node import Image, Replica, Roster
from swarmlab.raft import Message, MessageKind, RaftId
from swarmlab.raft.codec import decode_message, encode_message
from swarmlab.sim.chance import Spread, happens
from swarmlab.sim.heap import Heap


class MeshModel(Value, frozen=True, kw_only=True):
    """How the wires behave when nobody cuts them."""

    delay: Spread = Spread(median=seconds(0.001), sigma=0.3)
    loses: float = 0.0
    duplicates: float = 0.0


class Mesh:
    """Carries messages between the replicas that are up, by raft id.

    Args:
        heap: Time.
        rng: Chance of the wires.
        model: Asked for each message.
    """

    def __init__(self, heap: Heap, rng: random.Random, model: Callable[[], MeshModel]) -> None:
        self._heap = heap
        self._rng = rng
        self._model = model
        self._up: dict[RaftId, Replica] = {}
        #: (sender, receiver) between whom nothing gets through.
        self._cut: set[tuple[RaftId, RaftId]] = set()
        self._last: dict[tuple[RaftId, RaftId], Instant] = {}
        #: Messages that arrived, by kind; for tests and for counting.
        self.arrived: dict[MessageKind, int] = dict.fromkeys(MessageKind, 0)

    def attach(self, raft_id: RaftId, replica: Replica) -> None:
        """That member is up."""
        self._up[raft_id] = replica

    def detach(self, raft_id: RaftId) -> None:
        """That member is down."""
        self._up.pop(raft_id, None)

    def cut(self, one: RaftId, other: RaftId) -> None:
        """Let nothing through between the two."""
        self.mute(one, other)
        self.mute(other, one)

    def mute(self, sender: RaftId, receiver: RaftId) -> None:
        """Let nothing through from the one to the other."""
        self._cut.add((sender, receiver))

    def unmute(self, sender: RaftId, receiver: RaftId) -> None:
        """Let everything through again from the one to the other."""
        self._cut.discard((sender, receiver))

    def is_muted(self, sender: RaftId, receiver: RaftId) -> bool:
        """Whether nothing gets through from the one to the other."""
        return (sender, receiver) in self._cut

    def heal(self) -> None:
        """Let everything through again."""
        self._cut.clear()

    def carry(self, message: Message, image: Image | None = None) -> None:
        """Send it on its way."""
        model, pair = self._model(), (message.sender, message.to)
        sender = self._up.get(message.sender)
        if pair in self._cut or message.to not in self._up or happens(self._rng, model.loses):
            # The sender's end finds out after a while.
            self._heap.later(model.delay.draw(self._rng), lambda: self._lost(sender, message, image))
            return
        for _ in range(1 + happens(self._rng, model.duplicates)):
            arrival = after(self._heap.now, model.delay.draw(self._rng))
            arrival = self._last[pair] = max(arrival, self._last.get(pair, arrival))
            self._heap.at(arrival, lambda: self._arrive(sender, message, image))

    def _arrive(self, sender: Replica | None, message: Message, image: Image | None) -> None:
        receiver = self._up.get(message.to)
        if receiver is None or (message.sender, message.to) in self._cut:
            self._lost(sender, message, image)
            return
        self.arrived[message.kind] += 1
        # As on a real wire: what arrives is made of bytes, and shares nothing.
        copy = decode_message(encode_message(message))
        try:
            if image is None:
                receiver.receive(copy)
            else:
                receiver.receive_image(copy, image)
                if self._is_up(sender):
                    sender.report_image(message.to, True)
        except NotFound:
            if self._is_up(sender):
                sender.expelled()

    def _lost(self, sender: Replica | None, message: Message, image: Image | None) -> None:
        if not self._is_up(sender):
            return
        if image is not None:
            sender.report_image(message.to, False)
        sender.report_unreachable(message.to)

    def _is_up(self, sender: Replica | None) -> TypeGuard[Replica]:
        return sender is not None and self._up.get(sender.member.raft_id) is sender


class MeshWire:
    """One member's end of the mesh."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self.roster = Roster()

    def send(self, message: Message) -> None:
        """Send it."""
        self._mesh.carry(message)

    def send_image(self, message: Message, image: Image) -> None:
        """Send it with its image."""
        self._mesh.carry(message, image)

    def know(self, roster: Roster) -> None:
        """Members are found by their raft ids, so addresses do not matter."""
        self.roster = roster
