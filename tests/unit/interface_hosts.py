"""Hosts for tests of the interface: socketpairs for TUN devices, loopback UDP for the network, no root."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network

import pytest

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import AllowedIP
from wgpy.datapath import native
from wgpy.driver.interface import Interface
from wgpy.host.tun import PacketSocket
from wgpy.keys import PrivateKey, PublicKey
from wgpy.model import AllowedIPChange, DeviceUpdate, PeerStatus, PeerUpdate
from wgpy.testing.packets import InnerPacket, number_of
from wgpy.transport import Transport

TIMEOUT = 10.0  # seconds


@pytest.fixture(autouse=True, params=["portable", "native"])
def data_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of this holds for both."""
    if request.param == "native" and not native.available():
        pytest.skip("the C data path is not built")
    monkeypatch.setenv("WGPY_DATAPATH", request.param)


@dataclass(slots=True)
class Clocks:
    """Timestamps kept in memory."""

    kept: dict[bytes, int] = field(default_factory=dict)

    def load(self, public_key: bytes) -> int:
        return self.kept.get(public_key, 0)

    def keep(self, public_key: bytes, timestamp: int) -> None:
        self.kept[public_key] = timestamp


@dataclass(frozen=True, slots=True)
class Host:
    """An interface with a key, and the other end of its device. number: of its addresses in the tunnel."""

    interface: Interface
    key: PrivateKey
    packets: socket.socket
    number: int
    clocks: Clocks

    @property
    def public_key(self) -> PublicKey:
        return self.key.public_key()

    def update(self, endpoint_host: str | None = None, **settings: object) -> PeerUpdate:
        """What the other host is to know of this one."""
        endpoint = Endpoint(endpoint_host, self.interface.listen_port) if endpoint_host else None
        allowed = tuple(
            AllowedIPChange(prefix(text)) for text in (f"10.0.0.{self.number}/32", f"fd00::{self.number}/128")
        )
        return PeerUpdate(self.public_key, endpoint=endpoint, allowed_ips=allowed, **settings)  # type: ignore[arg-type]

    async def send(self, packet: InnerPacket) -> None:
        await asyncio.get_running_loop().sock_sendall(self.packets, packet.encode())

    async def received(self) -> int:
        """The number of the next packet that comes out of the tunnel."""
        async with asyncio.timeout(TIMEOUT):
            return number_of(await asyncio.get_running_loop().sock_recv(self.packets, 65535))

    async def peer(self, other: "Host") -> PeerStatus:
        status = await self.interface.status()
        return next(peer for peer in status.peers if peer.public_key == other.public_key)


@asynccontextmanager
async def host(number: int, transport: Transport | None = None) -> AsyncIterator[Host]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    clocks = Clocks()
    interface = Interface(PacketSocket(ours), transport=transport, timestamps=clocks)
    interface.start()
    key = PrivateKey.generate()
    await interface.configure(DeviceUpdate(private_key=key))
    try:
        yield Host(interface, key, theirs, number, clocks)
    finally:
        interface.close()
        theirs.close()


@asynccontextmanager
async def pair(loopback: str = "127.0.0.1") -> AsyncIterator[tuple[Host, Host]]:
    """Two hosts that know each other; only the first knows where the other is."""
    async with host(1) as one, host(2) as two:
        await one.interface.configure(DeviceUpdate(peers=[two.update(loopback)]))
        await two.interface.configure(DeviceUpdate(peers=[one.update()]))
        yield one, two


def prefix(text: str) -> AllowedIP:
    network = ip_network(text)
    return AllowedIP(network.network_address.packed, network.prefixlen)


def packet(source: Host, destination: Host, number: int, *, ipv6: bool = False, size: int = 0) -> InnerPacket:
    net = "fd00::" if ipv6 else "10.0.0."
    return InnerPacket(f"{net}{source.number}", f"{net}{destination.number}", number, size)
