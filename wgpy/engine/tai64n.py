"""TAI64N timestamps that never go back. Whitepaper 5.1 and 5.4.2; https://cr.yp.to/libtai/tai64.html

Invariant: every stamp is greater than all before it, whatever the wall clock does. A host without a clock
battery boots in 1970, so the newest value is also the driver's to keep across restarts.
"""

from collections.abc import Callable
from typing import Final

from wgpy.contract.constants import SECOND

# Real time is cut to this, as the kernel does, so that a stamp tells little about the host's clock.
RESOLUTION: Final = 2**24
_EPOCH: Final = 2**62 + 10  # TAI64 label of 1970-01-01 00:00:00 UTC


def encode(time: int) -> bytes:
    """12 bytes for nanoseconds since 1970; byte order is time order."""
    seconds, nanoseconds = divmod(time, SECOND)
    return (_EPOCH + seconds).to_bytes(8, "big") + nanoseconds.to_bytes(4, "big")


class Tai64nClock:
    """Gives the stamps of one identity."""

    __slots__ = ("_wall_clock", "last")

    def __init__(self, wall_clock: Callable[[], int], last: int = 0) -> None:
        """wall_clock(): ns since 1970. last: the newest value given before, in the same unit."""
        self._wall_clock = wall_clock
        self.last = last

    def next(self) -> bytes:
        self.last = max(_cut(self._wall_clock()), _cut(self.last + RESOLUTION))
        return encode(self.last)


def _cut(time: int) -> int:
    return time - time % SECOND % RESOLUTION
