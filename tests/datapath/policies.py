"""Packets of a peer with a policy, and of us to it. Numbers are restated from the RFCs."""

from dataclasses import dataclass
from struct import pack

import pytest

from tests.datapath.kinds import PEER, DataPathUnderTest, MakeDataPath, prefix, with_peer
from tests.datapath.packets import ipv4, ipv6
from tests.datapath.remote import (
    HOME,
    LOCAL_HOST,
    LOCAL_HOST6,
    NOW,
    REMOTE_HOST,
    REMOTE_HOST6,
    SECOND,
    STRANGE_HOST,
    STRANGE_HOST6,
    Remote,
)
from wgpy.contract.orders import AddPeer, Permit, SetEndpoint, SetPolicy, SetRoute, UseKeypair

TCP, UDP, GRE, DCCP, SCTP, UDP_LITE = 6, 17, 47, 33, 132, 136
SYN, ACK, RST, FIN = 0x02, 0x10, 0x04, 0x01
FLOW_LIFETIME = 180 * SECOND
MAX_RULES, MAX_PERMITS, MAX_FLOWS = 16384, 16384, 65536
NOTHING: tuple[Permit, ...] = ()
ANYTHING = (Permit(rule=0),)


@dataclass(frozen=True)
class Family:
    """Addresses of both ends, and what differs between the two versions of IP."""

    local: str
    remote: str
    strange: str  # nobody is routed there
    icmp: int
    query: int
    reply: int
    error: int

    def packet(self, source: str, destination: str, protocol: int, payload: bytes) -> bytes:
        make = ipv4 if self.icmp == 1 else ipv6
        return make(source, destination, payload, protocol=protocol)

    def sent(self, protocol: int, payload: bytes) -> bytes:
        """From us to the peer."""
        return self.packet(self.local, self.remote, protocol, payload)

    def received(self, protocol: int, payload: bytes) -> bytes:
        return self.packet(self.remote, self.local, protocol, payload)

    def fragment(self, protocol: int, payload: bytes, *, offset: int = 0, more: bool = True) -> bytes:
        """From the peer. offset: in units of 8 bytes."""
        if self.icmp == 1:
            return ipv4(self.remote, self.local, payload, protocol=protocol, fragment=more << 13 | offset)
        header = pack(">BBHI", protocol, 0, offset << 3 | more, 1)
        return ipv6(self.remote, self.local, header + payload, protocol=44)


FAMILIES = {
    "IPv4": Family(LOCAL_HOST, REMOTE_HOST, STRANGE_HOST, 1, 8, 0, 3),
    "IPv6": Family(LOCAL_HOST6, REMOTE_HOST6, STRANGE_HOST6, 58, 128, 129, 1),
}


@pytest.fixture(params=list(FAMILIES.values()), ids=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> Family:
    family: Family = request.param
    return family


@pytest.fixture
def path(datapath: MakeDataPath, remote: Remote) -> DataPathUnderTest:
    """With one session, which lives longer than flows do."""
    return with_session(datapath, remote)


@pytest.fixture
def filtered(path: DataPathUnderTest) -> DataPathUnderTest:
    """The peer may begin nothing."""
    path.apply(SetPolicy(PEER, NOTHING), NOW)
    return path


def with_session(make: MakeDataPath, remote: Remote, flows: int = MAX_FLOWS) -> DataPathUnderTest:
    path = with_peer(make, flows=flows)
    path.apply(remote.keypair(PEER, reject_after_time=NOW + 10 * FLOW_LIFETIME), NOW)
    path.apply(UseKeypair(PEER, remote.local_index), NOW)
    return path


def tcp(flags: int, source: int = 80, destination: int = 5000) -> bytes:
    return pack(">HHIIBBHHH", source, destination, 1, 2, 5 << 4, flags, 1000, 0, 0)


def udp(source: int = 53, destination: int = 5000) -> bytes:
    return pack(">HHHH", source, destination, 8, 0)


def icmp(type_: int, identifier: int = 1) -> bytes:
    return pack(">BBHHH", type_, 0, 0, identifier, 1)


def error_about(family: Family, quoted: bytes) -> bytes:
    """From the peer."""
    return family.received(family.icmp, icmp(family.error) + quoted)


def is_let_in(path: DataPathUnderTest, remote: Remote, packet: bytes, now: int = NOW) -> bool:
    path.receive_datagram(remote.seal(packet), HOME, now)
    taken = path.take_packets()
    assert taken in ([], [packet])
    return taken == [packet]


def add_peer(path: DataPathUnderTest, peer: int, remote: Remote, host: str) -> None:
    path.apply(AddPeer(peer), NOW)
    path.apply(SetRoute(peer, prefix(host)), NOW)
    path.apply(SetEndpoint(peer, HOME), NOW)
    path.apply(remote.keypair(peer), NOW)
    path.apply(UseKeypair(peer, remote.local_index), NOW)
