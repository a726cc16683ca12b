"""Local indices: by which 32-bit number a remote peer addresses a handshake or a session of ours.

Invariant: an index in use names exactly one peer, and tells an outsider nothing. Whitepaper 5.4.2 (I_i, I_r).
"""

from collections.abc import Callable

from wgpy.contract.events import PeerId


class IndexTable:
    """Which peer each local index belongs to. At most four per peer are ever in use."""

    __slots__ = ("_peers", "_random")

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._peers: dict[int, PeerId] = {}

    def allocate(self, peer: PeerId) -> int:
        """A random index that is not in use."""
        while (index := int.from_bytes(self._random(4), "little")) in self._peers:
            pass
        self._peers[index] = peer
        return index

    def release(self, index: int) -> None:
        del self._peers[index]

    def peer(self, index: int) -> PeerId | None:
        return self._peers.get(index)

    def __len__(self) -> int:
        return len(self._peers)
