"""A gateway whose kernel translates, between two TUNs in whose place the test stands.

the mesh ── TUN mesh ── routes, and the rules of a table of iptables ── TUN lan ── the site
"""

import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from tests.datapath.translation_model import Network
from tests.integration.hosts import Host

_ROOM = 1 << 16
_WITHIN = 30.0  # seconds
_SETTINGS = (
    *(f"net.ipv4.conf.{name}.rp_filter=0" for name in ("all", "mesh", "lan")),
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
)

# Runs in a host's network namespace: opens a TUN there and sends it up.
_OPEN = """
import fcntl, os, socket, struct, sys
tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
IFF_TUN, IFF_NO_PI, TUNSETIFF = 1, 0x1000, 0x400454ca
fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", sys.argv[1].encode(), IFF_TUN | IFF_NO_PI))
with socket.socket(fileno=int(sys.argv[2])) as way_up:
    socket.send_fds(way_up, [b"tun"], [tun])
"""


@dataclass(frozen=True, slots=True)
class KernelGateway:
    """mesh, lan: descriptors of its TUNs."""

    host: Host
    mesh: int
    lan: int

    @classmethod
    def build(cls, host: Host, remote: tuple[str, ...], real: tuple[Network, ...]) -> "KernelGateway":
        """remote: hosts of the mesh."""
        gateway = cls(host, _open_tun(host, "mesh"), _open_tun(host, "lan"))
        host.run("sysctl", "-qw", *_SETTINGS)
        for name in ("mesh", "lan"):
            host.run("ip", "link", "set", name, "up")
        for prefix in remote:
            host.run("ip", "route", "add", prefix, "dev", "mesh")
        for network in real:
            host.run("ip", "route", "add", str(network), "dev", "lan")
        return gateway

    def close(self) -> None:
        os.close(self.mesh)
        os.close(self.lan)

    def passed(
        self, packets: tuple[bytes, ...], is_all: Callable[[list[bytes]], bool], *, inbound: bool
    ) -> list[bytes]:
        """Return what comes out for these packets until that is all of it; inbound: to the site."""
        source, target = (self.mesh, self.lan) if inbound else (self.lan, self.mesh)
        for packet in packets:
            os.write(source, packet)
        found: list[bytes] = []
        while not is_all(found) and select.select([target], [], [], _WITHIN)[0]:
            packet = os.read(target, _ROOM)
            found += [packet] * (not _is_the_kernels_own(packet))
        return found


def _is_the_kernels_own(packet: bytes) -> bool:
    """Say whether it is of IPv6's discovery of neighbours and listeners: to a group."""
    return packet[0] >> 4 == 6 and packet[24] == 0xFF


def _open_tun(host: Host, name: str) -> int:
    here, there = socket.socketpair()
    with here, there:
        namespace = f"--net=/proc/{host.namespace()}/ns/net"
        command = [sys.executable, "-I", "-S", "-c", _OPEN, name, str(there.fileno())]
        subprocess.run(["nsenter", namespace, *command], pass_fds=[there.fileno()], check=True)
        _, (descriptor,), _, _ = socket.recv_fds(here, 8, 1)
    return descriptor
