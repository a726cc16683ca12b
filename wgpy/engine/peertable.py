"""The peers of an interface, by public key and by the number that the data path has for them."""

from collections.abc import Callable
from typing import Final

from wgpy.contract.constants import MAX_PEERS
from wgpy.contract.errors import StateError
from wgpy.contract.events import PeerId

from .crypto import checked_key
from .noise import Identity
from .peer import Peer

PREPARED_PEERS: Final = 16  # which take a millisecond or two


class PeerTable:
    """by_key: in order of adding."""

    __slots__ = ("_next_id", "by_id", "by_key")

    def __init__(self) -> None:
        self.by_key: dict[bytes, Peer] = {}
        self.by_id: dict[PeerId, Peer] = {}
        self._next_id: PeerId = 1

    def add(self, public_key: bytes, local_key: bytes | None) -> Peer:
        """local_key: the interface's own. Raises ValueError and StateError, as `Engine.add_peer`."""
        if checked_key(public_key) in self.by_key:
            raise ValueError("there is a peer with this public key: change that one")
        if public_key == local_key:
            raise ValueError("this is the interface's own public key: a peer needs another")
        if len(self.by_key) >= MAX_PEERS:
            raise StateError(f"an interface has at most {MAX_PEERS} peers: remove one first")
        # A key of its own, as that of a large `set` would keep the memory of the whole `set`.
        peer = Peer(self._next_id, bytes(bytearray(public_key)))
        self._next_id += 1
        self.by_key[peer.public_key] = self.by_id[peer.id] = peer
        return peer

    def remove(self, peer: Peer) -> None:
        del self.by_key[peer.public_key], self.by_id[peer.id]

    def prepare_initiations(self, identity: Identity, random: Callable[[int], bytes], now: int) -> None:
        """Of all peers, unless they are more than PREPARED_PEERS."""
        if len(self.by_key) <= PREPARED_PEERS:
            for peer in self.by_key.values():
                peer.prepare_initiation(identity, random, now)
