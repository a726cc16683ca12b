"""Packets that wait for a keypair: bounded for each peer, and in all."""

from collections import deque

from wgpy.contract.constants import MAX_STAGED_PACKETS, STAGED_CELL


class Staging:
    """The pool of all peers' packets. max_bytes: of whole cells, as in C: both data paths hold as much."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0

    def push(self, staged: deque[bytes], packet: bytes) -> int:
        """Keep a packet of a peer, whose oldest make room for it. Returns how many are dropped."""
        dropped = 0
        room = self._max_bytes - _size(packet)
        while staged and (len(staged) >= MAX_STAGED_PACKETS or self._bytes > room):
            self.pop(staged)
            dropped += 1
        if self._bytes > room:  # the others' fill the pool
            return dropped + 1
        staged.append(packet)
        self._bytes += _size(packet)
        return dropped

    def pop(self, staged: deque[bytes]) -> bytes:
        """The oldest of a peer's, of which there must be one."""
        packet = staged.popleft()
        self._bytes -= _size(packet)
        return packet


def _size(packet: bytes) -> int:
    return max(1, -(-len(packet) // STAGED_CELL)) * STAGED_CELL
