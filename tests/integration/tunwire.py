"""A wire between two hosts' TUNs that cuts every superpacket and joins what may be joined.

Cut and joined by the C data path's own functions, in the test's process; nothing is sealed on the way.
"""

import os
import select
import socket
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from tests.fastpath import offloads
from tests.fastpath.superpackets import VNET_SIZE, Vnet
from tests.integration.hosts import Host

_READS = 16  # superpackets of a batch at most

# Runs in a host's network namespace: opens a TUN there, with every offload it can have, and sends it up.
_OPEN = """
import fcntl, os, socket, struct, sys
tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR, TUNSETIFF, TUNSETOFFLOAD = 1, 0x1000, 0x4000, 0x400454ca, 0x400454d0
TUNSETVNETHDRSZ = 0x400454d8
fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"tun0", IFF_TUN | IFF_NO_PI | IFF_VNET_HDR))
fcntl.ioctl(tun, TUNSETVNETHDRSZ, struct.pack("i", 24))
CSUM, TSO4, TSO6, TSO_ECN, USO4, USO6, UDP_TUNNEL, UDP_TUNNEL_CSUM = 1, 2, 4, 8, 0x20, 0x40, 0x80, 0x100
flags = CSUM | TSO4 | TSO6 | TSO_ECN
kinds = b""
for kind, more in ((b"u", USO4 | USO6), (b"t", UDP_TUNNEL | UDP_TUNNEL_CSUM)):
    try:
        fcntl.ioctl(tun, TUNSETOFFLOAD, flags | more)
        flags |= more
        kinds += kind
    except OSError:
        fcntl.ioctl(tun, TUNSETOFFLOAD, flags)
with socket.socket(fileno=int(sys.argv[1])) as way_up:
    socket.send_fds(way_up, [b"kinds:" + kinds], [tun])
"""


@dataclass(slots=True)
class Counts:
    """What passed in one direction; keys are GSO types, 0 for packets that stood for themselves."""

    read: Counter[int] = field(default_factory=Counter)
    written: Counter[int] = field(default_factory=Counter)
    segments: int = 0
    largest_written: int = 0


class TunWire:
    """Two TUNs named tun0; whatever is routed to one comes out of the other."""

    def __init__(self, one: Host, other: Host) -> None:
        (self._one, kinds), (self._other, _) = _open_tun(one), _open_tun(other)
        self.has_uso, self.has_udp_tunnels = b"u" in kinds, b"t" in kinds
        self.there, self.back = Counts(), Counts()
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._run)
        self._failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take the TUNs away; raises what went wrong on the wire."""
        os.close(self._stop_write)
        self._thread.join()
        for descriptor in (self._one, self._other, self._stop_read):
            os.close(descriptor)
        if self._failure:
            raise self._failure

    def _run(self) -> None:
        ways = {self._one: (self._other, self.there), self._other: (self._one, self.back)}
        poll = select.poll()
        for descriptor in (*ways, self._stop_read):
            poll.register(descriptor, select.POLLIN)
        try:
            while self._stop_read not in (ready := [descriptor for descriptor, _ in poll.poll()]):
                for descriptor in ready:
                    _carry(descriptor, *ways[descriptor])
        except BaseException as failure:  # noqa: BLE001  raised again by stop
            self._failure = failure


def _carry(source: int, target: int, counts: Counts) -> None:
    batch: list[bytes] = []
    with suppress(BlockingIOError):
        for _ in range(_READS):
            data = os.read(source, 1 << 17)
            vnet = Vnet.decode(data[:VNET_SIZE])
            counts.read[vnet.gso_type & 0x7F] += 1
            batch += offloads.cut(vnet, data[VNET_SIZE:])
    counts.segments += len(batch)
    for handed in offloads.join(batch):
        counts.written[handed.vnet.gso_type & 0x7F] += 1
        counts.largest_written = max(counts.largest_written, len(handed.data))
        os.write(target, handed.vnet.encode() + handed.data)


def _open_tun(host: Host) -> tuple[int, bytes]:
    """The TUN's descriptor, and what the kernel leaves uncut: u for UDP, t for what is in UDP tunnels."""
    here, there = socket.socketpair()
    with here, there:
        namespace = f"--net=/proc/{host.namespace()}/ns/net"
        command = [sys.executable, "-I", "-S", "-c", _OPEN, str(there.fileno())]
        subprocess.run(["nsenter", namespace, *command], pass_fds=[there.fileno()], check=True)
        kinds, (descriptor,), _, _ = socket.recv_fds(here, 100, 1)
    return descriptor, kinds.removeprefix(b"kinds:")
