"""ICMP errors for who sends a packet that leads nowhere. RFC 792, RFC 1122 3.2.2, RFC 4443 2.4 and 3.1.

As in the kernel's WireGuard: host unreachable, or address unreachable. An error comes from the destination of
its packet: from an address of our own, the kernel would drop it as a martian.
"""

from typing import Final

from wgpy.contract.constants import ICMP_ERROR_BURST, ICMP_ERROR_INTERVAL

from . import packet as ip

_HOST_UNREACHABLE: Final = bytes((3, 1))  # type and code
_ADDRESS_UNREACHABLE: Final = bytes((1, 3))
_ICMP_ERRORS: Final = frozenset((3, 4, 5, 11, 12))
_FIRST_INFORMATIONAL: Final = 128  # ICMPv6 types below are errors
_REDIRECT: Final = 137
_ICMP_HEADER_SIZE: Final = 8
_MAX_SIZE4: Final = 576  # RFC 1812, 4.3.2.3
_MAX_SIZE6: Final = 1280  # RFC 4443, 3.1
_INTERNETWORK_CONTROL: Final = 0xC0  # TOS, RFC 1812, 4.3.2.5
_TTL: Final = 64
_MULTICAST4: Final = 224  # first byte; what is above is reserved or broadcast
_MULTICAST6: Final = 0xFF


class Unreachable:
    """Makes errors, no more of them than the kernel: ICMP_ERROR_BURST at once, then one each interval."""

    def __init__(self) -> None:
        self.is_silent = False
        self._free_at = 0  # when as many are left as at the beginning; boottime ns

    def error_for(self, packet: bytes, now: int) -> bytes | None:
        """The ICMP error for a valid packet, or None if there may be none."""
        if self.is_silent or not _deserves_error(ip.parse(packet)):
            return None
        free_at = max(self._free_at, now) + ICMP_ERROR_INTERVAL
        if free_at - now > ICMP_ERROR_BURST * ICMP_ERROR_INTERVAL:
            return None
        self._free_at = free_at
        return _error4(packet) if packet[0] >> 4 == 4 else _error6(packet)


def _deserves_error(view: ip.PacketView) -> bool:
    """RFC 1122, 3.2.2, and RFC 4443, 2.4 (e): from one host to one, no later fragment and no error."""
    if view.fragment_offset or not _is_one_host(view.source) or not _may_be_one_host(view.destination):
        return False
    return not (view.is_icmp and (view.payload is None or _is_icmp_error(view)))


def _is_one_host(address: bytes) -> bool:
    return any(address) and _may_be_one_host(address)


def _may_be_one_host(address: bytes) -> bool:
    return address[0] < (_MULTICAST4 if len(address) == 4 else _MULTICAST6)


def _is_icmp_error(view: ip.PacketView) -> bool:
    """Or what may be one, as it is cut short."""
    if not view.payload:
        return True
    if view.version == 4:
        return view.payload[0] in _ICMP_ERRORS
    return view.payload[0] < _FIRST_INFORMATIONAL or view.payload[0] == _REDIRECT


def _error4(packet: bytes) -> bytes:
    quoted = packet[: _MAX_SIZE4 - ip.IPV4_HEADER_SIZE - _ICMP_HEADER_SIZE]
    message = _with_checksum(_HOST_UNREACHABLE + bytes(6) + quoted, 2)
    size = ip.IPV4_HEADER_SIZE + len(message)
    start = bytes((0x45, _INTERNETWORK_CONTROL)) + size.to_bytes(2) + bytes(4) + bytes((_TTL, ip.ICMP, 0, 0))
    return _with_checksum(start + packet[16:20] + packet[12:16], 10) + message


def _error6(packet: bytes) -> bytes:
    quoted = packet[: _MAX_SIZE6 - ip.IPV6_HEADER_SIZE - _ICMP_HEADER_SIZE]
    message = _ADDRESS_UNREACHABLE + bytes(6) + quoted
    addresses = packet[24:40] + packet[8:24]
    pseudo = addresses + len(message).to_bytes(4) + bytes((0, 0, 0, ip.ICMPV6))
    message = _with_checksum(message, 2, also=pseudo)
    return bytes((0x60, 0, 0, 0)) + len(message).to_bytes(2) + bytes((ip.ICMPV6, _TTL)) + addresses + message


def _with_checksum(data: bytes, at: int, also: bytes = b"") -> bytes:
    """With the checksum over it, whose place holds zeros. RFC 1071. also: what it covers besides."""
    total = sum(int.from_bytes(word) << 8 * (len(word) == 1) for word in _words(also + data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return data[:at] + (total ^ 0xFFFF).to_bytes(2) + data[at + 2 :]


def _words(data: bytes) -> list[bytes]:
    return [data[start : start + 2] for start in range(0, len(data), 2)]
