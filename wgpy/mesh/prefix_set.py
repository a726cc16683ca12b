"""Sets of prefixes, for many look-ups of what they cover and overlap: the cost does not grow with a set."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, collapse_addresses, summarize_address_range
from typing import Any, Final

from wgpy.address import Prefix

_BITS: Final = {4: 32, 6: 128}
_ADDRESS: Final[dict[int, Any]] = {4: IPv4Address, 6: IPv6Address}


class Prefixes:
    """Prefixes of both versions of IP."""

    def __init__(self, prefixes: Iterable[Prefix] = ()) -> None:
        self._present: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}  # version, length: the leading bits
        self._above: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}  # the same of what covers those
        for prefix in prefixes:
            self.add(prefix)

    def add(self, prefix: Prefix) -> None:
        address, bits, length = int(prefix.network_address), _BITS[prefix.version], prefix.prefixlen
        self._present[prefix.version].setdefault(length, set()).add(address >> (bits - length))
        above = self._above[prefix.version]
        for shorter in range(length - 1, -1, -1):
            leading = above.setdefault(shorter, set())
            if address >> (bits - shorter) in leading:
                break  # and so are all shorter ones
            leading.add(address >> (bits - shorter))

    def cover(self, prefix: Prefix) -> bool:
        """Return whether one of them covers the prefix."""
        address, bits = int(prefix.network_address), _BITS[prefix.version]
        return any(
            length <= prefix.prefixlen and address >> (bits - length) in leading
            for length, leading in self._present[prefix.version].items()
        )

    def overlap(self, prefix: Prefix) -> bool:
        """Return whether one of them overlaps the prefix."""
        leading = int(prefix.network_address) >> (_BITS[prefix.version] - prefix.prefixlen)
        return self.cover(prefix) or leading in self._above[prefix.version].get(prefix.prefixlen, ())


def complement(prefixes: Iterable[Prefix]) -> Iterator[Prefix]:
    """Give as few prefixes as there can be of all addresses that none of these has, of both versions."""
    known = list(prefixes)
    for version, bits in _BITS.items():
        first = 0
        taken: list[Any] = [prefix for prefix in known if prefix.version == version]
        for prefix in collapse_addresses(taken):
            yield from _between(version, first, int(prefix.network_address) - 1)
            first = int(prefix.broadcast_address) + 1
        yield from _between(version, first, (1 << bits) - 1)


def _between(version: int, first: int, last: int) -> Iterable[Prefix]:
    """first, last: inclusive; none if the last one is before the first."""
    address = _ADDRESS[version]
    return summarize_address_range(address(first), address(last)) if first <= last else ()
