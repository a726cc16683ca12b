"""The window of message counters of one receiving key. Whitepaper 5.4.6, RFC 6479.

Invariant: a counter is accepted at most once, and never when it is more than REPLAY_WINDOW behind the
greatest accepted. The bitmap is a ring that never shifts: moving on clears the bytes that come into
use again, one in eight messages when they arrive in order. Bytes rather than larger words, as
Python's small integers need no allocation.
"""

from typing import Final

from wgpy.contract.constants import REPLAY_WINDOW, REPLAY_WINDOW_BITS

_BYTES: Final = REPLAY_WINDOW_BITS // 8
_RING_MASK: Final = _BYTES - 1
assert _BYTES & _RING_MASK == 0
assert REPLAY_WINDOW <= REPLAY_WINDOW_BITS - 8


class ReplayWindow:
    """Which counters were accepted. Call only for authentic messages."""

    __slots__ = ("_bitmap", "_greatest")

    def __init__(self) -> None:
        self._bitmap = bytearray(_BYTES)
        self._greatest = -1

    def accept(self, counter: int) -> bool:
        """Take note of a message counter; False for one seen before or too old."""
        greatest = self._greatest
        byte = counter >> 3
        if counter > greatest:
            if byte != greatest >> 3:
                self._clear((greatest >> 3) + 1, byte)
            self._greatest = counter
        elif greatest - counter > REPLAY_WINDOW:
            return False
        bitmap = self._bitmap
        byte &= _RING_MASK
        bit = 1 << (counter & 7)
        if bitmap[byte] & bit:
            return False
        bitmap[byte] |= bit
        return True

    def _clear(self, first: int, last: int) -> None:
        """Bytes first to last, numbered as if there were no ring, come into use."""
        if last - first >= _BYTES:
            self._bitmap = bytearray(_BYTES)
        else:
            for byte in range(first, last + 1):
                self._bitmap[byte & _RING_MASK] = 0
