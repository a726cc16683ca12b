"""Cryptokey routing: which peer owns an address. Whitepaper 2.

Invariant: an address belongs to the peer of the longest prefix that contains it, and a prefix to one peer
at a time. One dictionary per prefix length, longest first: in Python that beats a bitwise trie at
inserting and at looking up alike, as a step costs the same there and a trie takes one per bit.
"""

from bisect import insort
from operator import itemgetter

from wgpy.contract.events import PeerId
from wgpy.contract.orders import AllowedIP


class AllowedIPs:
    """Prefixes of IPv4 and IPv6 and their peers."""

    __slots__ = ("_families", "_owned")

    def __init__(self) -> None:
        self._families = {4: _Family(32), 16: _Family(128)}  # by length of the address
        self._owned: dict[PeerId, dict[AllowedIP, None]] = {}  # sets that keep their order

    def __len__(self) -> int:
        return sum(map(len, self._owned.values()))

    def insert(self, prefix: AllowedIP, peer: PeerId) -> None:
        """Give the prefix to this peer, whoever had it. Raises ValueError for what is no prefix."""
        check_prefix(prefix)
        address, length = prefix
        family = self._families[len(address)]
        key = int.from_bytes(address) >> family.bits - length
        level = family.levels.get(length) or family.add_level(length)
        before = level.get(key)
        if before == peer:
            return
        level[key] = peer
        if before is not None:
            self._disown(prefix, before)
        owned = self._owned.get(peer)
        if owned is None:
            owned = self._owned[peer] = {}
        owned[prefix] = None

    def remove(self, prefix: AllowedIP, peer: PeerId) -> None:
        """Take the prefix from this peer; nothing happens if it is not this peer's."""
        if prefix in self._owned.get(peer, ()):
            self._disown(prefix, peer)
            self._families[len(prefix.address)].remove(prefix)

    def remove_peer(self, peer: PeerId) -> None:
        """Take all of this peer's prefixes."""
        for prefix in self._owned.pop(peer, ()):
            self._families[len(prefix.address)].remove(prefix)

    def of_peer(self, peer: PeerId) -> list[AllowedIP]:
        """This peer's prefixes, in the order in which it got them."""
        return list(self._owned.get(peer, ()))

    def lookup(self, address: bytes) -> PeerId | None:
        """The peer that owns an address of 4 or 16 bytes, or None."""
        whole = int.from_bytes(address)
        for host_bits, level in self._families[len(address)].longest_first:
            peer = level.get(whole >> host_bits)
            if peer is not None:
                return peer
        return None

    def _disown(self, prefix: AllowedIP, peer: PeerId) -> None:
        owned = self._owned[peer]
        del owned[prefix]
        if not owned:
            del self._owned[peer]


def check_prefix(prefix: AllowedIP) -> None:
    """Raises ValueError for what is none."""
    address, length = prefix
    bits = 8 * len(address)
    if bits not in (32, 128) or not 0 <= length <= bits or int.from_bytes(address) & (1 << bits - length) - 1:
        raise no_prefix(prefix)


def no_prefix(prefix: AllowedIP) -> ValueError:
    """Why this is none."""
    address, length = prefix
    if len(address) not in (4, 16) or not 0 <= length <= 8 * len(address):
        return ValueError(f"no prefix: {address!r}/{length}; want 4 or 16 bytes and a length within them")
    return ValueError(f"no prefix: {address!r}/{length} has host bits; clear them first")


def contains(prefix: AllowedIP, address: bytes) -> bool:
    """Whether an address, 4 or 16 bytes, is of the prefix."""
    if len(address) != len(prefix.address):
        return False
    host_bits = 8 * len(address) - prefix.prefix_length
    return int.from_bytes(address) >> host_bits == int.from_bytes(prefix.address) >> host_bits


_Level = dict[int, PeerId]  # addresses of one prefix length, without their host bits


class _Family:
    """The prefixes of one address family, in levels of one length each; no level stays empty."""

    __slots__ = ("bits", "levels", "longest_first")

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.levels: dict[int, _Level] = {}  # by prefix length
        self.longest_first: list[tuple[int, _Level]] = []  # with the number of host bits

    def add_level(self, length: int) -> _Level:
        level = self.levels[length] = {}
        insort(self.longest_first, (self.bits - length, level), key=itemgetter(0))
        return level

    def remove(self, prefix: AllowedIP) -> None:
        """The prefix must be there."""
        host_bits = self.bits - prefix.prefix_length
        level = self.levels[prefix.prefix_length]
        del level[int.from_bytes(prefix.address) >> host_bits]
        if not level:  # it would cost every look-up
            del self.levels[prefix.prefix_length]
            self.longest_first.remove((host_bits, level))
