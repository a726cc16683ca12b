"""The few fields of an inner IP header that a data path reads or changes. RFC 791, RFC 8200, RFC 6040.

Invariant: only `stated_length` takes any bytes; the others take packets for which it gave a length.
"""

from typing import Final

IPV4_HEADER_SIZE: Final = 20  # without options
IPV6_HEADER_SIZE: Final = 40

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
        checksum = int.from_bytes(packet[10:12])
        changed[10:12] = _updated_checksum(checksum, packet[1], changed[1]).to_bytes(2)
    else:
        changed[1] = packet[1] & ~(ECN_MASK << 4) | field << 4
    return bytes(changed)


def _updated_checksum(checksum: int, old_word: int, new_word: int) -> int:
    """The header's checksum after one of its 16-bit words changed. RFC 1624, equation 3."""
    total = (checksum ^ 0xFFFF) + (old_word ^ 0xFFFF) + new_word
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
