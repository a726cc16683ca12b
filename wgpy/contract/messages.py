"""The four messages on the wire, as values. Whitepaper 5.4.2 to 5.4.7.

Invariant: decode(encode(m)) is m, and `decode` accepts exactly what `encode` gives. All integers are
little-endian; the three bytes after the type are zero.
"""

from struct import Struct
from typing import ClassVar, Final

from .constants import (
    COOKIE_REPLY_SIZE,
    INITIATION_SIZE,
    MAC_LENGTH,
    RESPONSE_SIZE,
    TRANSPORT_HEADER_SIZE,
    TRANSPORT_OVERHEAD,
)
from .drops import DropReason
from .errors import DatagramError
from .lazy_dataclass import dataclass

TYPE_INITIATION: Final = 1
TYPE_RESPONSE: Final = 2
TYPE_COOKIE_REPLY: Final = 3
TYPE_TRANSPORT: Final = 4

_ZERO_MAC: Final = bytes(MAC_LENGTH)
_pack_nonce: Final = Struct("<4xQ").pack


@dataclass(frozen=True, slots=True)
class HandshakeInitiation:
    """Whitepaper 5.4.2. 148 bytes."""

    LAYOUT: ClassVar = Struct("<II32s48s28s16s16s")

    sender_index: int
    unencrypted_ephemeral: bytes
    encrypted_static: bytes
    encrypted_timestamp: bytes
    mac1: bytes = _ZERO_MAC
    mac2: bytes = _ZERO_MAC

    def encode(self) -> bytes:
        return self.LAYOUT.pack(
            TYPE_INITIATION,
            self.sender_index,
            self.unencrypted_ephemeral,
            self.encrypted_static,
            self.encrypted_timestamp,
            self.mac1,
            self.mac2,
        )


@dataclass(frozen=True, slots=True)
class HandshakeResponse:
    """Whitepaper 5.4.3. 92 bytes."""

    LAYOUT: ClassVar = Struct("<III32s16s16s16s")

    sender_index: int
    receiver_index: int
    unencrypted_ephemeral: bytes
    encrypted_nothing: bytes
    mac1: bytes = _ZERO_MAC
    mac2: bytes = _ZERO_MAC

    def encode(self) -> bytes:
        return self.LAYOUT.pack(
            TYPE_RESPONSE,
            self.sender_index,
            self.receiver_index,
            self.unencrypted_ephemeral,
            self.encrypted_nothing,
            self.mac1,
            self.mac2,
        )


@dataclass(frozen=True, slots=True)
class CookieReply:
    """Whitepaper 5.4.7. 64 bytes."""

    LAYOUT: ClassVar = Struct("<II24s32s")

    receiver_index: int
    nonce: bytes
    encrypted_cookie: bytes

    def encode(self) -> bytes:
        return self.LAYOUT.pack(TYPE_COOKIE_REPLY, self.receiver_index, self.nonce, self.encrypted_cookie)


@dataclass(frozen=True, slots=True)
class TransportData:
    """Whitepaper 5.4.6. 16 bytes, then the sealed packet: padded plaintext and tag."""

    LAYOUT: ClassVar = Struct("<IIQ")

    receiver_index: int
    counter: int
    encrypted_packet: bytes

    def encode(self) -> bytes:
        return self.LAYOUT.pack(TYPE_TRANSPORT, self.receiver_index, self.counter) + self.encrypted_packet


HandshakeMessage = HandshakeInitiation | HandshakeResponse | CookieReply
Message = HandshakeMessage | TransportData

_FIXED: Final[dict[int, tuple[int, type[HandshakeMessage]]]] = {
    TYPE_INITIATION: (INITIATION_SIZE, HandshakeInitiation),
    TYPE_RESPONSE: (RESPONSE_SIZE, HandshakeResponse),
    TYPE_COOKIE_REPLY: (COOKIE_REPLY_SIZE, CookieReply),
}
HANDSHAKE_SIZES: Final = {kind: size for kind, (size, _) in _FIXED.items()}  # by type


def message_type(datagram: bytes) -> int | None:
    """1 to 4, or None for what is not WireGuard's: another type, reserved bits set, or shorter than 4."""
    if len(datagram) < 4 or datagram[1] or datagram[2] or datagram[3]:
        return None
    return datagram[0] if TYPE_INITIATION <= datagram[0] <= TYPE_TRANSPORT else None


def nonce(counter: int) -> bytes:
    """The 12-byte nonce of a 64-bit counter: four zero bytes, then little-endian."""
    return _pack_nonce(counter)


def decode(datagram: bytes) -> Message:
    """The message in a datagram. Raises DatagramError with UNKNOWN_TYPE or MALFORMED."""
    kind = message_type(datagram)
    if kind is None:
        raise DatagramError(DropReason.UNKNOWN_TYPE)
    if kind == TYPE_TRANSPORT:
        if len(datagram) < TRANSPORT_OVERHEAD:
            raise DatagramError(DropReason.MALFORMED)
        _, index, counter = TransportData.LAYOUT.unpack_from(datagram)
        return TransportData(index, counter, datagram[TRANSPORT_HEADER_SIZE:])
    size, message = _FIXED[kind]
    if len(datagram) != size:
        raise DatagramError(DropReason.MALFORMED)
    return message(*message.LAYOUT.unpack(datagram)[1:])


assert HandshakeInitiation.LAYOUT.size == INITIATION_SIZE
assert HandshakeResponse.LAYOUT.size == RESPONSE_SIZE
assert CookieReply.LAYOUT.size == COOKIE_REPLY_SIZE
assert TransportData.LAYOUT.size == TRANSPORT_HEADER_SIZE
