"""Whether this host's network is a program in user space, as that of a rootless container is.

Such a program, slirp4netns or pasta, reads packets from a TAP and sends their datagrams by sockets of its
own. It clears ECN, and forgets a socket that was silent for some minutes; pasta of 2023 then gives that port
no other one.
"""

from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from wgpy.contract.endpoint import Endpoint

from . import links
from .netlink import RouteLookup

KEEPALIVE: Final = 25  # seconds, in which a socket is kept. wg(8)
ANYWHERE: Final = (Endpoint("192.0.2.1", 9), Endpoint("2001:db8::1", 9))  # as default routes lead there

_USER_NAMESPACE: Final = Path("/proc/self/ns/user")
_INITIAL: Final = 0xEFFFFFFD  # its inode. PROC_USER_INIT_INO of linux/proc_ns.h


def is_contained() -> bool:
    """Return whether this process is in a user namespace, as in a rootless container.

    Elsewhere, a TAP is a VPN's or a virtual machine's.
    """
    with suppress(OSError):
        return _USER_NAMESPACE.stat().st_ino != _INITIAL
    return False


def find_tap(endpoints: Iterable[Endpoint] = ANYWHERE) -> str:
    """Return the TAP of such a network by which an endpoint is reached, "" if there is none."""
    if not is_contained():
        return ""
    with suppress(OSError):
        with closing(RouteLookup()) as routes:
            ways = {routes.interface_towards(each, 0) for each in endpoints}
        taps = {link.index: link.name for link in links.links() if link.is_tap}
        return next((taps[way] for way in ways if way in taps), "")
    return ""


def explain(tap: str) -> str:
    """Return what an operator should know of it."""
    return (
        f"datagrams leave by {tap}, a network in user space (slirp4netns, pasta), which clears ECN: "
        "congestion on their way shows inside the tunnel as loss alone"
    )
