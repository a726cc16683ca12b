"""Gives a link of this network namespace addresses and routes, without `ip`. rtnetlink(7)"""

import socket
import struct
from ipaddress import IPv4Interface, IPv6Interface
from typing import Final

from .netlink_message import UINT, encode_attribute
from .rtnetlink import change

# linux/rtnetlink.h, linux/if_addr.h
_RTM_NEWADDR: Final = 20
_RTM_NEWROUTE: Final = 24
_NLM_F_REPLACE: Final = 0x100
_NLM_F_CREATE: Final = 0x400
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_F_NODAD: Final = 2
_RTA_DST: Final = 1
_RTA_OIF: Final = 4
_RT_TABLE_MAIN: Final = 254
_RTPROT_STATIC: Final = 4
_RT_SCOPE_UNIVERSE: Final = 0
_RT_SCOPE_LINK: Final = 253
_RTN_UNICAST: Final = 1

_ADDRESS: Final = struct.Struct("=4Bi")  # struct ifaddrmsg: family, prefix length, flags, scope, index
# struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
_ROUTE: Final = struct.Struct("=8BI")


def add_address(index: int, address: IPv4Interface | IPv6Interface) -> None:
    """Add an address, usable at once; one that is there already stays. Raises OSError."""
    family = _family(address.packed)
    header = _ADDRESS.pack(family, address.network.prefixlen, _IFA_F_NODAD, _RT_SCOPE_UNIVERSE, index)
    both = (_IFA_ADDRESS, _IFA_LOCAL)
    attributes = b"".join(encode_attribute(kind, address.packed) for kind in both)
    change(_RTM_NEWADDR, header + attributes, _NLM_F_CREATE | _NLM_F_REPLACE)


def add_route(index: int, address: bytes, prefix_length: int) -> None:
    """Route a prefix into a link, by the main table. Raises OSError."""
    family = _family(address)
    scope = _RT_SCOPE_LINK if family == socket.AF_INET else _RT_SCOPE_UNIVERSE
    header = _ROUTE.pack(family, prefix_length, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, scope, _RTN_UNICAST, 0)
    destination = encode_attribute(_RTA_DST, address) if prefix_length else b""
    attributes = destination + encode_attribute(_RTA_OIF, UINT.pack(index))
    change(_RTM_NEWROUTE, header + attributes, _NLM_F_CREATE | _NLM_F_REPLACE)


def _family(packed: bytes) -> socket.AddressFamily:
    return socket.AF_INET if len(packed) == 4 else socket.AF_INET6
