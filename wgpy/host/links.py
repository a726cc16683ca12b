"""Links of this network namespace: which there are, and what wgpy changes of one without `ip`. rtnetlink(7)

A persistent interface outlives its daemon, so it bears the name of its owner, as its alias: a daemon takes
over the interface of that alias, whatever its name is by now, and no other.
"""

import os
import socket
import struct
from typing import Final

from wgpy.contract.lazy_dataclass import dataclass

from .netlink_message import NLM_F_DUMP, UINT, decode_attributes, encode_attribute
from .rtnetlink import change, request

# linux/rtnetlink.h, linux/if_link.h
_RTM_NEWLINK: Final = 16
_RTM_GETLINK: Final = 18
_RTM_SETLINK: Final = 19
_IFF_UP: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFLA_LINKINFO: Final = 18
_IFLA_IFALIAS: Final = 20
_IFLA_AF_SPEC: Final = 26
_IFLA_CARRIER: Final = 33
_IFLA_INFO_KIND: Final = 1
_IFLA_INFO_DATA: Final = 2
_IFLA_TUN_TYPE: Final = 3
_IFF_TAP: Final = b"\x02"
_IFLA_INET_CONF: Final = 1
_IFLA_INET6_ADDR_GEN_MODE: Final = 8
_IPV4_DEVCONF_PROMOTE_SECONDARIES: Final = 20
_IPV4_DEVCONF_SRC_VMARK: Final = 24
_IPV4_DEVCONF_IGNORE_ROUTES_WITH_LINKDOWN: Final = 29
_IN6_ADDR_GEN_MODE_NONE: Final = b"\x01"

_LINK: Final = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change


@dataclass(frozen=True, slots=True)
class HostLink:
    """One of this namespace.

    alias: free text, "" for none; has_carrier: of a TUN, whether a process holds it; is_tap: whether it is a
    TAP, with a program at its other end.
    """

    index: int
    name: str
    alias: str
    has_carrier: bool
    is_tap: bool


def mesh_owner(network: str) -> str:
    """Return the alias of the interface of this host's node in a network."""
    return f"wgpyd --mesh={network}"


def tunnel_owner(interface: str) -> str:
    """Return the alias of a persistent interface outside a mesh."""
    return f"wgpyd --persistent {interface}"


def find_owned(owner: str) -> HostLink | None:
    """Return the persistent interface of an owner, if it has one. Raises OSError."""
    return next((link for link in links() if link.alias == owner), None)


def links() -> list[HostLink]:
    """Return all links of this namespace. Raises OSError."""
    return [_read_link(body) for body in request(_RTM_GETLINK, NLM_F_DUMP, _link(0))]


def set_up(index: int, mtu: int | None = None) -> None:
    """Bring a link up. Raises OSError."""
    attributes = b"" if mtu is None else encode_attribute(_IFLA_MTU, UINT.pack(mtu))
    change(_RTM_NEWLINK, _LINK.pack(socket.AF_UNSPEC, 0, index, _IFF_UP, _IFF_UP) + attributes)


def set_alias(index: int, alias: str) -> None:
    """Raises OSError."""
    _change(index, encode_attribute(_IFLA_IFALIAS, os.fsencode(alias)))


def set_no_link_local_address(index: int) -> None:
    """Let the kernel make no IPv6 address of its own when the link comes up. Raises OSError."""
    mode = encode_attribute(_IFLA_INET6_ADDR_GEN_MODE, _IN6_ADDR_GEN_MODE_NONE)
    _change(index, encode_attribute(_IFLA_AF_SPEC, encode_attribute(socket.AF_INET6, mode)))


def use_ipv4_routes_without_carrier(index: int) -> None:
    """Let routes by a link count also without a carrier. Raises OSError."""
    _change_ipv4(index, _IPV4_DEVCONF_IGNORE_ROUTES_WITH_LINKDOWN, 0)


def keep_secondary_addresses(index: int) -> None:
    """Let an IPv4 address stay when the first of its network is deleted. Raises OSError."""
    _change_ipv4(index, _IPV4_DEVCONF_PROMOTE_SECONDARIES, 1)


def set_src_valid_mark(index: int, *, on: bool) -> None:
    """Let reverse path filtering look at marks, also where /proc/sys is read-only. Raises OSError."""
    _change_ipv4(index, _IPV4_DEVCONF_SRC_VMARK, int(on))


def _change_ipv4(index: int, setting: int, value: int) -> None:
    settings = encode_attribute(_IFLA_INET_CONF, encode_attribute(setting, UINT.pack(value)))
    _change(index, encode_attribute(_IFLA_AF_SPEC, encode_attribute(socket.AF_INET, settings)))


def _change(index: int, attributes: bytes) -> None:
    change(_RTM_SETLINK, _link(index) + attributes)


def _link(index: int) -> bytes:
    return _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0)


def _read_link(body: bytes) -> HostLink:
    attributes = decode_attributes(body[_LINK.size :])
    return HostLink(
        index=_LINK.unpack_from(body)[2],
        name=os.fsdecode(attributes[_IFLA_IFNAME].rstrip(b"\0")),
        alias=os.fsdecode(attributes.get(_IFLA_IFALIAS, b"").rstrip(b"\0")),
        has_carrier=attributes.get(_IFLA_CARRIER) == b"\x01",
        is_tap=_is_tap(decode_attributes(attributes.get(_IFLA_LINKINFO, b""))),
    )


def _is_tap(information: dict[int, bytes]) -> bool:
    data = decode_attributes(information.get(_IFLA_INFO_DATA, b""))
    return information.get(_IFLA_INFO_KIND) == b"tun\0" and data.get(_IFLA_TUN_TYPE) == _IFF_TAP
