"""A limit on what strangers may try: so many attempts at once from one address, and then so many a second."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from swarmlab.api import TooLarge

#: Attempts that an address may make at once; a rack that joins behind one address stays below it.
BURST = 256
#: Attempts that it gets back in a second.
PER_SECOND = 4.0
#: Addresses that are remembered, the least recent forgotten first: a table that strangers fill has an end.
ADDRESSES = 10_000


class Attempts:
    """What each address may still try.

    Args:
        clock: Seconds from any start, which do not go back.
    """

    def __init__(self, clock: Callable[[], float], *, burst: int = BURST, per_second: float = PER_SECOND) -> None:
        self._clock = clock
        self._burst = burst
        self._per_second = per_second
        #: {address: (attempts left, as of when)}
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    @contextmanager
    def attempt(self, address: str) -> Iterator[None]:
        """Charge the address for what is done within, and give it back if that succeeds.

        Raises:
            TooLarge: The address has none left.
        """
        left = self._remaining(address)
        if left < 1:
            wait = (1 - left) / self._per_second
            raise TooLarge(f"too many failed attempts to join from {address}; wanted: a pause of {wait:.1f} s")
        self._keep(address, left - 1)
        yield
        self._keep(address, min(float(self._burst), self._remaining(address) + 1))

    def _remaining(self, address: str) -> float:
        left, since = self._left.get(address, (float(self._burst), 0.0))
        return min(float(self._burst), left + (self._clock() - since) * self._per_second)

    def _keep(self, address: str, left: float) -> None:
        if left >= self._burst:
            self._left.pop(address, None)
            return
        self._left[address] = left, self._clock()
        self._left.move_to_end(address)
        if len(self._left) > ADDRESSES:
            self._left.popitem(last=False)
