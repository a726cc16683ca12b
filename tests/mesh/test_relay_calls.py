"""Sessions with relays, and then with who is reached by them."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import EndpointChanged, PeerId
from wgpy.driver.interface import Interface
from wgpy.engine.actions import HandshakeCompleted
from wgpy.host.tun import PacketSocket
from wgpy.keys import PrivateKey, PublicKey
from wgpy.model import PeerUpdate
from wgpyd.agent.relay_calls import RelayCalls

RELAY, PEER, OTHER = (PrivateKey(bytes([number]) * 32).public_key() for number in (1, 2, 3))
COMPLETED = HandshakeCompleted(PeerId(1), initiator=True)
HEARD = EndpointChanged(PeerId(1), Endpoint("203.0.113.1", 51820))


@contextmanager
def an_interface() -> Iterator[Interface]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    interface = Interface(PacketSocket(ours, name="no-such-link"))
    interface.start()
    try:
        yield interface
    finally:
        interface.close()
        theirs.close()


async def _begun(act: Callable[[RelayCalls], None]) -> list[PublicKey]:
    """With whom a session is begun, in order, while the peer is reached by the relay."""
    changes: list[PeerUpdate] = []
    with an_interface() as interface:
        relay_to = {PEER: RELAY}.get
        act(RelayCalls(interface, relay_to, lambda *more: changes.extend(more)))
    return [change.public_key for change in changes if change.handshake]


def begun(act: Callable[[RelayCalls], None]) -> list[PublicKey]:
    return asyncio.run(_begun(act))


def test_the_session_with_a_relay_comes_before_the_one_with_who_is_reached_by_it() -> None:
    def act(calls: RelayCalls) -> None:
        calls.begin(PEER, ())
        calls.on_event(RELAY, COMPLETED)

    assert begun(act) == [RELAY, PEER]


def test_who_has_got_a_session_before_the_relay_has_one_gets_no_other_one() -> None:
    def act(calls: RelayCalls) -> None:
        calls.begin(PEER, ())
        calls.on_event(PEER, COMPLETED)
        calls.on_event(RELAY, COMPLETED)

    assert begun(act) == [RELAY]


def test_who_is_heard_without_a_relay_gets_a_new_session_in_place_of_the_one_that_a_relay_ended() -> None:
    """A relay forwards nothing from whom it cannot send to, and the peer knows nothing of that."""

    def act(calls: RelayCalls) -> None:
        calls.on_event(OTHER, HEARD)
        calls.note_end(OTHER)
        calls.on_event(OTHER, HEARD)
        calls.on_event(OTHER, HEARD)

    assert begun(act) == [OTHER]


def test_who_has_got_a_session_since_or_is_heard_by_another_relay_gets_no_other_one() -> None:
    def act(calls: RelayCalls) -> None:
        for key in (OTHER, PEER):
            calls.note_end(key)
        calls.on_event(OTHER, COMPLETED)
        for key in (OTHER, PEER):
            calls.on_event(key, HEARD)

    assert begun(act) == []
