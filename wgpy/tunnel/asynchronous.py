"""A tunnel of one program on its event loop. Its sockets are the kernel's.

Invariant: nothing of the host changes. Interface, addresses and routes are in a network namespace of the
tunnel's own, which ends with the program.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from errno import EAFNOSUPPORT
from functools import partial
from socket import AddressFamily, SocketKind
from socket import socket as Socket  # noqa: N812 - a method is called so
from typing import Any, Final, NamedTuple, TypeVar

from wgpy import config as config_files
from wgpy.address import HostPort, format_prefix
from wgpy.config import Config
from wgpy.config_values import InterfaceAddress
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import DataSent
from wgpy.datapath import Counters
from wgpy.device import DeviceEvent
from wgpy.driver.interface import Interface
from wgpy.driver.settings import Settings
from wgpy.endpoint_names import names_of
from wgpy.engine.actions import HandshakeCompleted, PeerUnreachable
from wgpy.host import user_mode
from wgpy.host.tun import PacketDevice, Tun
from wgpy.keys import PublicKey
from wgpy.model import DeviceStatus, DeviceUpdate

from . import endpoints
from .connecting import connect, connect_first, read_address
from .errors import TunnelError
from .names import LookUp, NameFollower
from .namespace import Namespace, Network, Program
from .resolver import AddressInfo, Resolver

INTERFACE: Final = "wg0"  # its name inside
_MAX_EVENTS: Final = 1024  # that wait for a reader
_BACKLOG: Final = 1024
_DOES_NOT_BLOCK: Final = int(socket.SOCK_NONBLOCK)  # an enum's member takes longer
_Protocol = TypeVar("_Protocol", bound=asyncio.BaseProtocol)


class TunnelEvent(NamedTuple):
    """What happened with a peer."""

    peer: PublicKey
    event: DeviceEvent


class AsyncTunnel:
    """Works from `open` on, on the running loop, and ends with `close`.

    user_mode_interface: by which datagrams leave to a network in user space, as in a rootless container, ""
    for none. That clears ECN; peers have a keepalive there, unless the configuration says another one, and
    are tried by another port while they do not answer, unless it says which.
    """

    def __init__(self, config: Config, packets: PacketDevice | None, settings: Settings) -> None:
        """As `wgpy.Tunnel`."""
        self.config = config
        self.user_mode_interface = ""
        self._packets = packets
        self._settings = settings
        self._namespace: Namespace | None = None
        self._closing = ExitStack()
        self._readers: set[asyncio.Queue[TunnelEvent | None]] = set()
        self._resolver = Resolver(self.make_socket, self.config.dns, self.config.dns_search)

    async def open(self) -> None:
        """Raises TunnelError, and OSError for a device that cannot be used; then nothing is left."""
        with ExitStack() as opened:
            await self._open(opened)
            self._closing = opened.pop_all()

    def close(self) -> None:
        """End the tunnel; sockets that are still open lead nowhere. Harmless when repeated."""
        self._closing.close()
        for reader in self._readers:
            _put(reader, None)

    async def wait_closed(self) -> None:
        """Return when the tunnel has ended: by `close`, or as its process or its device is gone."""
        await self._interface.wait_closed()

    @property
    def addresses(self) -> Sequence[InterfaceAddress]:
        """Those of this end."""
        return self.config.addresses

    @property
    def listen_port(self) -> int:
        """The UDP port of the tunnel's own datagrams."""
        return self._interface.listen_port

    # -- Sockets ---------------------------------------------------------------------------------

    def socket(
        self,
        family: int = socket.AF_INET,
        type: int = socket.SOCK_STREAM,
        proto: int = 0,
    ) -> Socket:
        """Return an ordinary socket whose network is the tunnel; any thread may ask, and use it.

        Raises OSError, TunnelError.
        """
        if self._namespace is None:
            return socket.socket(family, type, proto)
        return self._namespace.socket(family, type, proto)

    def make_socket(self, family: int, type: int) -> Socket:
        """Return one that does not block. Raises OSError, TunnelError."""
        # asyncio turns Nagle's algorithm off where a socket names its protocol.
        protocol = socket.IPPROTO_TCP if type == socket.SOCK_STREAM else 0
        return self.socket(family, type | _DOES_NOT_BLOCK, protocol)

    def start_program(self, arguments: Sequence[str], mask: Iterable[int] = ()) -> Program:
        """Start a program inside, one in a tunnel's life: with our standard streams, folder and environment.

        mask: signals that are blocked for it. Raises OSError, and TunnelError also without a namespace.
        """
        if self._namespace is None:
            raise TunnelError("the tunnel has no network of its own: start the program in this one")
        return self._namespace.start(arguments, mask, _resolv_conf(self.config))

    async def connect(self, host: str, port: int) -> Socket:
        """Return a TCP socket that is connected and does not block. Raises OSError, TunnelError."""
        found = await self.find(host, port)
        return await connect_first(found, partial(connect, make_socket=self.make_socket))

    async def find(self, host: str, port: int) -> Sequence[AddressInfo]:
        """As `getaddrinfo` for TCP, at once for what is an address. Raises socket.gaierror."""
        if found := read_address(host, port):
            return [found]
        return await self.getaddrinfo(host, port, type=socket.SOCK_STREAM)

    async def open_connection(
        self, host: str, port: int, **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """As asyncio.open_connection, which has the options: ssl, limit. Raises OSError, TunnelError."""
        connected = await self.connect(host, port)
        if options.get("ssl"):
            options.setdefault("server_hostname", host)
        return await asyncio.open_connection(sock=connected, **options)

    async def start_server(
        self,
        connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None],
        host: str | None,
        port: int,
        **options: Any,
    ) -> asyncio.Server:
        """As asyncio.start_server, which has the options: ssl, limit. host: None for all addresses.

        Raises OSError, TunnelError.
        """
        listening = await self.listen(host, port)
        return await asyncio.start_server(connected, sock=listening, backlog=_BACKLOG, **options)

    async def listen(self, host: str | None, port: int) -> Socket:
        """Return a TCP socket that listens and does not block. host: None for all addresses.

        Raises OSError, TunnelError.
        """
        listening = await self._bound(host, port, socket.SOCK_STREAM)
        listening.listen(_BACKLOG)
        return listening

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], _Protocol],
        local_addr: tuple[str, int] | None = None,
        remote_addr: tuple[str, int] | None = None,
    ) -> tuple[asyncio.DatagramTransport, _Protocol]:
        """As of the event loop. Raises OSError, TunnelError."""
        loop = asyncio.get_running_loop()
        made = await self._bound(*local_addr, socket.SOCK_DGRAM) if local_addr else None
        try:
            if remote_addr:
                family = made.family if made else 0
                found = await self.getaddrinfo(*remote_addr, family=family, type=socket.SOCK_DGRAM)
                made = made or self.make_socket(found[0][0], socket.SOCK_DGRAM)
                await loop.sock_connect(made, found[0][4])
            made = made or self.make_socket(socket.AF_INET, socket.SOCK_DGRAM)
            return await loop.create_datagram_endpoint(protocol_factory, sock=made)
        except BaseException:
            if made:
                made.close()
            raise

    async def _bound(self, host: str | None, port: int, kind: SocketKind) -> Socket:
        """Return a socket at this end; without a host at all addresses, of both families."""
        found = await self.getaddrinfo(host or "::", port, type=kind)
        try:
            made = self.make_socket(found[0][0], kind)
        except OSError as error:
            if host or error.errno != EAFNOSUPPORT:
                raise
            return await self._bound("0.0.0.0", port, kind)  # this kernel has no IPv6
        try:
            if kind == socket.SOCK_STREAM:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if made.family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, bool(host))
            made.bind(found[0][4])
        except OSError:
            made.close()
            raise
        return made

    async def getaddrinfo(
        self,
        host: str,
        port: int | str | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[AddressInfo]:
        """As socket.getaddrinfo, but names are asked of the tunnel's servers (`DNS =`).

        Families in which the tunnel has no address are left out. Raises socket.gaierror.
        """
        families = self._families(host) if not family else [AddressFamily(family)]
        return await self._resolver.getaddrinfo(host, port, families, type=type, proto=proto, flags=flags)

    def _families(self, host: str) -> list[AddressFamily]:
        """Return IPv6 before IPv4, as RFC 6724 prefers it where both are."""
        both = {6: socket.AF_INET6, 4: socket.AF_INET}
        versions = {address.version for address in self.addresses}
        if ":" in host or host.replace(".", "").isdigit():
            versions = {4, 6}
        return [family for version, family in both.items() if version in versions]

    # -- State -----------------------------------------------------------------------------------

    async def connected(self, peer: PublicKey | None = None) -> None:
        """Return when there is a session with a peer; None: with each that has an endpoint.

        Begins what is missing. Raises TunnelError for one that does not answer within 90 s.
        """
        wanted = [peer] if peer else [each.public_key for each in self.config.peers if each.endpoint]
        missing = {key for key in wanted if not self._interface.path(key).handshake}
        async with _Reading(self) as events:
            for key in missing:
                self._interface.send_keepalive(key)
            while missing:
                event = await events.get()
                if event is None:
                    raise TunnelError("the tunnel has ended")
                if event.peer in missing and isinstance(event.event, PeerUnreachable):
                    raise TunnelError(self._no_answer(event.peer))
                if isinstance(event.event, HandshakeCompleted):
                    missing.discard(event.peer)

    def _no_answer(self, peer: PublicKey) -> str:
        return (
            f"the peer {peer} does not answer at {self._interface.path(peer).endpoint}: check its Endpoint, "
            "both public keys, and that UDP passes between the two hosts"
        )

    async def events(self) -> AsyncIterator[TunnelEvent]:
        """Give what happens from now on, until the tunnel ends; a slow reader loses the oldest of many."""
        async with _Reading(self) as events:
            while event := await events.get():
                yield event

    async def status(self) -> DeviceStatus:
        """Return keys, endpoints, handshakes and bytes of all peers. Raises ConnectionError when closed."""
        return await self._interface.status()

    def counters(self) -> Counters:
        """Return dropped packets and messages by reason."""
        return self._interface.counters()

    # -- Opening ---------------------------------------------------------------------------------

    async def _open(self, opened: ExitStack) -> None:
        found = await endpoints.resolve(self.config)
        first = [each[0] for each in found.values()]
        self.user_mode_interface = user_mode.find_interface(first)
        config = _kept_alive(self.config) if self.user_mode_interface else self.config
        update = config_files.to_update(config, lambda target: found[target][0])
        packets = self._packets or await self._make_device(endpoints.mtu_towards(first), opened)
        try:
            self._interface = Interface(packets, settings=self._settings)
        except BaseException:
            if packets is not self._packets:
                packets.close()
            raise
        opened.callback(self._interface.close)
        self._interface.start()
        opened.callback(self._interface.subscribe(self._report))
        try:
            await self._interface.configure(update)
        except OSError as error:
            raise TunnelError(self._why_not(error)) from None
        names = names_of(self.config)
        look_up: LookUp = endpoints.look_up
        if self.user_mode_interface and not self.config.listen_port:
            names = {peer.public_key: peer.endpoint for peer in self.config.peers if peer.endpoint}
            look_up = self._look_up_by_another_port
        follower = NameFollower(self._interface, names, look_up)
        follower.start(found)
        opened.callback(follower.close)

    async def _look_up_by_another_port(self, target: HostPort) -> Sequence[Endpoint]:
        """Leave the port, which the network in user space may have forgotten. Raises TunnelError, OSError."""
        await self._interface.configure(DeviceUpdate(listen_port=0))
        for peer in self.config.peers:  # so that they know of it
            self._interface.send_keepalive(peer.public_key)
        return await endpoints.look_up(target)

    async def _make_device(self, mtu: int, opened: ExitStack) -> PacketDevice:
        mtu = self.config.mtu or mtu
        network = Network(
            INTERFACE,
            mtu,
            self._settings.native,
            tuple(map(str, self.addresses)),
            tuple(
                dict.fromkeys(
                    format_prefix(prefix)
                    for peer in self.config.peers
                    for prefix in peer.allowed_ips
                    if self.config.table != "off"
                )
            ),
        )
        self._namespace = opened.enter_context(closing(await _make_namespace(network)))
        loop = asyncio.get_running_loop()
        loop.add_reader(self._namespace.fileno(), self.close)
        opened.callback(loop.remove_reader, self._namespace.fileno())
        return Tun(self._namespace.take_tun(), mtu=mtu)

    def _why_not(self, error: OSError) -> str:
        if isinstance(error, PermissionError) and self.config.fwmark:
            return "FwMark needs root: delete it, as a tunnel in a network of its own does without"
        if self.config.listen_port:
            return (
                f"the UDP port {self.config.listen_port} cannot be used ({error.strerror}): "
                "delete ListenPort for any port that is free, or choose another one"
            )
        return f"the tunnel cannot be configured: {error.strerror}"

    def _report(self, peer: PublicKey, event: DeviceEvent) -> None:
        if isinstance(event, DataSent):  # which is for who follows names
            return
        for reader in self._readers:
            _put(reader, TunnelEvent(peer, event))


async def _make_namespace(network: Network) -> Namespace:
    """Make it in a thread, as that takes a while. Raises TunnelError."""
    making = asyncio.create_task(asyncio.to_thread(Namespace, network))
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        making.add_done_callback(_close_made)
        raise


def _close_made(making: asyncio.Task[Namespace]) -> None:
    if not making.cancelled() and making.exception() is None:
        making.result().close()


def _kept_alive(config: Config) -> Config:
    """Have each peer that is dialled keep its path, unless the configuration says how."""
    return replace(
        config,
        peers=tuple(
            replace(peer, persistent_keepalive=user_mode.KEEPALIVE)
            if peer.endpoint and peer.persistent_keepalive is None
            else peer
            for peer in config.peers
        ),
    )


def _resolv_conf(config: Config) -> str:
    """Return the lines of resolv.conf(5), "" where the configuration has no server."""
    servers = [f"nameserver {server}\n" for server in config.dns]
    search = [f"search {' '.join(config.dns_search)}\n"] if servers and config.dns_search else []
    return "".join([*servers, *search])


class _Reading:
    """A reader's queue of events, while it reads."""

    def __init__(self, tunnel: AsyncTunnel) -> None:
        self._queues = tunnel._readers
        self._queue = asyncio.Queue[TunnelEvent | None](_MAX_EVENTS)

    async def __aenter__(self) -> asyncio.Queue[TunnelEvent | None]:
        self._queues.add(self._queue)
        return self._queue

    async def __aexit__(self, *exception: object) -> None:
        self._queues.discard(self._queue)


def _put(reader: asyncio.Queue[TunnelEvent | None], event: TunnelEvent | None) -> None:
    if reader.full():
        reader.get_nowait()
    reader.put_nowait(event)
