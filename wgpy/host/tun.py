"""The TUN device: IP packets to and from the kernel. Linux Documentation/networking/tuntap.rst

Facts about the descriptor that nothing else reports, and that need no privilege, from drivers/net/tun.c: it
is writable exactly while the link is up; an edge-triggered epoll wakes at every link-up that comes after
somebody saw it down; once the link is deleted, poll reports POLLERR and reading fails.
"""

import errno
import fcntl
import os
import select
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from enum import Enum, Flag
from typing import Final, Protocol

from wgpy.contract.constants import DEFAULT_MTU
from wgpy.host import links
from wgpy.lazy_log import LOG

try:
    import pytun
except ImportError:
    pytun = None


IFNAMSIZ: Final = 16
MAX_PACKET_SIZE: Final = 65535

# linux/if_tun.h and linux/sockios.h
_TUNSETIFF: Final = 0x400454CA
_TUNSETPERSIST: Final = 0x400454CB
_TUNGETIFF: Final = 0x800454D2
_TUNGETDEVNETNS: Final = 0x54E3
_SIOCGIFMTU: Final = 0x8921
_SIOCSIFMTU: Final = 0x8922
_IFF_TUN: Final = 0x0001
_IFF_MULTI_QUEUE: Final = 0x0100
_IFF_NO_PI: Final = 0x1000
_IFF_VNET_HDR: Final = 0x4000
_IFF_TUN_EXCL: Final = 0x8000
_IFREQ_FLAGS: Final = struct.Struct("16sH22x")
_TUNSETOFFLOAD: Final = 0x400454D0
_TUNGETVNETHDRSZ: Final = 0x800454D7
_TUNSETVNETHDRSZ: Final = 0x400454D8
_TUN_F_CSUM: Final = 0x01
_TUN_F_TSO: Final = 0x02 | 0x04  # IPv4 and IPv6
_TUN_F_TSO_ECN: Final = 0x08
_TUN_F_USO: Final = 0x20 | 0x40  # since Linux 6.2, and only both together
_TUN_F_UDP_TUNNEL: Final = 0x80 | 0x100  # since Linux 6.17: of UDP tunnels, and of those with checksums
_TUNNEL_HEADER_SIZE: Final = 24  # struct virtio_net_hdr_v1_hash_tunnel
_IFREQ_INT: Final = struct.Struct("16si20x")


class Link(Enum):
    """What can be known of a link."""

    UP = "up"
    DOWN = "down"
    DELETED = "deleted"


class TunOffload(Flag):
    """What may pass between the kernel and us. Superpackets need partial checksums."""

    NONE = 0
    CHECKSUM = 1  # packets whose transport checksum is not complete
    TSO = 2  # superpackets of TCP
    USO = 4  # superpackets of UDP
    UDP_TUNNEL = 8  # superpackets in VXLAN, or another tunnel of UDP


class PacketDevice(Protocol):
    """Where an interface reads and writes IP packets."""

    @property
    def name(self) -> str: ...

    def fileno(self) -> int:
        """Readable when there is a packet, or when the device is gone."""

    def queue_filenos(self) -> list[int]:
        """Of all queues; packets of one flow come through one of them. The first is `fileno`."""

    def link_fileno(self) -> int | None:
        """Readable when `link` may have changed, until `acknowledge_link`; None if it is always up."""

    def acknowledge_link(self) -> None: ...

    def link(self) -> Link: ...

    def mtu(self) -> int | None:
        """None if it cannot be known from here."""

    @property
    def vnet_header_size(self) -> int:
        """Bytes of a struct virtio_net_hdr before each packet; `read` and `write` are for 0, that is none."""

    def restore_header(self) -> None:
        """Have packets a header of this size again: another process may have changed it."""

    def set_offloads(self, wanted: TunOffload) -> TunOffload:
        """Let the kernel use these; the answer is what it agreed to, always less without a header."""

    def read(self) -> bytes | None:
        """The next packet, or None if there is none now. Raises OSError once the device is gone."""

    def write(self, packet: bytes) -> None:
        """Raises OSError if the packet was not taken."""

    def close(self) -> None: ...


def check_name(name: str) -> None:
    """Raises ValueError, saying why, if the kernel takes no interface of this name."""
    if not 0 < len(os.fsencode(name)) < IFNAMSIZ:
        raise ValueError(f"an interface name has 1 to {IFNAMSIZ - 1} bytes")
    if name in (".", "..") or any(character in "/:%" or character.isspace() for character in name):
        raise ValueError("an interface name has no space, `/`, `:` or `%`, and is not `.` or `..`")


class Tun:
    """A TUN device."""

    def __init__(self, fd: int, *, mtu: int | None = None, is_shared: bool = False) -> None:
        """Take over this descriptor of a TUN device. Raises ValueError if it is something else.

        mtu: of a device in another network namespace, where it cannot be asked. is_shared: another process
        still reads it, by the header that packets have now.
        """
        name, flags = _identify(fd)
        if not flags & _IFF_TUN or not flags & _IFF_NO_PI:
            raise ValueError(f"{name} must be a TUN device with IFF_NO_PI")
        self._fd = fd
        self._mtu = mtu
        self._more_queues: list[int] = []
        self._name = name
        self._owner = ""
        self._vnet_header_size = _header_size(fd, keep=is_shared) if flags & _IFF_VNET_HDR else 0
        os.set_blocking(fd, False)
        os.set_inheritable(fd, False)
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._link_changes = select.epoll()
        self._link_changes.register(fd, select.EPOLLOUT | select.EPOLLET)

    @classmethod
    def open(cls, name: str, *, vnet_header: bool = False, queues: int = 1, owner: str = "") -> "Tun":
        """Make an interface of this name, or attach to a persistent one that is free.

        queues: more than one only of an interface that is made, since the kernel would share out one
        that is in use. owner: "" for an interface that goes with its last descriptor; else as in `links`,
        for one that `keep` makes persistent; it is taken over with its addresses, whatever its name is now.
        Raises OSError, FileExistsError if a link of the name is not the owner's, BlockingIOError if another
        process holds that of the owner, and ValueError for a name that cannot be.
        """
        check_name(name)
        flags = _IFF_TUN | _IFF_NO_PI
        flags |= _IFF_VNET_HDR if vnet_header else 0
        flags |= _IFF_MULTI_QUEUE if queues > 1 else 0
        if owner:
            return cls._open_owned(name, flags, queues, owner)
        tun = cls._attach(name, flags | _IFF_TUN_EXCL if queues > 1 else flags, queues)
        _make_like_wireguard(tun.name)
        return tun

    @classmethod
    def inherit(cls, fds: Sequence[int], *, owner: str = "", is_shared: bool = False) -> "Tun":
        """Take over all queues of a device that an earlier process opened.

        owner: as for `open`. is_shared: that process still reads it. Raises ValueError if it is something
        else; then all are open.
        """
        tun = cls(fds[0], is_shared=is_shared)
        tun._more_queues += fds[1:]
        tun._owner = owner
        return tun

    @classmethod
    def _open_owned(cls, name: str, flags: int, queues: int, owner: str) -> "Tun":
        found = links.find_owned(owner)
        if found is None:
            return cls._make_owned(name, flags, queues, owner)
        if found.has_carrier:
            raise BlockingIOError(errno.EBUSY, "another process holds it")
        try:
            tun = cls._attach(found.name, flags, queues)
            tun._owner = owner
            return tun
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        _remove(found.name, flags ^ _IFF_MULTI_QUEUE)
        LOG.warning("%s has another number of queues now, so it and the links on it were deleted", found.name)
        return cls._make_owned(found.name, flags, queues, owner)

    @classmethod
    def _make_owned(cls, name: str, flags: int, queues: int, owner: str) -> "Tun":
        """Make one that names its owner before it is persistent, so that none is left behind without."""
        if any(link.name == name for link in links.links()):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        tun = cls._attach(name, flags | _IFF_TUN_EXCL, queues)
        try:
            _make_like_wireguard(name)
            _keep_routes_without_carrier(name)
            links.set_alias(socket.if_nametoindex(name), owner)
            tun._owner = owner
        except OSError:
            tun.close()
            raise
        return tun

    @classmethod
    def _attach(cls, name: str, flags: int, queues: int) -> "Tun":
        tun = cls(_open(name, flags))
        try:
            for _ in range(queues - 1):
                tun._add_queue(flags & ~_IFF_TUN_EXCL)
        except OSError:
            tun.close()
            raise
        return tun

    def keep(self) -> None:
        """Let the interface of an owner outlive this process from now on."""
        if self._owner:
            with suppress(OSError):  # it was deleted
                fcntl.ioctl(self._fd, _TUNSETPERSIST, 1)

    def _add_queue(self, flags: int) -> None:
        fd = _open(self.name, flags)
        self._more_queues.append(fd)
        os.set_blocking(fd, False)

    @property
    def name(self) -> str:
        """The present name, which `ip link set … name …` may have changed."""
        with suppress(ValueError):  # deleted
            self._name, _ = _identify(self._fd)
        return self._name

    def fileno(self) -> int:
        return self._fd

    def queue_filenos(self) -> list[int]:
        return [self._fd, *self._more_queues]

    def link_fileno(self) -> int:
        return self._link_changes.fileno()

    def acknowledge_link(self) -> None:
        self._link_changes.poll(0)

    def link(self) -> Link:
        """How the link is now, wherever it is. Seeing it down arms the wake-up for its next up."""
        flags = next((flags for _, flags in self._poll.poll(0)), 0)
        if flags & select.POLLERR:
            return Link.DELETED
        return Link.UP if flags & select.POLLOUT else Link.DOWN

    def mtu(self) -> int | None:
        """What the constructor was told when the device is in a network namespace that is not ours."""
        if not self._is_in_our_namespace():
            return self._mtu
        try:
            return _interface_ioctl(_SIOCGIFMTU, self.name)
        except OSError:
            return None

    def _is_in_our_namespace(self) -> bool:
        """True where it cannot be known: an old kernel, or no CAP_NET_ADMIN over the other namespace."""
        try:
            theirs = fcntl.ioctl(self._fd, _TUNGETDEVNETNS)
        except OSError:
            return True
        try:
            return os.path.samestat(os.fstat(theirs), os.stat("/proc/self/ns/net"))
        except OSError:
            return True
        finally:
            os.close(theirs)

    @property
    def vnet_header_size(self) -> int:
        return self._vnet_header_size

    def restore_header(self) -> None:
        if self._vnet_header_size:
            with suppress(OSError):  # it was deleted
                _set_header_size(self._fd, self._vnet_header_size)

    def set_offloads(self, wanted: TunOffload) -> TunOffload:
        if not self._vnet_header_size or TunOffload.CHECKSUM not in wanted:
            _set_offloads(self._fd, 0)  # it may still have those of its last user
            return TunOffload.NONE
        # The kernel takes the flags with a shorter header, too, and then every read fails. And the fields of
        # tunnels are little-endian.
        if self._vnet_header_size != _TUNNEL_HEADER_SIZE or sys.byteorder != "little":
            wanted &= ~TunOffload.UDP_TUNNEL
        for accepted, flags in _ways_to_offload(wanted):
            if _set_offloads(self._fd, flags):
                return accepted
        return TunOffload.NONE

    def read(self) -> bytes | None:
        try:
            return os.read(self._fd, MAX_PACKET_SIZE)
        except BlockingIOError:
            return None

    def write(self, packet: bytes) -> None:
        os.write(self._fd, packet)

    def close(self) -> None:
        """The interface goes with its last descriptor, unless it is persistent and still in our namespace.

        In another namespace no daemon would find it again.
        """
        if self._owner and not self._is_in_our_namespace():
            fcntl.ioctl(self._fd, _TUNSETPERSIST, 0)
        self._link_changes.close()
        for fd in self.queue_filenos():
            os.close(fd)


class PacketSocket:
    """A device without a kernel: one end of a socketpair that carries whole IP packets (SOCK_SEQPACKET)."""

    def __init__(self, end: socket.socket, *, name: str = "packets", mtu: int = DEFAULT_MTU) -> None:
        end.setblocking(False)
        self.name = name
        self._socket = end
        self._mtu = mtu

    @property
    def vnet_header_size(self) -> int:
        return 0

    def restore_header(self) -> None:
        pass

    def set_offloads(self, wanted: TunOffload) -> TunOffload:
        return TunOffload.NONE

    def fileno(self) -> int:
        return self._socket.fileno()

    def queue_filenos(self) -> list[int]:
        return [self.fileno()]

    def link_fileno(self) -> None:
        return None

    def acknowledge_link(self) -> None:
        pass

    def link(self) -> Link:
        return Link.UP

    def mtu(self) -> int:
        return self._mtu

    def read(self) -> bytes | None:
        try:
            packet = self._socket.recv(MAX_PACKET_SIZE)
        except BlockingIOError:
            return None
        if not packet:
            raise OSError(errno.EPIPE, "the other end was closed")
        return packet

    def write(self, packet: bytes) -> None:
        self._socket.send(packet)

    def close(self) -> None:
        self._socket.close()


def _make_like_wireguard(name: str) -> None:
    """Give a new TUN device the defaults of the kernel's WireGuard, as far as we may.

    Without an IPv6 link-local address nothing is sent into the tunnel that nobody asked for.
    """
    with suppress(OSError):  # without IPv6
        links.set_no_link_local_address(socket.if_nametoindex(name))
    with suppress(OSError):
        _interface_ioctl(_SIOCSIFMTU, name, DEFAULT_MTU)


def _keep_routes_without_carrier(name: str) -> None:
    """Let routes count while nobody holds the interface, whatever the host's default is, as far as we may.

    Else its packets take the next best route, in the clear. Linux ip-sysctl: ignore_routes_with_linkdown
    """
    with suppress(OSError):
        links.use_ipv4_routes_without_carrier(socket.if_nametoindex(name))
    with (
        suppress(OSError),
        open(f"/proc/sys/net/ipv6/conf/{name}/ignore_routes_with_linkdown", "w") as setting,
    ):
        setting.write("0")


def _remove(name: str, flags: int) -> None:
    """Remove a persistent interface that nobody holds. Raises OSError."""
    fd = _open(name, flags)
    try:
        fcntl.ioctl(fd, _TUNSETPERSIST, 0)
    finally:
        os.close(fd)


def _interface_ioctl(request: int, name: str, value: int = 0) -> int:
    """What a netdevice(7) request answers. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        answer = fcntl.ioctl(any_socket, request, _IFREQ_INT.pack(os.fsencode(name), value))
        return int(_IFREQ_INT.unpack(answer)[1])


def _identify(fd: int) -> tuple[str, int]:
    """Name and flags of the TUN device behind a descriptor. Raises ValueError."""
    try:
        name, flags = _IFREQ_FLAGS.unpack(fcntl.ioctl(fd, _TUNGETIFF, bytes(_IFREQ_FLAGS.size)))
    except OSError:
        raise ValueError(f"descriptor {fd} is no TUN device") from None
    return os.fsdecode(name.rstrip(b"\0")), flags


def _ways_to_offload(wanted: TunOffload) -> Iterator[tuple[TunOffload, int]]:
    """What to try, the best first: old kernels refuse flags that they do not know, and all with them."""
    tcp = _TUN_F_TSO if TunOffload.TSO in wanted else 0
    ecn = _TUN_F_TSO_ECN if tcp else 0
    udp = _TUN_F_USO if TunOffload.USO in wanted else 0
    if TunOffload.UDP_TUNNEL in wanted:
        yield wanted, _TUN_F_CSUM | tcp | ecn | udp | _TUN_F_UDP_TUNNEL
        wanted &= ~TunOffload.UDP_TUNNEL
    if udp:
        yield wanted, _TUN_F_CSUM | tcp | ecn | udp
    without_udp = wanted & ~TunOffload.USO
    if tcp:
        yield without_udp, _TUN_F_CSUM | tcp | ecn
        yield without_udp, _TUN_F_CSUM | tcp
    yield TunOffload.CHECKSUM, _TUN_F_CSUM


def _header_size(fd: int, *, keep: bool) -> int:
    """Bytes of the virtio header, the longest that there is unless it is to be kept."""
    if not keep:
        _set_header_size(fd, _TUNNEL_HEADER_SIZE)
    return int.from_bytes(fcntl.ioctl(fd, _TUNGETVNETHDRSZ, bytes(4)), sys.byteorder)


def _set_header_size(fd: int, size: int) -> None:
    fcntl.ioctl(fd, _TUNSETVNETHDRSZ, size.to_bytes(4, sys.byteorder))


def _set_offloads(fd: int, flags: int) -> bool:
    """Whether the kernel agreed."""
    try:
        fcntl.ioctl(fd, _TUNSETOFFLOAD, flags)
    except OSError:
        return False
    return True


def _open(name: str, flags: int) -> int:
    if pytun is None:
        return _open_by_ioctl(name, flags)
    device = pytun.TunTapDevice(name, flags)
    try:
        # A descriptor of our own: pytun's is closed with its object, and inherited by children.
        return os.dup(device.fileno())
    finally:
        device.close()


def _open_by_ioctl(name: str, flags: int) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _TUNSETIFF, _IFREQ_FLAGS.pack(os.fsencode(name), flags))
    except OSError:
        os.close(fd)
        raise
    return fd
