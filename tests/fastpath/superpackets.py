"""What superpackets are, in plain Python from the RFCs: how they are cut, and which packets may be joined.

Nothing here knows of the C code that it is compared with.
Sources: RFC 791, 768, 8200, 9293, 1071, 3168, 6864.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import pairwise

TCP, UDP = 6, 17
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
NEEDS_CSUM = 1
TUNNEL_CSUM = 8
GSO_NONE, GSO_TCP4, GSO_TCP6, GSO_UDP, GSO_ECN = 0, 1, 4, 5, 0x80
GSO_TUNNEL4, GSO_TUNNEL6 = 0x20, 0x40
DONT_FRAGMENT = 0x4000

VNET_SIZE = 24
_VNET = "BBHHHH10xHH"  # virtio_net_hdr_v1_hash_tunnel

MOST_BYTES = 65535
MOST_PACKETS = {TCP: 128, UDP: 64}
MOST_FLOWS = 8


@dataclass(frozen=True, slots=True)
class Vnet:
    """The header in front of a packet of the TUN."""

    flags: int = 0
    gso_type: int = GSO_NONE
    hdr_len: int = 0
    gso_size: int = 0
    csum_start: int = 0
    csum_offset: int = 0
    outer_th_offset: int = 0
    inner_nh_offset: int = 0

    def encode(self, order: str = "=") -> bytes:
        """As `decode` takes it; order: of bytes, as struct has it."""
        return struct.pack(f"{order}{_VNET}", *astuple(self))

    @classmethod
    def decode(cls, data: bytes) -> "Vnet":
        return cls(*struct.unpack(f"={_VNET}", data))


@dataclass(frozen=True, slots=True)
class Packet:
    """A TCP segment or a UDP datagram; what its protocol does not have is left as it is by default."""

    source: bytes = bytes([10, 0, 0, 1])
    destination: bytes = bytes([10, 0, 0, 2])
    protocol: int = TCP
    ports: tuple[int, int] = (1000, 2000)
    payload: bytes = b""
    traffic_class: int = 0
    hop_limit: int = 64
    id: int = 7
    fragment: int = DONT_FRAGMENT
    ip_options: bytes = b""
    flow_label: int = 0
    sequence: int = 1
    acknowledgement: int = 1
    reserved: int = 0
    flags: int = ACK
    window: int = 1000
    urgent: int = 0
    options: bytes = b""

    @property
    def version(self) -> int:
        return 4 if len(self.source) == 4 else 6

    @property
    def transport(self) -> int:
        """Where the TCP or UDP header begins."""
        return 20 + len(self.ip_options) if self.version == 4 else 40

    @property
    def checksum_at(self) -> int:
        return self.transport + (16 if self.protocol == TCP else 6)

    @property
    def header_length(self) -> int:
        return self.transport + (20 + len(self.options) if self.protocol == TCP else 8)

    def pseudo_header(self) -> bytes:
        length = self.header_length - self.transport + len(self.payload)
        layout = "!BBH" if self.version == 4 else "!LHBB"
        values = (0, self.protocol, length) if self.version == 4 else (length, 0, 0, self.protocol)
        return self.source + self.destination + struct.pack(layout, *values)

    def encode(self, *, partial: bool = False) -> bytes:
        """The packet; partial: with its pseudo-header's sum for a checksum."""
        transport = self._transport_header()
        at = self.checksum_at - self.transport
        if partial:
            checksum = words(self.pseudo_header())
        else:
            checksum = 0xFFFF - words(self.pseudo_header() + transport + self.payload)
            if self.protocol == UDP and checksum == 0:
                checksum = 0xFFFF  # RFC 768: 0 says that there is none
        transport = transport[:at] + checksum.to_bytes(2) + transport[at + 2 :]
        return self._ip_header(len(transport) + len(self.payload)) + transport + self.payload

    def _ip_header(self, length: int) -> bytes:
        if self.version == 6:
            first = 6 << 28 | self.traffic_class << 20 | self.flow_label
            header = struct.pack("!LHBB", first, length, self.protocol, self.hop_limit)
            return header + self.source + self.destination
        header = struct.pack(
            "!BBHHHBBH", 0x40 | self.transport // 4, self.traffic_class, self.transport + length, self.id,
            self.fragment, self.hop_limit, self.protocol, 0,
        ) + self.source + self.destination + self.ip_options  # fmt: skip
        return header[:10] + (0xFFFF - words(header)).to_bytes(2) + header[12:]

    def _transport_header(self) -> bytes:
        if self.protocol == UDP:
            return struct.pack("!HHHH", *self.ports, 8 + len(self.payload), 0)
        offset = 5 + len(self.options) // 4
        return struct.pack(
            "!HHLLBBHHH", *self.ports, self.sequence, self.acknowledgement, offset << 4 | self.reserved,
            self.flags, self.window, 0, self.urgent,
        ) + self.options  # fmt: skip


def words(data: bytes) -> int:
    """The one's complement sum of 16-bit words, RFC 1071."""
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return total


# -- Cutting -------------------------------------------------------------------------------------


def superpacket(packet: Packet, size: int) -> tuple[Vnet, bytes]:
    """What the kernel hands out in place of segments of `size` bytes."""
    gso_type = GSO_UDP if packet.protocol == UDP else GSO_TCP4 if packet.version == 4 else GSO_TCP6
    if packet.protocol == TCP and packet.flags & CWR:
        gso_type |= GSO_ECN
    offset = packet.checksum_at - packet.transport
    vnet = Vnet(NEEDS_CSUM, gso_type, packet.header_length, size, packet.transport, offset)
    return vnet, packet.encode(partial=True)


def segments(packet: Packet, size: int) -> list[bytes]:
    """What it stands for."""
    starts = range(0, max(1, len(packet.payload)), size)
    return [
        replace(
            packet,
            payload=packet.payload[start : start + size],
            id=(packet.id + i) % 2**16,
            sequence=(packet.sequence + start) % 2**32,
            flags=packet.flags & ~(0 if start == 0 else CWR) & ~(0 if start == starts[-1] else FIN | PSH),
        ).encode()
        for i, start in enumerate(starts)
    ]


# -- Joining -------------------------------------------------------------------------------------


def parsed(data: bytes) -> Packet | None:
    """The packet that these bytes are, if all its lengths are right and it is no fragment."""
    try:
        packet = _ip4(data) if data[0] >> 4 == 4 else _ip6(data) if data[0] >> 4 == 6 else None
        return _with_transport(packet, packet.payload) if packet else None
    except (IndexError, struct.error):
        return None


def _ip4(data: bytes) -> Packet | None:
    header = 4 * (data[0] & 15)
    _, traffic_class, length, ident, fragment, hop_limit, protocol, _ = struct.unpack("!BBHHHBBH", data[:12])
    if not 20 <= header <= len(data) or length != len(data) or fragment & 0x3FFF:
        return None
    return Packet(
        data[12:16], data[16:20], protocol, payload=data[header:], traffic_class=traffic_class,
        hop_limit=hop_limit, id=ident, fragment=fragment, ip_options=data[20:header],
    )  # fmt: skip


def _ip6(data: bytes) -> Packet | None:
    first, length, protocol, hop_limit = struct.unpack("!LHBB", data[:8])
    if len(data) < 40 or length != len(data) - 40:
        return None
    return Packet(
        data[8:24], data[24:40], protocol, payload=data[40:], traffic_class=first >> 20 & 0xFF,
        hop_limit=hop_limit, flow_label=first & 0xFFFFF,
    )  # fmt: skip


def _with_transport(packet: Packet, data: bytes) -> Packet | None:
    if packet.protocol == UDP:
        source, destination, length, _ = struct.unpack("!HHHH", data[:8])
        if length != len(data):
            return None
        return replace(packet, ports=(source, destination), payload=data[8:])
    if packet.protocol != TCP:
        return None
    source, destination, sequence, acknowledgement, offset, flags, window, _, urgent = struct.unpack(
        "!HHLLBBHHH", data[:20]
    )
    header = 4 * (offset >> 4)
    if not 20 <= header <= len(data):
        return None
    return replace(
        packet, ports=(source, destination), payload=data[header:], sequence=sequence,
        acknowledgement=acknowledgement, reserved=offset & 15, flags=flags, window=window, urgent=urgent,
        options=data[20:header],
    )  # fmt: skip


def joined(batch: Sequence[bytes], protocols: Sequence[int] = (TCP, UDP)) -> list[list[int]]:
    """The groups that a batch becomes, as indexes into it."""
    groups: list[list[int]] = []
    growing: list[list[int]] = []
    for i, data in enumerate(batch):
        packet = parsed(data)
        mine = [group for group in growing if packet and _flow(batch[group[0]]) == _flow(data)]
        if mine and packet and packet.protocol in protocols and _continues([batch[k] for k in mine[0]], data):
            mine[0].append(i)
            if _ends(batch[mine[0][0]], data):
                growing.remove(mine[0])
            continue
        growing = [group for group in growing if packet and group not in mine]
        groups.append([i])
        if packet and packet.protocol in protocols and _may_be_joined(data) and not _ends(data, data):
            growing = [*growing, groups[-1]][-MOST_FLOWS:]
    return groups


def superpacket_of(batch: Sequence[bytes]) -> tuple[Vnet, bytes]:
    """What is handed to the kernel in place of these packets."""
    if len(batch) == 1:
        return Vnet(), batch[0]
    packets = list(_parsed(batch))
    last = packets[-1].flags & (FIN | PSH) if packets[0].protocol == TCP else 0
    payload = b"".join(packet.payload for packet in packets)
    whole = replace(packets[0], payload=payload, flags=packets[0].flags | last)
    return superpacket(whole, len(packets[0].payload))


def _parsed(batch: Sequence[bytes]) -> Iterator[Packet]:
    for data in batch:
        packet = parsed(data)
        assert packet
        yield packet


def _flow(data: bytes) -> tuple[bytes, bytes, int, tuple[int, int]]:
    (packet,) = _parsed([data])
    return packet.source, packet.destination, packet.protocol, packet.ports


def _may_be_joined(data: bytes) -> bool:
    """Of a kind that can be joined, whether or not its payload is intact."""
    (packet,) = _parsed([data])
    zero = data[packet.checksum_at : packet.checksum_at + 2] == bytes(2)
    return (
        len(packet.payload) > 0
        and len(data) <= MOST_BYTES
        and not packet.ip_options
        and (packet.version == 6 or data[:20] == packet.encode()[:20])
        and not (packet.flags & (SYN | RST | URG) if packet.protocol == TCP else zero)
    )


def _is_intact(data: bytes) -> bool:
    (packet,) = _parsed([data])
    return packet.encode() == data


def _ends(first: bytes, data: bytes) -> bool:
    """Nothing may follow it in its group, which `first` began."""
    begun, packet = _parsed([first, data])
    pushed = packet.protocol == TCP and packet.flags & (FIN | PSH) > 0
    return pushed or len(packet.payload) < len(begun.payload)


def _continues(group: Sequence[bytes], data: bytes) -> bool:
    *before, packet = _parsed([*group, data])
    first, last = before[0], before[-1]
    ids = [one.id for one in (*before, packet)]
    return (
        _may_be_joined(data)
        and len(group) < MOST_PACKETS[packet.protocol]
        and sum(map(len, group)) - (len(group) - 1) * first.header_length + len(packet.payload) <= MOST_BYTES
        and len(packet.payload) <= len(first.payload)
        and _common(packet) == _common(first)
        and (packet.protocol == UDP or packet.sequence == (last.sequence + len(last.payload)) % 2**32)
        and not (packet.protocol == TCP and packet.flags & CWR)
        and (packet.version == 6 or _counts(ids, packet.fragment))
        and _is_intact(group[0])
        and _is_intact(data)
    )


def _common(packet: Packet) -> Packet:
    """The packet without what may differ from one to the next."""
    return replace(packet, payload=b"", sequence=0, id=0, flags=packet.flags & ~(FIN | PSH | CWR))


def _counts(ids: Sequence[int], fragment: int) -> bool:
    steps = {(after - before) % 2**16 for before, after in pairwise(ids)}
    return steps == {1} or (steps == {0} and bool(fragment & DONT_FRAGMENT))
