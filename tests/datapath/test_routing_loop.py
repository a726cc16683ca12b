"""What this end sent and the host routes back into the interface is dropped; other WireGuard passes."""

from struct import pack

import pytest

from tests.datapath.kinds import PEER, DataPathUnderTest, MakeDataPath, drop_counts, prefix, with_session
from tests.datapath.packets import ipv4, routed_back
from tests.datapath.remote import AWAY, HOME, LOCAL_HOST, NOW, REMOTE_HOST, Remote
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import RoutingLoop
from wgpy.contract.orders import AddPeer, RemoveKeypair, RemovePeer, SendKeepalive, SetEndpoint, SetRoute

PACKET = ipv4(LOCAL_HOST, REMOTE_HOST, b"payload")
INITIATION = pack("<II", 1, 77) + bytes(range(140))
RESPONSE = pack("<III", 2, 77, 78) + bytes(range(80))
COOKIE_REPLY = pack("<II", 3, 78) + bytes(range(56))


def looping(datapath: MakeDataPath, remote: Remote, endpoint: Endpoint = HOME) -> DataPathUnderTest:
    """With a session, and a route of the peer that covers its endpoint."""
    path = with_session(datapath, remote)
    path.apply(SetRoute(PEER, prefix("::/0" if endpoint.is_ipv6 else "0.0.0.0/0")), NOW)
    path.apply(SetEndpoint(PEER, endpoint), NOW)
    return path


@pytest.mark.parametrize("endpoint", [HOME, AWAY], ids=["ipv4", "ipv6"])
def test_what_a_keypair_sealed_does_not_go_into_the_tunnel_again(
    datapath: MakeDataPath, remote: Remote, endpoint: Endpoint
) -> None:
    path = looping(datapath, remote, endpoint)
    path.send_packet(PACKET, NOW)
    path.apply(SendKeepalive(PEER), NOW)
    datagrams = path.take_datagrams()

    for datagram in datagrams * 2:
        path.send_packet(routed_back(datagram.data, endpoint), NOW)

    assert path.take_datagrams() == []
    assert drop_counts(path) == {DropReason.ROUTING_LOOP: 4}
    assert loops(path) == [RoutingLoop(PEER, endpoint)]


def loops(path: DataPathUnderTest) -> list[RoutingLoop]:
    return [event for event in path.take_events() if isinstance(event, RoutingLoop)]


@pytest.mark.parametrize("message", [INITIATION, RESPONSE, COOKIE_REPLY])
def test_a_handshake_message_that_was_sent_does_not_go_into_the_tunnel(
    datapath: MakeDataPath, remote: Remote, message: bytes
) -> None:
    path = looping(datapath, remote)
    path.note_handshake(message, None)

    path.send_packet(routed_back(message, HOME), NOW)

    assert path.take_datagrams() == []
    assert drop_counts(path) == {DropReason.ROUTING_LOOP: 1}
    assert loops(path) == []


@pytest.mark.parametrize("endpoint", [HOME, AWAY], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("message", [INITIATION, RESPONSE, COOKIE_REPLY])
def test_a_peer_is_told_once_of_each_handshake_message_that_comes_back(
    datapath: MakeDataPath, remote: Remote, message: bytes, endpoint: Endpoint
) -> None:
    path = looping(datapath, remote, endpoint)
    path.note_handshake(message, PEER)

    path.send_packet(routed_back(message, endpoint), NOW)
    assert loops(path) == [RoutingLoop(PEER, endpoint)]
    path.send_packet(routed_back(message, endpoint), NOW)
    assert loops(path) == []
    assert drop_counts(path) == {DropReason.ROUTING_LOOP: 2}


def test_a_candidate_that_loops_is_told_by_its_own_address(datapath: MakeDataPath, remote: Remote) -> None:
    candidate = Endpoint("192.0.2.3", 7)
    path = looping(datapath, remote)
    path.note_handshake(INITIATION, PEER)

    path.send_packet(routed_back(INITIATION, candidate), NOW)

    assert loops(path) == [RoutingLoop(PEER, candidate)]


def test_a_handshake_message_of_a_peer_that_is_gone_is_dropped_without_a_word(
    datapath: MakeDataPath, remote: Remote
) -> None:
    path = looping(datapath, remote)
    path.note_handshake(INITIATION, PEER)
    path.apply(RemovePeer(PEER), NOW)
    path.apply(AddPeer(PEER + 1), NOW)  # the native data path gives it the number of the one before
    path.apply(SetRoute(PEER + 1, prefix("0.0.0.0/0")), NOW)

    path.send_packet(routed_back(INITIATION, HOME), NOW)

    assert drop_counts(path) == {DropReason.ROUTING_LOOP: 1}
    assert loops(path) == []


def test_the_newest_handshake_messages_are_remembered(datapath: MakeDataPath, remote: Remote) -> None:
    path = looping(datapath, remote)
    messages = [pack("<III", 1, 77, number) + bytes([number] * 136) for number in range(65)]
    for message in messages:
        path.note_handshake(message, PEER)

    for message in messages:
        path.send_packet(routed_back(message, HOME), NOW)

    assert len(path.take_datagrams()) == 1
    assert drop_counts(path) == {DropReason.ROUTING_LOOP: 64}


def foreign(remote: Remote) -> dict[str, bytes]:
    """Messages of another WireGuard to the same endpoint from the same port, and what only looks like one."""
    other = Remote(remote_index=0x55555555)
    sealed = bytes(40)
    return {
        "another index": routed_back(pack("<IIQ", 4, other.remote_index, 0) + sealed, HOME),
        "another counter": routed_back(pack("<IIQ", 4, remote.remote_index, 9) + sealed, HOME),
        "another address": routed_back(
            pack("<IIQ", 4, remote.remote_index, 0) + sealed, Endpoint("192.0.2.3", HOME.port)
        ),
        "another port": routed_back(
            pack("<IIQ", 4, remote.remote_index, 0) + sealed, Endpoint(HOME.address, 7)
        ),
        "too short": routed_back(pack("<IIQ", 4, remote.remote_index, 0), HOME),
        "another initiation": routed_back(pack("<II", 1, 77) + bytes(range(1, 141)), HOME),
        "zeros": routed_back(pack("<II", 1, 77) + bytes(140), HOME),
        "no message": routed_back(b"hello", HOME),
    }


@pytest.mark.parametrize("name", foreign(Remote()))
def test_messages_of_another_host_pass(datapath: MakeDataPath, remote: Remote, name: str) -> None:
    path = looping(datapath, remote)
    path.note_handshake(INITIATION, PEER)
    path.send_packet(PACKET, NOW)
    path.take_datagrams()

    path.send_packet(foreign(remote)[name], NOW)

    assert len(path.take_datagrams()) == 1
    assert drop_counts(path) == {}


def test_a_keypair_that_is_gone_is_no_longer_known(datapath: MakeDataPath, remote: Remote) -> None:
    path = looping(datapath, remote)
    path.send_packet(PACKET, NOW)
    [datagram] = path.take_datagrams()
    path.apply(RemoveKeypair(PEER, remote.local_index), NOW)

    path.send_packet(routed_back(datagram.data, HOME), NOW)

    assert DropReason.ROUTING_LOOP not in drop_counts(path)
