"""Two devices without sockets: what one gives is handed to the other, in virtual time."""

from itertools import count
from random import Random

from wgpy import AllowedIP, AllowedIPChange, Datagram, Device, Endpoint, PortableDataPath, PrivateKey
from wgpy.contract.constants import KEEPALIVE_TIMEOUT, SECOND
from wgpy.contract.events import DataSent, EndpointChanged
from wgpy.device import DeviceEvent, HandshakeSent
from wgpy.engine.actions import HandshakeCompleted
from wgpy.model import PeerTraffic
from wgpy.testing import InnerPacket

NOW = 100 * SECOND
ALICE, BOB = PrivateKey(b"\x11" * 32), PrivateKey(b"\x22" * 32)
AT_ALICE, AT_BOB = Endpoint("192.0.2.1", 51820), Endpoint("192.0.2.2", 51820)
EVERYTHING = AllowedIPChange(AllowedIP(bytes(4), 0))
PACKET = InnerPacket("10.0.0.1", "10.0.0.2", 1).encode()
_seeds = count()


def device(key: PrivateKey, peer: PrivateKey, endpoint: Endpoint | None = None) -> Device[PortableDataPath]:
    """It is up, and has one peer, which may use any IPv4 address."""
    made = Device(PortableDataPath(), random=Random(next(_seeds)).randbytes, wall_clock=lambda: NOW)
    made.engine.set_private_key(bytes(key), NOW)
    made.engine.up(NOW)
    known = made.add_peer(bytes(peer.public_key()), NOW)
    made.change_allowed_ips(known, [EVERYTHING], NOW)
    if endpoint:
        made.engine.set_endpoint(known, endpoint, NOW)
    made.step(NOW)
    made.take_events()
    return made


def given(one: Device[PortableDataPath], now: int = NOW) -> list[Datagram]:
    while one.step(now):
        pass
    return one.take_datagrams()


def talk(one: Device[PortableDataPath], other: Device[PortableDataPath]) -> None:
    """Carry datagrams until neither gives any more."""
    while datagrams := [
        *((other, AT_ALICE, datagram) for datagram in given(one)),
        *((one, AT_BOB, datagram) for datagram in given(other)),
    ]:
        for receiver, source, datagram in datagrams:
            receiver.receive(datagram.data, source, NOW)


def test_a_packet_passes_from_one_device_to_another() -> None:
    alice, bob = device(ALICE, BOB, AT_BOB), device(BOB, ALICE)

    alice.send(PACKET, NOW)
    talk(alice, bob)

    assert bob.take_packets() == [PACKET]


def test_what_happened_is_reported_once() -> None:
    alice, bob = device(ALICE, BOB, AT_BOB), device(BOB, ALICE)
    alice.send(PACKET, NOW)
    talk(alice, bob)

    events: list[DeviceEvent] = bob.take_events()

    assert events == [
        HandshakeSent(1, AT_ALICE),
        EndpointChanged(1, AT_ALICE),
        HandshakeCompleted(1, initiator=False),
    ]
    assert bob.take_events() == []


def test_a_device_that_has_said_all_has_nothing_to_give_until_its_deadline() -> None:
    alice, bob = device(ALICE, BOB, AT_BOB), device(BOB, ALICE)
    alice.send(PACKET, NOW)
    talk(alice, bob)

    assert not bob.step(NOW)
    deadline = bob.next_deadline()
    assert deadline == NOW + KEEPALIVE_TIMEOUT
    bob.expire(deadline)
    assert [len(datagram.data) for datagram in given(bob, deadline)] == [32]


def test_status_has_the_allowed_ips_and_the_traffic_of_each_peer() -> None:
    alice, bob = device(ALICE, BOB, AT_BOB), device(BOB, ALICE)
    alice.send(PACKET, NOW)
    talk(alice, bob)

    (peer,) = bob.status().peers

    assert (peer.public_key, peer.endpoint) == (ALICE.public_key(), AT_ALICE)
    assert list(peer.allowed_ips) == [EVERYTHING.prefix]
    assert peer.rx_bytes > 148


def test_what_is_sent_to_a_watched_peer_and_not_answered_is_reported() -> None:
    alice, bob = device(ALICE, BOB, AT_BOB), device(BOB, ALICE)
    alice.watched = frozenset({bytes(BOB.public_key())})

    alice.send(PACKET, NOW)
    alice.step(NOW)
    assert alice.take_events() == [DataSent(1), HandshakeSent(1, AT_BOB)]
    talk(alice, bob)
    alice.take_events()
    alice.send(PACKET, NOW + SECOND)
    alice.step(NOW + SECOND)

    assert DataSent(1) not in alice.take_events()  # the first one is not answered yet
    assert alice.traffic(bytes(BOB.public_key())).unanswered == NOW
    assert bob.traffic(bytes(ALICE.public_key())).received == NOW


def test_without_a_session_what_is_sent_is_unanswered_since_its_first_packet() -> None:
    alice = device(ALICE, BOB, AT_BOB)

    for second in range(9):  # initiations are repeated meanwhile
        alice.expire(NOW + second * SECOND)
        alice.send(PACKET, NOW + second * SECOND)
        alice.step(NOW + second * SECOND)

    assert alice.traffic(bytes(BOB.public_key())).unanswered == NOW


def test_of_others_it_is_not_reported_what_is_sent_to_them() -> None:
    alice, bob = device(ALICE, BOB, AT_BOB), device(BOB, ALICE)

    alice.send(PACKET, NOW)
    talk(alice, bob)

    assert DataSent(1) not in alice.take_events()


def test_of_an_unknown_peer_there_is_no_traffic() -> None:
    assert device(ALICE, BOB).traffic(bytes(32)) == PeerTraffic()
