"""A data path that relays between peers, and their messages by the whitepaper."""

from hashlib import blake2s
from struct import pack

from tests.datapath.kinds import DataPathUnderTest, MakeDataPath
from tests.datapath.remote import NOW, SECOND, Remote
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import AddPeer, AddRelayed, SetEndpoint, SetMac1Key, SetRelay, UseKeypair

INITIATION, RESPONSE, COOKIE, DATA = 1, 2, 3, 4
RATE = 10**9
OWN_KEY = b"relay" * 6 + b"!!"
ALICE, BOB, CAROL, DAVE = 1, 2, 3, 4
HOMES = {
    ALICE: Endpoint("198.51.100.1", 1001),
    BOB: Endpoint("198.51.100.2", 1002),
    CAROL: Endpoint("2001:db8::3", 1003),
    DAVE: Endpoint("198.51.100.1", 1004),  # behind the same NAT as Alice
}


def public_key(peer: int) -> bytes:
    return bytes([peer]) * 32


def local_index(peer: int) -> int:
    """By which the peer addresses the relay itself."""
    return 0x1000 + peer


def relay(make: MakeDataPath, *peers: int, rate: int = RATE) -> DataPathUnderTest:
    """Relays between these peers, each with a session."""
    path = make()
    path.apply(SetMac1Key(OWN_KEY), NOW)
    path.apply(SetRelay(rate), NOW)
    for peer in peers or HOMES:
        add_peer(path, peer)
    return path


def add_peer(path: DataPathUnderTest, peer: int, *, life: int = 180 * SECOND, now: int = NOW) -> None:
    path.apply(AddPeer(peer), now)
    path.apply(AddRelayed(peer, public_key(peer)), now)
    path.apply(SetEndpoint(peer, HOMES[peer]), now)
    path.apply(remote(peer).keypair(peer, reject_after_time=now + life), now)
    path.apply(UseKeypair(peer, local_index(peer)), now)


def remote(peer: int) -> Remote:
    return Remote(local_index(peer), 0x2000 + peer)


def initiation(to: bytes, sender_index: int, fill: int = 0xAA) -> bytes:
    """to: the public key of the addressee."""
    return _with_mac1(pack("<II", INITIATION, sender_index).ljust(116, bytes([fill])), to)


def response(to: bytes, sender_index: int, receiver_index: int) -> bytes:
    return _with_mac1(pack("<III", RESPONSE, sender_index, receiver_index).ljust(60, b"\xbb"), to)


def cookie_reply(receiver_index: int) -> bytes:
    return pack("<II", COOKIE, receiver_index).ljust(64, b"\xcc")


def data(receiver_index: int, counter: int = 0, size: int = 100) -> bytes:
    return pack("<IIQ", DATA, receiver_index, counter).ljust(size, b"\xdd")


def _with_mac1(body: bytes, to: bytes) -> bytes:
    key = blake2s(b"mac1----" + to).digest()
    return body + blake2s(body, digest_size=16, key=key).digest() + bytes(16)


def give(path: DataPathUnderTest, sender: int, *messages: bytes, now: int = NOW, tos: int = 0) -> None:
    """All at once."""
    give_from(path, HOMES[sender], *messages, now=now, tos=tos)


def give_from(
    path: DataPathUnderTest, source: Endpoint, *messages: bytes, now: int = NOW, tos: int = 0
) -> None:
    for message in messages:
        path.receive_datagram(message, source, now, tos)
    path.counters()  # all has been moved


def forwarded(path: DataPathUnderTest) -> list[tuple[bytes, Endpoint, int]]:
    """Message, where to, and TOS."""
    return [(one.data, one.endpoint, one.tos) for one in path.take_datagrams()]


def open_session(
    path: DataPathUnderTest, initiator: int, responder: int, indices: tuple[int, int], now: int = NOW
) -> None:
    """By the relay. indices: of the initiator and of the responder."""
    give(path, initiator, initiation(public_key(responder), indices[0]), now=now)
    assert len(path.take_datagrams()) == 1
    give(path, responder, response(public_key(initiator), indices[1], indices[0]), now=now)
    assert len(path.take_datagrams()) == 1
