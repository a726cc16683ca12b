"""Translation: addresses of a site as the mesh knows them, mapped, and as they are, real.

Stateless, one to one, between prefixes of one length; the data path in C does the same. Checksums follow the
addresses (RFC 1624); those of IPv6 up to /64 are mapped so that no checksum changes (RFC 6296).

Invariant: there and back is the identity, for packets with right checksums.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Final, NamedTuple

from wgpy.contract.constants import MAX_CLOSED_PORTS, MAX_TRANSLATIONS
from wgpy.contract.drops import DropReason
from wgpy.contract.orders import AllowedIP, LocalPort, Translation

from .allowedips import AllowedIPs, check_prefix, contains
from .packet import (
    DCCP,
    ICMP_HEADER_SIZE,
    ICMPV6,
    IPV4_CHECKSUM,
    TCP,
    UDP,
    UDP_LITE,
    PacketView,
    parse,
    parse_quoted,
    stated_length,
    update_checksum,
    words,
)

# Where a checksum over the addresses lies in the header of the protocol.
_CHECKSUM_OFFSETS: Final = {TCP: 16, UDP: 6, UDP_LITE: 6, DCCP: 6, ICMPV6: 2}
_ICMP_CHECKSUM: Final = 2
_ADDRESS_OFFSETS: Final = {4: (12, 16), 6: (8, 24)}  # of source and destination, by IP version

_NEUTRAL_LENGTH: Final = 64  # longer prefixes of IPv6 leave no word to adjust
_SUBNET_LENGTH: Final = 48  # up to here the word behind it is adjusted: RFC 6296, 3.4; else see 3.5
_SUBNET_WORD: Final = 3
_IPV4_SIZE: Final = 4
_BROADCAST_LENGTH: Final = 30  # longer prefixes have no broadcast address: RFC 3021

# Clouds tell a host its own secrets there, beside 169.254.169.254, which is link-local: Oracle, Alibaba,
# Azure, and over IPv6 Amazon and Google.
_METADATA: Final = frozenset(
    map(
        bytes.fromhex,
        (
            "c00000c0",
            "646464c8",
            "a83f8110",
            "fd000ec2000000000000000000000254",
            "fd2000ce000000000000000000000254",
        ),
    )
)


def check_translations(translations: tuple[Translation, ...], closed: tuple[LocalPort, ...]) -> None:
    """Raises ValueError for what a data path cannot hold."""
    if len(translations) > MAX_TRANSLATIONS:
        raise ValueError(f"there are at most {MAX_TRANSLATIONS} translations, not {len(translations)}")
    if len(closed) > MAX_CLOSED_PORTS:
        raise ValueError(f"there are at most {MAX_CLOSED_PORTS} closed ports, not {len(closed)}")
    for mapped, real in translations:
        check_prefix(mapped)
        check_prefix(real)
        if (len(mapped.address), mapped.prefix_length) != (len(real.address), real.prefix_length):
            raise ValueError("a mapped and a real prefix are of one IP version and one length")
    _check_disjoint(mapped for mapped, _ in translations)
    _check_disjoint(real for _, real in translations)


def _check_disjoint(prefixes: Iterable[AllowedIP]) -> None:
    ordered = sorted(prefixes, key=lambda prefix: (len(prefix.address), prefix))
    for first, second in pairwise(ordered):
        if contains(first, second.address):
            raise ValueError("two mapped prefixes, or two real ones, overlap")


class _Mapping:
    """From one prefix to another."""

    def __init__(self, before: AllowedIP, after: AllowedIP) -> None:
        size = len(before.address)
        self.after = after
        self.keeps_checksums = size > _IPV4_SIZE and before.prefix_length <= _NEUTRAL_LENGTH
        self._host_mask = (1 << 8 * size - before.prefix_length) - 1
        self._adjustment = (sum(words(before.address)) - sum(words(after.address))) % 0xFFFF

    def map(self, address: bytes) -> bytes | None:
        """None: it has no counterpart, as 0xFFFF cannot be told from 0 in a checksum. RFC 6296, 3.7."""
        host = int.from_bytes(address) & self._host_mask
        mapped = (host | int.from_bytes(self.after.address)).to_bytes(len(address))
        return self._adjusted(mapped) if self.keeps_checksums else mapped

    def _adjusted(self, address: bytes) -> bytes | None:
        pieces = words(address)
        if self.after.prefix_length <= _SUBNET_LENGTH:
            candidates = range(_SUBNET_WORD, _SUBNET_WORD + 1)
        else:
            candidates = range(_SUBNET_WORD + 1, len(pieces))
        i = next((i for i in candidates if pieces[i] != 0xFFFF), None)
        if i is None:
            return None
        pieces[i] = (pieces[i] + self._adjustment) % 0xFFFF
        return b"".join(piece.to_bytes(2) for piece in pieces)


def mapped_address(address: bytes, before: AllowedIP, after: AllowedIP) -> bytes | None:
    """Return what an address of one prefix is in another; None if it has no counterpart there."""
    return _Mapping(before, after).map(address)


class _Direction(NamedTuple):
    """One way through a gateway. outer, quoted: what is translated, 0 the source, 1 the destination."""

    find: Callable[[bytes], _Mapping | None]
    outer: int
    quoted: int


class Translations:
    """What `SetTranslations` says. Pure: a packet in, and what becomes of it out."""

    def __init__(
        self, translations: tuple[Translation, ...] = (), closed: tuple[LocalPort, ...] = ()
    ) -> None:
        """Raises ValueError for translations that a data path cannot hold."""
        check_translations(translations, closed)
        to_real = _finder((_Mapping(mapped, real), mapped) for mapped, real in translations)
        to_mapped = _finder((_Mapping(real, mapped), real) for mapped, real in translations)
        self._inbound = _Direction(to_real, outer=1, quoted=0)
        self._outbound = _Direction(to_mapped, outer=0, quoted=1)
        self._closed = frozenset(closed)
        self.value = translations, closed if translations else ()

    def inbound(self, packet: bytes) -> bytes | DropReason:
        """A packet of a peer as the site sees it; or why it is not let in."""
        view = parse(packet)
        mapping = self._inbound.find(view.destination)
        if mapping is None and not view.is_icmp_error:
            return packet
        translated = _translated(packet, view, self._inbound)
        if isinstance(translated, bytes) and mapping is not None and self._is_forbidden(translated, mapping):
            return DropReason.FORBIDDEN_DESTINATION
        return translated

    def outbound(self, packet: bytes) -> bytes | DropReason:
        """A packet from the TUN as the peer sees it; or why it is not sent."""
        return _translated(packet, parse(packet), self._outbound)

    def _is_forbidden(self, packet: bytes, mapping: _Mapping) -> bool:
        view = parse(packet)
        if _is_special(view.destination) or _is_broadcast(view.destination, mapping.after):
            return True
        transport = view.transport
        if transport is None or not view.has_ports:
            return False
        return LocalPort(view.destination, view.protocol, int.from_bytes(transport[2:4])) in self._closed


def _finder(mappings: Iterable[tuple[_Mapping, AllowedIP]]) -> Callable[[bytes], _Mapping | None]:
    """What finds the mapping of an address."""
    prefixes = AllowedIPs()
    found: list[_Mapping] = []
    for mapping, prefix in mappings:
        prefixes.insert(prefix, len(found))
        found.append(mapping)

    def find(address: bytes) -> _Mapping | None:
        i = prefixes.lookup(address)
        return None if i is None else found[i]

    return find


def _translated(packet: bytes, view: PacketView, direction: _Direction) -> bytes | DropReason:
    changed = bytearray(packet)
    refusal = _translate_outer(changed, view, direction)
    if refusal is not None:
        return refusal
    if view.is_icmp_error:
        _translate_quoted(changed, view, direction)
    return bytes(changed)


def _translate_outer(packet: bytearray, view: PacketView, direction: _Direction) -> DropReason | None:
    mapping = direction.find(_address(view, direction.outer))
    if mapping is None:
        return None
    if not mapping.keeps_checksums and not _has_checksum(view):
        first = view.more_fragments and not view.fragment_offset
        return DropReason.INVALID_FRAGMENT if first else DropReason.UNTRANSLATABLE
    return None if _readdress(packet, view, direction.outer, mapping) else DropReason.UNTRANSLATABLE


def _translate_quoted(packet: bytearray, view: PacketView, direction: _Direction) -> None:
    """Let an ICMP error quote what its receiver had sent."""
    error = _transport_offset(packet, view)
    at = error + ICMP_HEADER_SIZE
    before = bytes(packet[at:])
    before = before[: stated_length(before)]
    quoted = parse_quoted(before)
    mapping = None if quoted is None else direction.find(_address(quoted, direction.quoted))
    if quoted is None or mapping is None:
        return
    after = bytearray(before)
    _readdress(after, quoted, direction.quoted, mapping)
    packet[at : at + len(after)] = after
    update_checksum(packet, error + _ICMP_CHECKSUM, before, bytes(after))


def _readdress(packet: bytearray, view: PacketView, which: int, mapping: _Mapping) -> bool:
    """Translate an address and the checksums over it. False, nothing changed: it has no counterpart."""
    before = _address(view, which)
    after = mapping.map(before)
    if after is None:
        return False
    at = _ADDRESS_OFFSETS[view.version][which]
    packet[at : at + len(after)] = after
    if view.version == 4:
        update_checksum(packet, IPV4_CHECKSUM, before, after)
    if not mapping.keeps_checksums and not view.fragment_offset and _has_checksum(view):
        _update_transport(packet, view, before, after)
    return True


def _update_transport(packet: bytearray, view: PacketView, before: bytes, after: bytes) -> None:
    offset = _checksum_offset(view)
    if offset is None:
        return
    at = _transport_offset(packet, view) + offset
    if view.protocol == UDP and packet[at : at + 2] == b"\0\0":  # there is none
        return
    update_checksum(packet, at, before, after)
    if view.protocol == UDP and packet[at : at + 2] == b"\0\0":
        packet[at : at + 2] = b"\xff\xff"


def _has_checksum(view: PacketView) -> bool:
    """Whether the checksum over the addresses is there, or is none to be there."""
    if view.fragment_offset:
        return True
    offset = _checksum_offset(view)
    return view.payload is not None and (offset is None or offset + 2 <= len(view.payload))


def _checksum_offset(view: PacketView) -> int | None:
    if view.protocol == ICMPV6 and view.version == 4:
        return None
    return _CHECKSUM_OFFSETS.get(view.protocol)


def _transport_offset(packet: bytearray, view: PacketView) -> int:
    assert view.payload is not None
    return len(packet) - len(view.payload)


def _address(view: PacketView, which: int) -> bytes:
    return view.destination if which else view.source


def _is_special(address: bytes) -> bool:
    """Whether it is no host of a site: this host, those of one link, many, or a cloud's metadata."""
    if address in _METADATA:
        return True
    if len(address) == _IPV4_SIZE:
        return (
            address[0] in (0, 127)
            or address[:2] == b"\xa9\xfe"
            or 224 <= address[0] <= 239
            or address == b"\xff" * 4
        )
    return (
        address[:12] in (bytes(12), bytes(10) + b"\xff\xff")
        or address[0] == 0xFF
        or (address[0] == 0xFE and address[1] & 0xC0 == 0x80)
    )


def _is_broadcast(address: bytes, prefix: AllowedIP) -> bool:
    if len(address) > _IPV4_SIZE or prefix.prefix_length > _BROADCAST_LENGTH:
        return False
    host_mask = (1 << 32 - prefix.prefix_length) - 1
    return int.from_bytes(address) & host_mask == host_mask
