"""What translation is, in plain Python: packets are made anew at the other address, with full checksums.

Nothing here knows of the code that it is compared with.
Sources: RFC 791, 792, 768, 8200, 4443, 9293, 1071, 6296.
"""

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from random import Random
from struct import pack

Network = IPv4Network | IPv6Network

ICMP, TCP, UDP, DCCP, GRE, ICMPV6, SCTP, UDP_LITE = 1, 6, 17, 33, 47, 58, 132, 136
CHECKSUM_AT = {TCP: 16, UDP: 6, UDP_LITE: 6, DCCP: 6, ICMPV6: 2, ICMP: 2}
OVER_ADDRESSES = {TCP, UDP, UDP_LITE, DCCP, ICMPV6}
PROTOCOLS = (TCP, TCP, UDP, UDP, ICMP, DCCP, UDP_LITE, GRE, SCTP, 200)  # ICMP: of either version
PLAIN_SIZES = {TCP: 20, UDP: 8, UDP_LITE: 8, DCCP: 12, ICMP: 8, ICMPV6: 8, GRE: 4, SCTP: 12}


def ones_complement_sum(data: bytes) -> int:
    total = sum(int.from_bytes(data[i : i + 2].ljust(2, b"\0")) for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@dataclass(frozen=True)
class Whole:
    """An IP packet that is no fragment, without its checksums.

    extensions: IPv4 options, or IPv6 extension headers, of which `first` is the first one's number;
    transport: header and payload, with zeros for the checksum; unchecked: it keeps them.
    """

    source: bytes
    destination: bytes
    protocol: int
    transport: bytes
    extensions: bytes = b""
    first: int | None = None
    unchecked: bool = False
    hop_limit: int = 64

    @property
    def version(self) -> int:
        return 4 if len(self.source) == 4 else 6

    def encode(self) -> bytes:
        return self.header(len(self.transport)) + self.checked_transport()

    def header(self, size: int, fragment: int = 0) -> bytes:
        """IPv4's with the 16 bits of flags and offset."""
        addresses = self.source + self.destination
        if self.version == 6:
            length = len(self.extensions) + size
            first = self.protocol if self.first is None else self.first
            return pack(">IHBB", 6 << 28, length, first, self.hop_limit) + addresses + self.extensions
        words = (20 + len(self.extensions)) // 4
        length = 4 * words + size
        head = pack(">BBHHHBBH", 0x40 | words, 0, length, 77, fragment, self.hop_limit, self.protocol, 0)
        checksum = ones_complement_sum(head + addresses + self.extensions) ^ 0xFFFF
        return head[:10] + pack(">H", checksum) + addresses + self.extensions

    def checked_transport(self) -> bytes:
        at = CHECKSUM_AT.get(self.protocol)
        if at is None or self.unchecked:
            return self.transport
        pseudo = b""
        if self.protocol in OVER_ADDRESSES:
            pseudo = self.source + self.destination + pack(">II", len(self.transport), self.protocol)
        checksum = ones_complement_sum(pseudo + self.transport) ^ 0xFFFF
        if self.protocol == UDP and checksum == 0:
            checksum = 0xFFFF
        return self.transport[:at] + pack(">H", checksum) + self.transport[at + 2 :]

    def fragments(self, size: int) -> list[bytes]:
        """size: of the payload of each but the last, a multiple of 8. Of a packet without extensions."""
        transport = self.checked_transport()
        pieces = [transport[at : at + size] for at in range(0, len(transport), size)]
        return [self._fragment(piece, i * size // 8, i + 1 < len(pieces)) for i, piece in enumerate(pieces)]

    def _fragment(self, piece: bytes, offset: int, more: bool) -> bytes:
        if self.version == 4:
            return self.header(len(piece), more << 13 | offset) + piece
        extension = pack(">BBHI", self.protocol, 0, offset << 3 | more, 77)
        return replace(self, first=44, extensions=extension).header(len(piece)) + piece


@dataclass(frozen=True)
class Mapping:
    """From one prefix to another of the same length."""

    before: Network
    after: Network

    def map(self, address: bytes) -> bytes | None:
        """None: it has no counterpart."""
        host = int.from_bytes(address) & int(self.before.hostmask)
        mapped = (int(self.after.network_address) | host).to_bytes(len(address))
        return mapped if len(address) == 4 or self.before.prefixlen > 64 else self._neutral(address, mapped)

    def _neutral(self, address: bytes, mapped: bytes) -> bytes | None:
        """With one word so that the sum stays, never one of 0xFFFF. RFC 6296, 3.4 and 3.5."""
        places = [6] if self.before.prefixlen <= 48 else [8, 10, 12, 14]
        for at in places:
            if address[at : at + 2] != b"\xff\xff":
                rest = ones_complement_sum(mapped[:at] + b"\0\0" + mapped[at + 2 :])
                word = (ones_complement_sum(address) - rest) % 0xFFFF
                return mapped[:at] + pack(">H", word) + mapped[at + 2 :]
        return None


@dataclass(frozen=True)
class Site:
    """A prefix as the mesh knows it, and as it is."""

    mapped: Network
    real: Network

    @property
    def to_real(self) -> Mapping:
        return Mapping(self.mapped, self.real)

    @property
    def to_mapped(self) -> Mapping:
        return Mapping(self.real, self.mapped)


def site(mapped: str, real: str) -> Site:
    return Site(ip_network(mapped), ip_network(real))


SITES = (
    site("100.96.4.0/24", "192.168.1.0/24"),
    site("100.97.0.0/20", "10.20.16.0/20"),
    site("100.98.7.64/30", "172.16.255.4/30"),
    site("100.98.7.80/32", "172.17.0.9/32"),
    site("fd12:3456:1::/48", "2001:db8:1::/48"),
    site("fd12:3456:200::/40", "2001:db8:4200::/40"),
    site("fd12:3456:2:1200::/56", "2001:db8:2:ab00::/56"),
    site("fd12:3456:3:7::/64", "2001:db8:3:1::/64"),
    site("fd12:3456:4:1::7:0/112", "fd00:10:96::/112"),
)

# -- Any packets ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Packets, and what they are at the other side of a gateway; inbound: from a peer to a site.

    cause: what an error is about, which went the other way.
    """

    inbound: bool
    given: tuple[bytes, ...]
    expected: tuple[bytes, ...]
    cause: "Case | None" = None


@dataclass
class AnyCases:
    """Random ones, all of which can be translated.

    tcp_flags: of each packet, None for any; routers: the share of errors that routers on the way send.
    """

    random: Random
    sites: tuple[Site, ...] = SITES
    protocols: tuple[int, ...] = PROTOCOLS
    tcp_flags: int | None = None
    routers: float = 0.2
    remote: dict[int, bytes] = field(
        default_factory=lambda: {4: ip_address("10.0.0.2").packed, 6: ip_address("fd00::2").packed}
    )

    def case(self) -> Case:
        site = self.random.choice(self.sites)
        inbound = self.random.random() < 0.5
        kind = self.random.choice((self._plain, self._plain, self._fragmented, self._error))
        return kind(site, inbound)

    def _plain(self, site: Site, inbound: bool) -> Case:
        before, after = self._both_sides(self._whole(site, inbound, extended=True), site, inbound)
        return Case(inbound, (before.encode(),), (after.encode(),))

    def _fragmented(self, site: Site, inbound: bool) -> Case:
        whole = self._whole(site, inbound, extended=False)
        before, after = self._both_sides(whole, site, inbound)
        size = 8 * self.random.randrange(3, 20)
        return Case(inbound, tuple(before.fragments(size)), tuple(after.fragments(size)))

    def _error(self, site: Site, inbound: bool) -> Case:
        """About a packet that went the other way."""
        cause, caused = self._both_sides(self._whole(site, not inbound, extended=True), site, not inbound)
        size = self.random.choice((8, 20, 64, 1000))
        head = len(cause.header(0))
        about_before, about_after = caused.encode()[: head + size], cause.encode()[: head + size]
        outer = replace(
            caused,
            source=caused.destination,
            destination=caused.source,
            extensions=b"",
            first=None,
            unchecked=False,
        )
        if self.random.random() < self.routers:  # whose address is of no prefix
            outer = self._by_router(outer, inbound)
        error = self._both_errors(outer, site, inbound, about_before, about_after)
        return replace(error, cause=Case(not inbound, (cause.encode(),), (caused.encode(),)))

    def _by_router(self, outer: Whole, inbound: bool) -> Whole:
        router = {4: ip_address("10.0.0.3").packed, 6: ip_address("fd00::3").packed}[outer.version]
        return outer if inbound else replace(outer, source=router)

    def _both_errors(self, outer: Whole, site: Site, inbound: bool, before: bytes, after: bytes) -> Case:
        protocol, kinds = (ICMP, (3, 11, 12)) if outer.version == 4 else (ICMPV6, (1, 2, 3, 4))
        head = pack(">BBHI", self.random.choice(kinds), self.random.randrange(6), 0, 1400)
        given = replace(outer, protocol=protocol, transport=head + before)
        _, expected = self._both_sides(given, site, inbound)
        return Case(inbound, (given.encode(),), (replace(expected, transport=head + after).encode(),))

    def _mapped(self, address: bytes, mapping: Mapping) -> bytes:
        """The same if it is not of the prefix."""
        mapped = mapping.map(address) if ip_address(address) in mapping.before else address
        assert mapped is not None
        return mapped

    def _both_sides(self, whole: Whole, site: Site, inbound: bool) -> tuple[Whole, Whole]:
        if inbound:
            return whole, replace(whole, destination=self._mapped(whole.destination, site.to_real))
        return whole, replace(whole, source=self._mapped(whole.source, site.to_mapped))

    def _whole(self, site: Site, inbound: bool, *, extended: bool) -> Whole:
        inside = self._host(site.mapped if inbound else site.real)
        version = site.mapped.version
        ends = (self.remote[version], inside) if inbound else (inside, self.remote[version])
        protocol = self.random.choice(self.protocols)
        if protocol == ICMP and version == 6:
            protocol = ICMPV6
        extensions, first = self._extensions(version, protocol) if extended else (b"", None)
        return Whole(
            *ends,
            protocol,
            self._transport(protocol),
            extensions,
            first,
            unchecked=protocol == UDP and self.random.random() < 0.2,
        )

    def _host(self, prefix: Network) -> bytes:
        """That has a counterpart, and is not forbidden."""
        host = self.random.getrandbits(128) & int(prefix.hostmask)
        if self.random.random() < 0.1:
            host &= 0xFFFF0000FFFF
        if prefix.version == 4 and prefix.prefixlen <= 30 and host == int(prefix.hostmask):
            host -= 1
        if prefix.version == 6 and prefix.prefixlen <= 48 and host >> 64 & 0xFFFF == 0xFFFF:
            host ^= 1 << 64
        return (int(prefix.network_address) | host).to_bytes(prefix.max_prefixlen // 8)

    def _extensions(self, version: int, protocol: int) -> tuple[bytes, int | None]:
        if self.random.random() < 0.8:
            return b"", None
        if version == 4:
            return b"\x01" * 4 * self.random.randrange(1, 11), None
        size = self.random.randrange(3)
        return bytes([protocol, size]) + b"\x01\x04" + bytes(4 + 8 * size), 60

    def _transport(self, protocol: int) -> bytes:
        header = bytearray(self.random.randbytes(PLAIN_SIZES.get(protocol, 4)))
        payload = self.random.randbytes(self.random.choice((0, 1, 7, 32, 33, 100)))
        if protocol in (ICMP, ICMPV6):
            header[0] = 8 if protocol == ICMP else 128
        if protocol == TCP:
            header[12] = 5 << 4
            header[13] = header[13] if self.tcp_flags is None else self.tcp_flags
        if protocol == UDP:
            header[4:6] = pack(">H", len(header) + len(payload))
        if (at := CHECKSUM_AT.get(protocol)) is not None:
            header[at : at + 2] = bytes(2)
        return bytes(header) + payload
