"""What superpackets in UDP tunnels are, in plain Python: an outer datagram around each segment.

Nothing here knows of the C code that it is compared with. Sources: RFC 7348 (VXLAN), RFC 8926 (Geneve).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.fastpath.superpackets import (
    GSO_TUNNEL4,
    GSO_TUNNEL6,
    TUNNEL_CSUM,
    UDP,
    Packet,
    Vnet,
    segments,
    superpacket,
)

_ETHERNET = bytes.fromhex("020000000002 020000000001 0800")


@dataclass(frozen=True, slots=True)
class Tunnel:
    """outer: a datagram without payload; between: headers up to the inner packet, in an even length."""

    outer: Packet
    between: bytes
    has_sum: bool = True

    @property
    def inner_at(self) -> int:
        """Where the inner packet begins."""
        return self.outer.header_length + len(self.between)

    def around(self, packet: bytes, *, number: int = 0, partial: bool = False) -> bytes:
        """The datagram of segment `number`; partial: with its pseudo-header's sum for a checksum."""
        identification = (self.outer.id + number) % 2**16
        outer = replace(self.outer, id=identification, payload=self.between + packet)
        data = outer.encode(partial=partial)
        return data if self.has_sum else data[: outer.checksum_at] + bytes(2) + data[outer.checksum_at + 2 :]


_OUTER = Packet(ports=(40000, 8472), protocol=UDP, fragment=0)
_OUTER6 = replace(_OUTER, source=bytes(15) + b"\x03", destination=bytes(15) + b"\x04")
_VXLAN = bytes.fromhex("0800000000000100") + _ETHERNET
_GENEVE = bytes.fromhex("0200655800000100 0104800300000001 0000000200000003") + _ETHERNET

TUNNELS = {
    "VXLAN": Tunnel(_OUTER, _VXLAN),
    "VXLAN without checksums": Tunnel(_OUTER, _VXLAN, has_sum=False),
    "VXLAN over IPv6": Tunnel(_OUTER6, _VXLAN),
    "Geneve": Tunnel(replace(_OUTER, ports=(40000, 6081)), _GENEVE),
}


def tunnelled(tunnel: Tunnel, inner: Packet, size: int) -> tuple[Vnet, bytes]:
    """What the kernel hands out in place of segments of `size` bytes."""
    vnet, data = superpacket(inner, size)
    at = tunnel.inner_at
    around = replace(
        vnet,
        flags=vnet.flags | (TUNNEL_CSUM if tunnel.has_sum else 0),
        gso_type=vnet.gso_type | (GSO_TUNNEL4 if tunnel.outer.version == 4 else GSO_TUNNEL6),
        hdr_len=at + vnet.hdr_len,
        csum_start=at + vnet.csum_start,
        outer_th_offset=tunnel.outer.transport,
        inner_nh_offset=at,
    )
    return around, tunnel.around(data, partial=True)


def tunnelled_segments(tunnel: Tunnel, inner: Packet, size: int) -> Sequence[bytes]:
    """What it stands for."""
    return [tunnel.around(one, number=i) for i, one in enumerate(segments(inner, size))]
