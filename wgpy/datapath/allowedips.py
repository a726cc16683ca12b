"""Cryptokey routing: which peer owns an address. Whitepaper 2.

Law: an address belongs to the peer of the longest prefix that contains it, and a prefix to one peer
at a time. One dictionary per prefix length, longest first: in Python that beats a bitwise trie at
inserting and at looking up alike, as a step costs the same there and a trie takes one per bit.
"""

from bisect import insort
from operator import itemgetter

from wgpy.engine.actions import AllowedIP
from wgpy.engine.events import PeerId


class AllowedIPs:
    """Prefixes of IPv4 and IPv6 and their peers."""

    __slots__ = ("_ipv4", "_ipv6", "_owned")

    def __init__(self) -> None:
        self._ipv4 = _Family(32)
        self._ipv6 = _Family(128)
        self._owned: dict[PeerId, set[AllowedIP]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._owned.values()))

    def insert(self, prefix: AllowedIP, peer: PeerId) -> None:
        """Give the prefix to this peer, whoever had it. Raises ValueError for what is no prefix."""
        before = self._family(prefix).insert(prefix, peer)
        if before is not None:
            self._owned[before].discard(prefix)
        owned = self._owned.get(peer)
        if owned is None:
            owned = self._owned[peer] = set()
        owned.add(prefix)

    def remove(self, prefix: AllowedIP, peer: PeerId) -> None:
        """Take the prefix from this peer; nothing happens if it is not this peer's."""
        owned = self._owned.get(peer, set())
        if prefix in owned:
            owned.remove(prefix)
            self._family(prefix).remove(prefix)

    def remove_peer(self, peer: PeerId) -> None:
        """Take all of this peer's prefixes."""
        for prefix in self._owned.pop(peer, ()):
            self._family(prefix).remove(prefix)

    def lookup(self, address: bytes) -> PeerId | None:
        """The peer that owns an address of 4 or 16 bytes, or None."""
        family = self._ipv4 if len(address) == 4 else self._ipv6
        return family.lookup(int.from_bytes(address))

    def _family(self, prefix: AllowedIP) -> "_Family":
        return self._ipv4 if len(prefix.address) == 4 else self._ipv6


class _Family:
    """The prefixes of one address family."""

    __slots__ = ("_bits", "_by_length", "_levels")

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._by_length: dict[int, dict[int, PeerId]] = {}
        # (number of host bits, {address without them: peer}), longest prefix first; none is empty.
        self._levels: list[tuple[int, dict[int, PeerId]]] = []

    def insert(self, prefix: AllowedIP, peer: PeerId) -> PeerId | None:
        """Returns the peer that had it."""
        address, length = prefix
        host_bits = self._bits - length
        if len(address) * 8 != self._bits or not 0 <= length <= self._bits:
            raise ValueError(
                f"not a prefix: {address!r}/{length}; want 4 or 16 bytes and a length within them"
            )
        whole = int.from_bytes(address)
        key = whole >> host_bits
        if key << host_bits != whole:
            raise ValueError(f"not a prefix: {address!r}/{length} has host bits; clear them first")
        peers = self._by_length.get(length)
        if peers is None:
            peers = self._by_length[length] = {}
            insort(self._levels, (host_bits, peers), key=itemgetter(0))
        before = peers.get(key)
        peers[key] = peer
        return before

    def remove(self, prefix: AllowedIP) -> None:
        """The prefix must be there."""
        host_bits = self._bits - prefix.prefix_length
        peers = self._by_length[prefix.prefix_length]
        del peers[int.from_bytes(prefix.address) >> host_bits]
        if not peers:  # an empty level would cost every look-up
            del self._by_length[prefix.prefix_length]
            self._levels.remove((host_bits, peers))

    def lookup(self, address: int) -> PeerId | None:
        for host_bits, peers in self._levels:
            peer = peers.get(address >> host_bits)
            if peer is not None:
                return peer
        return None
