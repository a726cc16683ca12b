"""Every kind of data path, and one set up by orders of the engine as tests want it."""

from functools import partial
from importlib.util import find_spec
from ipaddress import ip_network
from shutil import which
from typing import Protocol

from tests.datapath.remote import (
    HOME,
    MTU,
    NOW,
    REMOTE_HOST,
    REMOTE_HOST6,
    Message,
    Remote,
)
from wgpy.contract.constants import DEFAULT_MTU, MAX_FLOWS
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import AddPeer, AllowedIP, SetEndpoint, SetRoute, UseKeypair
from wgpy.datapath import Datagram, DataPath
from wgpy.datapath.portable import PortableDataPath


class DataPathUnderTest(DataPath, Protocol):
    """A data path with its world in hand: what is given is moved before anything is taken."""

    def send_packet(self, packet: bytes, now: int) -> None: ...
    def receive_datagram(self, data: bytes, source: Endpoint, now: int, tos: int = 0) -> None: ...
    def take_datagrams(self) -> list[Datagram]: ...
    def take_packets(self) -> list[bytes]: ...


class MakeDataPath(Protocol):
    def __call__(
        self, *, mtu: int = DEFAULT_MTU, accept_foreign: bool = False, flows: int = MAX_FLOWS
    ) -> DataPathUnderTest: ...


DATA_PATHS: dict[str, MakeDataPath] = {"portable": PortableDataPath}
if find_spec("wgpy._fastpath") and which("cc"):
    from tests.datapath.native import ALL_OFFLOADS, NativeUnderTest

    DATA_PATHS["native"] = NativeUnderTest
    DATA_PATHS["native-offloads"] = partial(NativeUnderTest, offloads=ALL_OFFLOADS)

PEER = 7


def prefix(text: str) -> AllowedIP:
    network = ip_network(text)
    return AllowedIP(network.network_address.packed, network.prefixlen)


def with_peer(
    make: MakeDataPath,
    *,
    peer: int = PEER,
    mtu: int = MTU,
    accept_foreign: bool = False,
    flows: int = MAX_FLOWS,
) -> DataPathUnderTest:
    """One peer with an endpoint and the remote hosts' routes, and no keypair yet."""
    path = make(mtu=mtu, accept_foreign=accept_foreign, flows=flows)
    path.apply(AddPeer(peer), NOW)
    path.apply(SetRoute(peer, prefix(REMOTE_HOST)), NOW)
    path.apply(SetRoute(peer, prefix(REMOTE_HOST6)), NOW)
    path.apply(SetEndpoint(peer, HOME), NOW)
    return path


def with_session(make: MakeDataPath, remote: Remote, *, mtu: int = MTU) -> DataPathUnderTest:
    """The same with a keypair in use."""
    path = with_peer(make, mtu=mtu)
    path.apply(remote.keypair(PEER), NOW)
    path.apply(UseKeypair(PEER, remote.local_index), NOW)
    return path


def sent(path: DataPathUnderTest, remote: Remote) -> list[Message]:
    """What the remote end reads, in order."""
    return [remote.open(datagram) for datagram in path.take_datagrams()]


def drop_counts(path: DataPathUnderTest) -> dict[DropReason, int]:
    """The counters that are not zero."""
    return {reason: count for reason, count in path.counters().items() if count}
