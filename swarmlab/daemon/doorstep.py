"""Before the others let a manager in: they look whether it is reached where it says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from swarmlab.api import ClusterId, NodeId, Precondition, SwarmlabError
from swarmlab.daemon.config import Address
from swarmlab.edges.grpc import health
from swarmlab.edges.grpc.forwarding import Channels
from swarmlab.edges.grpc.gate import Gate
from swarmlab.edges.grpc.handlers import service_handler
from swarmlab.edges.grpc.listener import Listener
from swarmlab.edges.tls.front import TlsFront
from swarmlab.edges.tls.security import Security

#: How long the newcomer may take to answer.
LOOK_SECONDS = 10.0


class _Strangers:
    """The cluster as one that is not in yet knows it."""

    def __init__(self, cluster_id: ClusterId) -> None:
        self.cluster_id = cluster_id
        self.blocked: frozenset[NodeId | str] = frozenset()


@asynccontextmanager
async def on_the_doorstep(security: Security, listen: Address) -> AsyncIterator[None]:
    """Answer the managers that look, and nobody else, until the port is wanted for more.

    Raises:
        StateError: The port cannot be had.
    """
    with TemporaryDirectory(prefix="swarmlab-doorstep-") as folder:
        inside = Path(folder) / "inside.sock"
        front = TlsFront(listen.host, listen.port, inside, security.server_context)
        gate = Gate(front.peer, _Strangers(security.cluster_id))
        answers = service_handler(health.SERVICE, health.methods({"": _is_here, health.RAFT: _is_here}))
        async with front, Listener(inside, (gate.before(answers),)):
            yield


def _is_here() -> bool:
    return True


async def look(channels: Channels, node_id: NodeId, addr: str) -> None:
    """See whether a manager that wants to come in is reached at its address.

    The others would count it and wait for its vote in vain.

    Raises:
        Precondition: It is not.
    """
    why = "its Raft does not serve"
    async with channels(addr) as channel:
        try:
            if await health.serves(channel, health.RAFT, LOOK_SECONDS):
                return
        except SwarmlabError as error:
            why = str(error)
    raise Precondition(
        f"manager {node_id} cannot be let in: it does not answer at its address {addr} ({why}), wanted: one that "
        "the other managers reach; name it with --advertise-addr, and see that no firewall is before it"
    )
