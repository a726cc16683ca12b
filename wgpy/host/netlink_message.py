"""Headers and attributes of netlink's messages. netlink(7), rtnetlink(7)"""

import struct
from typing import Final

# linux/netlink.h
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_REQUEST: Final = 0x1
NLM_F_ACK: Final = 0x4
NLM_F_DUMP: Final = 0x300

HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
INT: Final = struct.Struct("=i")
UINT: Final = struct.Struct("=I")
_ATTRIBUTE: Final = struct.Struct("=HH")  # length, type
_TYPE: Final = 0x3FFF  # of an attribute, without its flags


def encode_message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return HEADER.pack(HEADER.size + len(body), kind, flags, sequence, 0) + body


def read_port(data: bytes) -> int:
    """Return the port in the first of messages that came together, which is that of them all."""
    return int(HEADER.unpack_from(data)[4])


def encode_attribute(kind: int, value: bytes) -> bytes:
    size = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(size, kind) + value + bytes(aligned(size) - size)


def decode_attributes(data: bytes) -> dict[int, bytes]:
    """Return values by type."""
    attributes: dict[int, bytes] = {}
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        attributes[kind & _TYPE] = data[offset + _ATTRIBUTE.size : offset + size]
        offset += max(aligned(size), _ATTRIBUTE.size)
    return attributes


def aligned(size: int) -> int:
    """Return the size of a message or an attribute with the padding behind it."""
    return size + 3 & ~3
