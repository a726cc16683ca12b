"""Local indices: by which 32-bit number a remote peer addresses a handshake or a session of ours.

Invariant: an index in use names exactly one peer, and tells an outsider nothing but that it is of a block.
Whitepaper 5.4.2 (I_i, I_r).
"""

from collections.abc import Callable
from typing import Final

from wgpy.contract.events import PeerId

_BLOCK_SIZE: Final = 2  # bytes, the upper ones
_MAX_BESIDE_BLOCK: Final = 2**14


class IndexTable:
    """Which peer each local index belongs to. At most four per peer are ever in use."""

    __slots__ = ("_block", "_peers", "_random")

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._peers: dict[int, PeerId] = {}
        self._block = b""

    def allocate(self, peer: PeerId) -> int:
        """A random index that is not in use."""
        while (index := self._draw()) in self._peers:
            pass
        self._peers[index] = peer
        return index

    def release(self, index: int) -> None:
        del self._peers[index]

    def peer(self, index: int) -> PeerId | None:
        return self._peers.get(index)

    def unused_block(self) -> int:
        """Upper 16 bits that no index in use has, drawn at random.

        Raises ValueError if there are so many sessions that one block could not hold as many others.
        """
        if len(self._peers) > _MAX_BESIDE_BLOCK:
            raise ValueError("there are too many sessions to tell others from them")
        used = {index >> 16 for index in self._peers}
        while (block := int.from_bytes(self._random(_BLOCK_SIZE), "little")) in used:
            pass
        return block

    def set_block(self, block: int | None) -> None:
        """Give all further indices these upper 16 bits; None: any."""
        self._block = b"" if block is None else block.to_bytes(_BLOCK_SIZE, "little")

    def _draw(self) -> int:
        return int.from_bytes(self._random(4 - len(self._block)) + self._block, "little")

    def __len__(self) -> int:
        return len(self._peers)
