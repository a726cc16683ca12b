"""Every kind of data path, and one set up by orders of the engine as tests want it."""

from collections.abc import Callable
from ipaddress import ip_network

from tests.datapath.remote import (
    HOME,
    MTU,
    NOW,
    REMOTE_HOST,
    REMOTE_HOST6,
    Message,
    Remote,
)
from wgpy.datapath.portable import PortableDataPath
from wgpy.engine.actions import AddPeer, AllowedIP, SetEndpoint, SetRoute, UseKeypair
from wgpy.engine.errors import DropReason

MakeDataPath = Callable[..., PortableDataPath]
DATA_PATHS: dict[str, MakeDataPath] = {"portable": PortableDataPath}

PEER = 7


def prefix(text: str) -> AllowedIP:
    network = ip_network(text)
    return AllowedIP(network.network_address.packed, network.prefixlen)


def with_peer(
    make: MakeDataPath, *, peer: int = PEER, mtu: int = MTU, accept_strangers: bool = False
) -> PortableDataPath:
    """One peer with an endpoint and the remote hosts' routes, and no keypair yet."""
    path = make(mtu=mtu, accept_strangers=accept_strangers)
    path.apply(AddPeer(peer), NOW)
    path.apply(SetRoute(peer, prefix(REMOTE_HOST)), NOW)
    path.apply(SetRoute(peer, prefix(REMOTE_HOST6)), NOW)
    path.apply(SetEndpoint(peer, HOME), NOW)
    return path


def with_session(make: MakeDataPath, remote: Remote, *, mtu: int = MTU) -> PortableDataPath:
    """The same with a keypair in use."""
    path = with_peer(make, mtu=mtu)
    path.apply(remote.keypair(PEER), NOW)
    path.apply(UseKeypair(PEER, remote.local_index), NOW)
    return path


def sent(path: PortableDataPath, remote: Remote) -> list[Message]:
    """What the remote end reads, in order."""
    return [remote.open(datagram) for datagram in path.take_datagrams()]


def drop_counts(path: PortableDataPath) -> dict[DropReason, int]:
    """The counters that are not zero."""
    return {reason: count for reason, count in path.counters().items() if count}
