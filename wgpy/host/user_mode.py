"""Whether this host's network is a program in user space, as that of a rootless container is.

Such a program, slirp4netns or pasta, reads packets from a TAP and sends their datagrams by sockets of its
own. It clears ECN, and forgets a socket that was silent for some minutes; pasta of 2023 then gives that port
no other one. The TAP is in the container, or behind a bridge that containers share.
"""

import os
from collections.abc import Iterable
from contextlib import closing, suppress
from fcntl import ioctl
from sys import byteorder
from typing import Final

from wgpy.contract.endpoint import Endpoint

from . import links
from .netlink import RouteLookup

KEEPALIVE: Final = 25  # seconds, in which a socket is kept. wg(8)
ANYWHERE: Final = (Endpoint("192.0.2.1", 9), Endpoint("2001:db8::1", 9))  # as default routes lead there

_USER_NAMESPACE: Final = "/proc/self/ns/user"
_NETWORK_NAMESPACE: Final = "/proc/self/ns/net"
_INITIAL: Final = 0xEFFFFFFD  # its inode. PROC_USER_INIT_INO of linux/proc_ns.h
_MARKS: Final = ("/run/.containerenv", "/.dockerenv")  # in a container of podman, of Docker
_NS_GET_USERNS: Final = 0xB701  # ioctl_ns(2)
_NS_GET_OWNER_UID: Final = 0xB704
_UNKNOWN: Final = 65534  # a user who is not in this namespace. user_namespaces(7)


def is_contained() -> bool:
    """Return whether this process is in a user namespace, as in a rootless container.

    Elsewhere, a TAP is a VPN's or a virtual machine's.
    """
    with suppress(OSError):
        return os.stat(_USER_NAMESPACE).st_ino != _INITIAL
    return False


def is_rootless() -> bool:
    """Return whether this is an ordinary user's container of podman or Docker, with a network of its own.

    Every way out of one is such a network. A container of root's is in no user namespace, or in root's.
    """
    if not is_contained() or not any(map(os.path.exists, _MARKS)):
        return False
    try:
        with open(_NETWORK_NAMESPACE, "rb") as network:
            os.close(ioctl(network, _NS_GET_USERNS))  # EPERM: it is the host's own
        owner = bytearray(4)
        with open(_USER_NAMESPACE, "rb") as user:
            ioctl(user, _NS_GET_OWNER_UID, owner)
    except OSError:
        return False
    return int.from_bytes(owner, byteorder) != _UNKNOWN


def find_interface(endpoints: Iterable[Endpoint] = ANYWHERE) -> str:
    """Return the interface by which an endpoint is reached through such a network, "" if there is none."""
    if not is_contained():
        return ""
    with suppress(OSError):
        with closing(RouteLookup()) as routes:
            ways = {routes.interface_towards(each, 0) for each in endpoints}
        others = is_rootless()
        leads_there = {link.index: link.name for link in links.links() if link.is_tap or others}
        return next((leads_there[way] for way in ways if way in leads_there), "")
    return ""


def explain(interface: str) -> str:
    """Return what an operator should know of it."""
    return (
        f"datagrams leave by {interface} to a network in user space (slirp4netns, pasta), which clears ECN: "
        "congestion on their way shows inside the tunnel as loss alone"
    )
