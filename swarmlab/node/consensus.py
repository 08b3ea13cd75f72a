"""What a replica needs of its world: a disk that keeps, and a wire that may lose."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from swarmlab.node.image import Image
from swarmlab.node.members import Roster
from swarmlab.raft import HardState, LogEntry, Message

#: Told once, on the replica's thread: None when it is done, otherwise why it failed.
Done = Callable[[Exception | None], None]


class Write(NamedTuple):
    """What is made durable together."""

    hard_state: HardState | None = None
    #: They replace whatever the log has from the first one's index on.
    entries: tuple[LogEntry, ...] = ()
    #: Takes the place of the log and of the state; `entries` follow it.
    image: Image | None = None


class RaftDisk(Protocol):
    """Keeps what a member must not forget. Writes are done in the order in which they are given."""

    def write(self, write: Write, done: Done) -> None:
        """Make `write` durable, all of it or nothing, then call `done`, perhaps before this returns.

        After a failure nothing is known of what the disk has, and nothing more is written.
        """

    def save(self, image: Image, done: Done) -> None:
        """Keep `image`, which the log has led to, and then let go of the entries up to `image.meta.index`.

        Slow; writes given meanwhile go on.
        """


class RaftWire(Protocol):
    """Carries messages to the other members: in order, perhaps not all of them."""

    def send(self, message: Message) -> None:
        """Send it, or lose it and call `Replica.report_unreachable`."""

    def send_image(self, message: Message, image: Image) -> None:
        """Send a SNAPSHOT message with the image that it speaks of, then call `Replica.report_image`."""

    def know(self, roster: Roster) -> None:
        """Reach the members at these addresses from now on, and nobody else for longer than a farewell takes."""
