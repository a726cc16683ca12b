"""What a data path reads and changes of an IP packet. RFC 791, RFC 8200, RFC 4302 (AH), RFC 6040 (ECN).

Invariant: only `stated_length` and `parse_quoted` take any bytes; the others take packets for which the
first gave a length.
"""

from typing import Final, NamedTuple

from wgpy.contract.constants import PADDING_MULTIPLE

IPV4_HEADER_SIZE: Final = 20  # without options
IPV6_HEADER_SIZE: Final = 40
IPV4_CHECKSUM: Final = 10  # offset in the header

ICMP: Final = 1
TCP: Final = 6
UDP: Final = 17
DCCP: Final = 33
ICMPV6: Final = 58
SCTP: Final = 132
UDP_LITE: Final = 136
WITH_PORTS: Final = frozenset((TCP, UDP, DCCP, SCTP, UDP_LITE))

HOP_BY_HOP: Final = 0
ROUTING: Final = 43
FRAGMENT: Final = 44
AUTHENTICATION: Final = 51
DESTINATION_OPTIONS: Final = 60
EXTENSIONS: Final = frozenset((HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS))
MAX_EXTENSION_HEADERS: Final = 8

# ICMP's types that report an error, by IP version. RFC 792, RFC 4443.
_ERRORS: Final = {4: frozenset((3, 11, 12)), 6: frozenset((1, 2, 3, 4))}
ICMP_HEADER_SIZE: Final = 8  # what an error quotes comes behind it

_LEAST_EXTENSION: Final = 8  # bytes

_FLAGS_END: Final = 14  # bytes of a TCP header up to its flags
_LEAST_TRANSPORT: Final = 8  # bytes of a header with ports, or of ICMP's

NOT_ECT: Final = 0b00
ECT_1: Final = 0b01
ECT_0: Final = 0b10
CE: Final = 0b11
ECN_MASK: Final = 0b11

# RFC 6040 figure 4: [inner][outer] is the ECN field to pass on, None to drop the packet.
_DECAPSULATED: Final[dict[int, dict[int, int | None]]] = {
    NOT_ECT: {NOT_ECT: NOT_ECT, ECT_0: NOT_ECT, ECT_1: NOT_ECT, CE: None},
    ECT_0: {NOT_ECT: ECT_0, ECT_0: ECT_0, ECT_1: ECT_1, CE: CE},
    ECT_1: {NOT_ECT: ECT_1, ECT_0: ECT_1, ECT_1: ECT_1, CE: CE},
    CE: {NOT_ECT: CE, ECT_0: CE, ECT_1: CE, CE: CE},
}


class PacketView(NamedTuple):
    """What the headers of an IP packet say.

    protocol: of what follows all IP headers, or, of a fragment that is not the first, as it says;
    payload: what follows all IP headers; None if these go beyond the end, are wrong or too many;
    fragment_offset: in units of 8 bytes; is_whole: it is no fragment, and has no fragment header.
    """

    version: int
    source: bytes
    destination: bytes
    protocol: int
    payload: bytes | None
    fragment_offset: int = 0
    more_fragments: bool = False
    is_whole: bool = True

    @property
    def transport(self) -> bytes | None:
        """The payload if the fields are in it that one looks at; not of a fragment that is not the first."""
        if self.payload is None or self.fragment_offset or len(self.payload) < self._least():
            return None
        return self.payload

    @property
    def is_cut_short(self) -> bool:
        """It is a first fragment that ends within its transport header."""
        first = self.more_fragments and not self.fragment_offset
        return first and self.payload is not None and len(self.payload) < self._least()

    @property
    def is_icmp(self) -> bool:
        return self.protocol == (ICMP if self.version == 4 else ICMPV6)

    @property
    def is_icmp_error(self) -> bool:
        transport = self.transport
        return transport is not None and self.is_icmp and transport[0] in _ERRORS[self.version]

    @property
    def has_ports(self) -> bool:
        return self.protocol in WITH_PORTS

    def _least(self) -> int:
        if self.protocol == TCP:
            return _FLAGS_END
        return _LEAST_TRANSPORT if self.has_ports or self.is_icmp else 0


def parse(packet: bytes) -> PacketView:
    """View a packet that is as long as `stated_length` says."""
    return _parse4(packet) if packet[0] >> 4 == 4 else _parse6(packet)


def parse_quoted(data: bytes) -> PacketView | None:
    """View the beginning of a packet, as ICMP errors quote it; None if it is none."""
    length = stated_length(data)
    return parse(data[:length]) if length else None


def _parse4(packet: bytes) -> PacketView:
    header = 4 * (packet[0] & 15)
    fragment = int.from_bytes(packet[6:8])
    return PacketView(
        4,
        packet[12:16],
        packet[16:20],
        packet[9],
        packet[header:] if IPV4_HEADER_SIZE <= header <= len(packet) else None,
        fragment & 0x1FFF,
        bool(fragment & 0x2000),
        fragment & 0x3FFF == 0,
    )


def _parse6(packet: bytes) -> PacketView:
    view = PacketView(6, packet[8:24], packet[24:40], packet[6], packet[IPV6_HEADER_SIZE:])
    for _ in range(MAX_EXTENSION_HEADERS):
        view = _pass_extension(view)
    return view._replace(payload=None) if _is_extended(view) else view


def _is_extended(view: PacketView) -> bool:
    return view.payload is not None and not view.fragment_offset and view.protocol in EXTENSIONS


def _pass_extension(view: PacketView) -> PacketView:
    """The view behind the extension header that is next, if there is one."""
    data = view.payload
    if data is None or not _is_extended(view):
        return view
    size = _extension_size(view.protocol, data)
    if size > len(data) or (view.protocol == FRAGMENT and not view.is_whole):
        return view._replace(payload=None)
    if view.protocol == FRAGMENT:
        field = int.from_bytes(data[2:4])
        view = view._replace(fragment_offset=field >> 3, more_fragments=bool(field & 1), is_whole=False)
    return view._replace(protocol=data[0], payload=data[size:])


def _extension_size(protocol: int, data: bytes) -> int:
    if protocol == FRAGMENT or len(data) < _LEAST_EXTENSION:
        return _LEAST_EXTENSION
    return 4 * (data[1] + 2) if protocol == AUTHENTICATION else 8 * (data[1] + 1)


def stated_length(packet: bytes) -> int:
    """The packet's length by its own header, which may not be the real one; 0 for what is no IP packet.

    An IPv6 jumbogram states no more than its header, as RFC 2675 is not spoken here.
    """
    size = len(packet)
    if size >= IPV4_HEADER_SIZE:
        version = packet[0] >> 4
        if version == 4:
            length = packet[2] << 8 | packet[3]
            return length if length >= IPV4_HEADER_SIZE else 0
        if version == 6 and size >= IPV6_HEADER_SIZE:
            return IPV6_HEADER_SIZE + (packet[4] << 8 | packet[5])
    return 0


def source(packet: bytes) -> bytes:
    """The source address, 4 or 16 bytes."""
    return packet[12:16] if packet[0] >> 4 == 4 else packet[8:24]


def destination(packet: bytes) -> bytes:
    """The destination address, 4 or 16 bytes."""
    return packet[16:20] if packet[0] >> 4 == 4 else packet[24:40]


def ecn(packet: bytes) -> int:
    """The ECN field: the low bits of IPv4's TOS or IPv6's traffic class."""
    return packet[1] & ECN_MASK if packet[0] >> 4 == 4 else packet[1] >> 4 & ECN_MASK


def decapsulate_ecn(packet: bytes, outer: int) -> bytes | None:
    """The packet with its ECN field and the outer header's combined; None if it must be dropped.

    That is the case for CE around a packet whose sender does not speak ECN: a loss is the only
    signal of congestion it understands.
    """
    inner = ecn(packet)
    combined = _DECAPSULATED[inner][outer]
    if combined is None:
        return None
    return packet if combined == inner else _with_ecn(packet, combined)


def _with_ecn(packet: bytes, field: int) -> bytes:
    changed = bytearray(packet)
    if packet[0] >> 4 == 4:
        changed[1] = packet[1] & ~ECN_MASK | field
        update_checksum(changed, IPV4_CHECKSUM, packet[:2], bytes(changed[:2]))
    else:
        changed[1] = packet[1] & ~(ECN_MASK << 4) | field << 4
    return bytes(changed)


def update_checksum(packet: bytearray, at: int, before: bytes, after: bytes) -> None:
    """Change the checksum there as the bytes change that it covers. RFC 1624, equation 3.

    Of an odd number of bytes the last one counts as if a zero followed.
    """
    checksum = int.from_bytes(packet[at : at + 2])
    total = (checksum ^ 0xFFFF) + (_folded(sum(words(before))) ^ 0xFFFF) + sum(words(after))
    packet[at : at + 2] = (_folded(total) ^ 0xFFFF).to_bytes(2)


def _folded(total: int) -> int:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def words(data: bytes) -> list[int]:
    """Of 16 bits."""
    return [int.from_bytes(data[i : i + 2].ljust(2, b"\0")) for i in range(0, len(data), 2)]


def padding(size: int, mtu: int) -> int:
    """How many zeros follow a packet: up to PADDING_MULTIPLE, but not past the MTU. Whitepaper 5.4.6.

    A packet longer than the MTU was known to be larger a moment ago; as in the kernel, only what
    exceeds a whole number of MTUs counts then.
    """
    last = size % mtu if size > mtu else size
    return min(-last % PADDING_MULTIPLE, mtu - last)
