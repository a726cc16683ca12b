"""An initiation on loan: the first packet without a keypair sends it, once.

The portable data path leaves it alone.
"""

import os

import pytest

from tests.datapath.kinds import DATA_PATHS, PEER, DataPathUnderTest, drop_counts, prefix, sent, with_peer
from tests.datapath.packets import ipv4, routed_back
from tests.datapath.remote import AWAY, HOME, LOCAL_HOST, NOW, REMOTE_HOST, SECOND, Remote
from wgpy.contract.constants import HANDSHAKE_TOS
from wgpy.contract.drops import DropReason
from wgpy.contract.events import DataSent, InitiationSent, KeyNeeded, RoutingLoop
from wgpy.contract.orders import (
    AddPeer,
    AllowedIP,
    LendInitiation,
    RemovePeer,
    SendKeepalive,
    SetEndpoint,
    SetRoute,
    UseKeypair,
)
from wgpy.device import Device, HandshakeSent
from wgpy.keys import PrivateKey
from wgpy.model import AllowedIPChange

if "native" not in DATA_PATHS:
    pytest.skip("the C data path is not built, or there is no C compiler", allow_module_level=True)

from tests.datapath.native import NativeUnderTest

INDEX = 0x77665544
MESSAGE = bytes([1, 0, 0, 0]) + INDEX.to_bytes(4, "little") + bytes(range(140))
UNTIL = NOW + 180 * SECOND
PACKET = ipv4(LOCAL_HOST, REMOTE_HOST, b"first")


@pytest.fixture(params=["native", "native-offloads"])
def path(request: pytest.FixtureRequest) -> NativeUnderTest:
    """With a peer that has an endpoint and no keypair."""
    path = with_peer(DATA_PATHS[request.param])
    assert isinstance(path, NativeUnderTest)
    return path


def left(path: NativeUnderTest) -> list[bytes]:
    return [datagram.data for datagram in path.take_datagrams()]


@pytest.mark.parametrize("endpoint", [HOME, AWAY], ids=["ipv4", "ipv6"])
def test_the_first_packet_sends_it_to_the_endpoint(path: NativeUnderTest, endpoint: object) -> None:
    path.apply(SetEndpoint(PEER, endpoint), NOW)  # type: ignore[arg-type]
    path.apply(LendInitiation(PEER, MESSAGE, UNTIL), NOW)

    path.send_packet(PACKET, NOW)

    (datagram,) = path.take_datagrams()
    assert (datagram.data, datagram.endpoint, datagram.tos) == (MESSAGE, endpoint, HANDSHAKE_TOS)
    assert path.take_events() == [InitiationSent(PEER, INDEX)]


def test_the_packet_waits_for_the_keypair(path: NativeUnderTest) -> None:
    remote = Remote()
    path.apply(LendInitiation(PEER, MESSAGE, UNTIL), NOW)
    path.send_packet(PACKET, NOW)
    assert left(path) == [MESSAGE]

    path.apply(remote.keypair(PEER), NOW)
    path.apply(UseKeypair(PEER, remote.local_index), NOW)

    assert [message.packet for message in sent(path, remote)] == [PACKET.ljust(32, b"\0")]


def test_it_is_sent_once(path: NativeUnderTest) -> None:
    path.apply(LendInitiation(PEER, MESSAGE, UNTIL), NOW)
    path.send_packet(PACKET, NOW)
    path.send_packet(PACKET, NOW)
    path.send_packet(PACKET, NOW + 1)

    assert left(path) == [MESSAGE]
    assert path.take_events() == [InitiationSent(PEER, INDEX), KeyNeeded(PEER)]


def test_from_its_time_on_it_is_not_sent(path: NativeUnderTest) -> None:
    path.apply(LendInitiation(PEER, MESSAGE, UNTIL), NOW)

    path.send_packet(PACKET, UNTIL)

    assert left(path) == []
    assert path.take_events() == [KeyNeeded(PEER)]


def test_what_is_taken_back_is_not_sent(path: NativeUnderTest) -> None:
    path.apply(LendInitiation(PEER, MESSAGE, UNTIL), NOW)
    path.apply(LendInitiation(PEER, None), NOW)

    path.send_packet(PACKET, NOW)

    assert left(path) == []
    assert path.take_events() == [KeyNeeded(PEER)]


def test_the_last_one_counts(path: NativeUnderTest) -> None:
    another = MESSAGE[:4] + bytes(144)
    path.apply(LendInitiation(PEER, MESSAGE, UNTIL), NOW)
    path.apply(LendInitiation(PEER, another, UNTIL), NOW)

    path.send_packet(PACKET, NOW)

    assert left(path) == [another]
    assert path.take_events() == [InitiationSent(PEER, 0)]


def test_whoever_was_asked_for_a_key_sends_it(path: NativeUnderTest) -> None:
    path.apply(SendKeepalive(PEER), NOW)
    path.apply(LendInitiation(PEER, MESSAGE, UNTIL), NOW)

    path.send_packet(PACKET, NOW)

    assert left(path) == []
    assert path.take_events() == [KeyNeeded(PEER)]


def test_a_peer_without_an_endpoint_keeps_it(path: NativeUnderTest) -> None:
    other, host = PEER + 1, "10.0.7.7"
    path.apply(AddPeer(other), NOW)
    path.apply(SetRoute(other, prefix(host)), NOW)
    path.apply(LendInitiation(other, MESSAGE, UNTIL), NOW)
    path.send_packet(ipv4(LOCAL_HOST, host, b"lost"), NOW)
    assert left(path) == []
    assert drop_counts(path) == {DropReason.NO_ENDPOINT: 1}

    path.apply(SetEndpoint(other, AWAY), NOW)
    path.send_packet(ipv4(LOCAL_HOST, host, b"kept"), NOW)

    assert left(path) == [MESSAGE]


def test_a_removed_peer_takes_it_along(path: NativeUnderTest) -> None:
    path.apply(LendInitiation(PEER, MESSAGE, UNTIL), NOW)
    path.apply(RemovePeer(PEER), NOW)
    path.apply(AddPeer(PEER + 1), NOW)  # at its place in C
    path.apply(SetRoute(PEER + 1, prefix(REMOTE_HOST)), NOW)
    path.apply(SetEndpoint(PEER + 1, HOME), NOW)

    path.send_packet(PACKET, NOW)

    assert left(path) == []
    assert path.take_events() == [KeyNeeded(PEER + 1)]


def test_peers_send_their_own_of_one_batch(path: NativeUnderTest) -> None:
    other, host = PEER + 1, "10.0.7.7"
    path.apply(AddPeer(other), NOW)
    path.apply(SetRoute(other, prefix(host)), NOW)
    path.apply(SetEndpoint(other, AWAY), NOW)
    path.apply(LendInitiation(PEER, MESSAGE, UNTIL), NOW)
    path.apply(LendInitiation(other, MESSAGE[::-1], UNTIL), NOW)

    path.send_packet(PACKET, NOW)
    path.send_packet(ipv4(LOCAL_HOST, host, b"first"), NOW)

    datagrams = path.take_datagrams()
    assert [(datagram.data, datagram.endpoint) for datagram in datagrams] == [
        (MESSAGE, HOME),
        (MESSAGE[::-1], AWAY),
    ]


def test_it_does_not_come_back_into_the_tunnel(path: NativeUnderTest) -> None:
    path.apply(SetRoute(PEER, prefix("0.0.0.0/0")), NOW)
    path.apply(LendInitiation(PEER, MESSAGE, UNTIL), NOW)
    path.send_packet(PACKET, NOW)
    path.take_events()

    path.send_packet(routed_back(MESSAGE, HOME), NOW)

    assert path.take_events() == [RoutingLoop(PEER, HOME)]
    assert drop_counts(path) == {DropReason.ROUTING_LOOP: 1}


@pytest.mark.parametrize("size", [0, 147, 149])
def test_only_an_initiation_can_be_lent(path: NativeUnderTest, size: int) -> None:
    with pytest.raises(ValueError, match=f"148 bytes, not {size}"):
        path.apply(LendInitiation(PEER, bytes(size), UNTIL), NOW)


# -- With engines ------------------------------------------------------------------------------------


KEYS = PrivateKey(b"\x11" * 32), PrivateKey(b"\x22" * 32)


def begin(datapath: DataPathUnderTest, ours: PrivateKey, theirs: PrivateKey) -> Device[DataPathUnderTest]:
    """A device that is up, and knows where its one peer is."""
    device = Device(datapath, random=os.urandom, wall_clock=lambda: NOW)
    device.engine.set_private_key(bytes(ours), NOW)
    device.engine.up(NOW)
    peer = device.add_peer(bytes(theirs.public_key()), NOW)
    device.change_allowed_ips(peer, [AllowedIPChange(AllowedIP(bytes(4), 0))], NOW)
    device.engine.set_endpoint(peer, HOME, NOW)
    device.watched = frozenset(device.engine.peers)
    device.advance(NOW)
    device.take_events()
    return device


def exchange(one: Device[DataPathUnderTest], other: Device[DataPathUnderTest]) -> None:
    """Carry datagrams from `one` to `other` and back, until there are none."""
    one.advance(NOW)
    while datagrams := one.take_datagrams():
        for datagram in datagrams:
            other.datapath.receive_datagram(datagram.data, HOME, NOW)
        other.advance(NOW)
        one, other = other, one


@pytest.mark.parametrize("kind", DATA_PATHS)
def test_a_session_begins_by_it(kind: str) -> None:
    alice = begin(DATA_PATHS["native"](), *KEYS)
    bob = begin(DATA_PATHS[kind](), *reversed(KEYS))
    alice.engine.prepare_initiations(NOW)
    alice.advance(NOW)

    alice.datapath.send_packet(PACKET, NOW)
    exchange(alice, bob)

    assert bob.datapath.take_packets() == [PACKET]
    (peer,) = alice.engine.peers.values()
    assert peer.last_handshake_time == NOW


def test_what_the_data_path_sent_is_reported_as_what_the_engine_sends() -> None:
    device = begin(DATA_PATHS["native"](), *KEYS)
    device.engine.prepare_initiations(NOW)
    device.advance(NOW)

    device.datapath.send_packet(PACKET, NOW)
    device.advance(NOW)

    (peer,) = device.engine.peers.values()
    assert device.take_events() == [DataSent(peer.id), HandshakeSent(peer.id, HOME)]
    assert device.status().peers[0].unanswered_since == NOW
