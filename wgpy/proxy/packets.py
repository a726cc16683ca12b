"""IP packets as a transparent proxy reads, changes and makes them. RFC 791, RFC 8200, RFC 768, RFC 9293

Invariant: what is changed is a whole TCP segment, and its checksum stays right: it covers addresses, whose
sum stays when they change places, and the ports, for which it changes.
"""

from typing import Final, NamedTuple

from wgpy.datapath import packet as ip

_TTL: Final = 64
_DONT_FRAGMENT: Final = 0x40
_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_FLAGS: Final = 13  # offset in TCP's header
_TCP_CHECKSUM: Final = 16
_UDP_CHECKSUM: Final = 6
_ICMP_CHECKSUM: Final = 2
_TCP_HEADER_SIZE: Final = 20
_UDP_HEADER_SIZE: Final = 8
_PORT_UNREACHABLE: Final = {4: bytes((3, 3)), 16: bytes((1, 4))}  # type and code, by an address's size
_ECHO_REQUESTS: Final = {ip.ICMP: 8, ip.ICMPV6: 128}  # types by protocol


class Ends(NamedTuple):
    """Of a packet. source, destination: addresses, 4 or 16 bytes; ports: of an echo, its identifier."""

    source: bytes
    destination: bytes
    source_port: int
    destination_port: int

    def turned(self) -> "Ends":
        """Return those of an answer."""
        return Ends(self.destination, self.source, self.destination_port, self.source_port)


class Transport(NamedTuple):
    """What is in a packet. offset: where the transport header begins."""

    protocol: int
    ends: Ends
    offset: int


def read(packet: bytes) -> Transport | None:
    """Return None for what is led nowhere: fragments, other protocols, and ICMP that is no echo request."""
    if not packet or ip.stated_length(packet) != len(packet):
        return None
    view = ip.parse(packet)
    transport = view.transport
    if transport is None or not view.is_whole:
        return None
    ports = int.from_bytes(transport[:2]), int.from_bytes(transport[2:4])
    if view.protocol in _ECHO_REQUESTS:
        if transport[0] != _ECHO_REQUESTS[view.protocol]:
            return None
        ports = int.from_bytes(transport[4:6]), 0
    elif view.protocol not in (ip.TCP, ip.UDP):
        return None
    return Transport(view.protocol, Ends(view.source, view.destination, *ports), len(packet) - len(transport))


def begins(packet: bytes, offset: int) -> bool:
    """Return whether a TCP segment begins a connection."""
    return packet[offset + _FLAGS] & (_SYN | _ACK | _RST) == _SYN


def readdressed(packet: bytes, offset: int, ports: tuple[int, int]) -> bytes:
    """Return a TCP segment whose addresses have changed places, with other ports."""
    changed = bytearray(packet)
    if packet[0] >> 4 == 4:
        changed[12:16], changed[16:20] = packet[16:20], packet[12:16]
    else:
        changed[8:24], changed[24:40] = packet[24:40], packet[8:24]
    written = ports[0].to_bytes(2) + ports[1].to_bytes(2)
    changed[offset : offset + 4] = written
    ip.update_checksum(changed, offset + _TCP_CHECKSUM, packet[offset : offset + 4], written)
    return bytes(changed)


def refusal(packet: bytes, transport: Transport) -> bytes:
    """Return the answer to the first segment of a connection, where nobody listens. RFC 9293 3.5.2"""
    ends, at = transport.ends.turned(), transport.offset
    expected = (int.from_bytes(packet[at + 4 : at + 8]) + 1) % (1 << 32)
    ports = ends.source_port.to_bytes(2) + ends.destination_port.to_bytes(2)
    header = ports + bytes(4) + expected.to_bytes(4) + bytes((_TCP_HEADER_SIZE << 2, _RST | _ACK)) + bytes(6)
    return _packet(ends, ip.TCP, header, _TCP_CHECKSUM)


def datagram(ends: Ends, data: bytes) -> bytes:
    """Return a packet with a datagram of UDP."""
    ports = ends.source_port.to_bytes(2) + ends.destination_port.to_bytes(2)
    size = (_UDP_HEADER_SIZE + len(data)).to_bytes(2)
    return _packet(ends, ip.UDP, ports + size + bytes(2) + data, _UDP_CHECKSUM)


def port_unreachable(ends: Ends) -> bytes:
    """Return the ICMP error for a datagram, of a host where nobody listens. RFC 792, RFC 4443 3.1"""
    message = _PORT_UNREACHABLE[len(ends.source)] + bytes(6) + datagram(ends, b"")
    protocol = ip.ICMP if len(ends.source) == 4 else ip.ICMPV6
    return _packet(ends.turned(), protocol, message, _ICMP_CHECKSUM)


def echo_reply(ends: Ends, message: bytes) -> bytes:
    """Return a packet with a message of ICMP, whose identifier is the destination's port."""
    written = message[:2] + bytes(2) + ends.destination_port.to_bytes(2) + message[6:]
    protocol = ip.ICMP if len(ends.source) == 4 else ip.ICMPV6
    return _packet(ends, protocol, written, _ICMP_CHECKSUM)


def _packet(ends: Ends, protocol: int, content: bytes, checksum_at: int) -> bytes:
    """checksum_at: where the content has zeros for its checksum."""
    addresses = ends.source + ends.destination
    covered = b"" if protocol == ip.ICMP else addresses + len(content).to_bytes(4) + protocol.to_bytes(4)
    content = _with_checksum(content, checksum_at, covered)
    if len(ends.source) == 16:
        start = bytes((0x60, 0, 0, 0)) + len(content).to_bytes(2) + bytes((protocol, _TTL))
        return start + addresses + content
    size = (ip.IPV4_HEADER_SIZE + len(content)).to_bytes(2)
    header = bytes((0x45, 0)) + size + bytes((0, 0, _DONT_FRAGMENT, 0, _TTL, protocol, 0, 0)) + addresses
    return _with_checksum(header, ip.IPV4_CHECKSUM) + content


def _with_checksum(data: bytes, at: int, also: bytes = b"") -> bytes:
    """also: what it covers besides. A remainder by 65535 is the sum of RFC 1071, and never makes a zero."""
    covered = data + bytes(len(data) % 2) + also
    checksum = 0xFFFF - int.from_bytes(covered) % 0xFFFF
    return data[:at] + checksum.to_bytes(2) + data[at + 2 :]
