"""What is told of the hosts when the story goes wrong."""

import contextlib
from collections.abc import Iterator
from typing import Protocol

from interop.hosts import Hosts

#: Logs of a host, of whose end something is told.
LOGS = ("swarmlab.log", "dockerd.log")


class AnyStage(Protocol):
    """Hosts with a swarm on them."""

    @property
    def hosts(self) -> Hosts: ...


@contextlib.contextmanager
def logs_told(stage: AnyStage) -> Iterator[None]:
    """Add the ends of the logs to whatever fails, while the hosts are there."""
    try:
        yield
    except Exception as error:
        for host in stage.hosts:
            for each in host.ended():
                error.add_note(f"--- {host.name}: {each}")
            for log in LOGS:
                if tail := host.tail(log):
                    error.add_note(f"--- {host.name}: {log}\n{tail}")
        raise
