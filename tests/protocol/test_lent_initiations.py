"""Chapter 1, continued: an initiation that the data path has on loan, and sends for the first packet."""

from collections.abc import Callable

import pytest

from wgpy.contract.events import InitiationSent, KeyNeeded
from wgpy.contract.orders import LendInitiation, UseKeypair
from wgpy.engine.actions import SendDatagram
from wgpy.engine.engine import Engine
from wgpy.engine.peer import Peer

from . import whitepaper as wp
from .harness import PAPER_AT
from .test_sans_io import NOW, UNIX_NOW, make_device, paper_for


def lend() -> tuple[Engine, Peer, bytes]:
    """A device whose data path has an initiation, that peer, and the message."""
    device = make_device()
    device.take_actions()
    device.prepare_initiations(NOW)
    (order,) = device.take_actions()
    assert isinstance(order, LendInitiation)
    assert order.message
    assert order.until == NOW + 180 * wp.NS
    return device, next(iter(device.peers.values())), order.message


def index_of(initiation: bytes) -> int:
    return int.from_bytes(initiation[4:8], "little")


def sent(device: Engine) -> list[bytes]:
    return [action.data for action in device.take_actions() if isinstance(action, SendDatagram)]


def recalled(device: Engine) -> bool:
    """Whether the last order about it takes it back."""
    orders = [action for action in device.take_actions() if isinstance(action, LendInitiation)]
    return bool(orders) and orders[-1].message is None


def test_what_the_data_path_sent_begins_a_session() -> None:
    device, peer, message = lend()
    device.receive_event(InitiationSent(peer.id, index_of(message)), NOW)
    assert device.take_actions() == [], "it is sent already"

    response, _ = paper_for(device).respond(message)
    device.receive_datagram(response, PAPER_AT, NOW)

    assert UseKeypair(peer.id, index_of(message), confirm=True) in device.take_actions()
    assert (peer.tx_bytes, peer.rx_bytes) == (148, 92)


def test_it_is_repeated_as_any_other() -> None:
    device, peer, message = lend()
    device.receive_event(InitiationSent(peer.id, index_of(message)), NOW)
    assert peer.unanswered_since == NOW

    device.receive_event(KeyNeeded(peer.id), NOW + wp.NS)
    assert sent(device) == [], "one was sent just before"
    device.expire(NOW + wp.REKEY_TIMEOUT + wp.NS)

    (again,) = sent(device)
    assert again[8:40] != message[8:40], "an ephemeral key is of one message"
    assert paper_for(device).consume_initiation(again)[0] > paper_for(device).consume_initiation(message)[0]


def test_whoever_is_first_sends_the_same_message() -> None:
    """Or two with one ephemeral key would leave, should both send."""
    device, peer, message = lend()

    device.receive_event(KeyNeeded(peer.id), NOW)

    actions = device.take_actions()
    assert [action.data for action in actions if isinstance(action, SendDatagram)] == [message]
    assert LendInitiation(peer.id, None) in actions
    device.receive_event(InitiationSent(peer.id, index_of(message)), NOW)
    assert device.take_actions() == [], "the data path was as fast: the same message left twice"


def test_what_was_sent_just_before_it_was_recalled_is_followed_by_another() -> None:
    device, peer, message = lend()
    device.set_private_key(wp.hash_(b"another key"), NOW)
    device.take_actions()

    device.receive_event(InitiationSent(peer.id, index_of(message)), NOW)

    (another,) = sent(device)
    assert another != message


def receive_initiation(device: Engine, peer: Peer) -> None:
    device.receive_datagram(paper_for(device).initiation(wp.tai64n(UNIX_NOW)), PAPER_AT, NOW)


REASONS: dict[str, Callable[[Engine, Peer], None]] = {
    "the link is down": lambda device, peer: device.down(),
    "there is another identity": lambda device, peer: device.set_private_key(wp.hash_(b"another"), NOW),
    "there is no identity": lambda device, peer: device.set_private_key(None, NOW),
    "the peer is removed": lambda device, peer: device.remove_peer(peer),
    "the peer was answered": receive_initiation,
    "the engine rests": lambda device, peer: device.recall_initiations(),
}


@pytest.mark.parametrize("reason", REASONS)
def test_it_is_recalled_with_its_reason(reason: str) -> None:
    device, peer, message = lend()

    REASONS[reason](device, peer)

    assert recalled(device)
    assert device.indices.peer(index_of(message)) is None


def test_none_is_lent_while_the_link_is_down() -> None:
    device = make_device()
    device.down()
    device.take_actions()

    device.prepare_initiations(NOW)
    assert device.take_actions() == []
    device.up(NOW)
    device.prepare_initiations(NOW)

    assert [type(action) for action in device.take_actions()] == [LendInitiation]


def test_none_is_lent_to_a_peer_that_was_sent_one() -> None:
    """The data path does not know when the next one may be sent."""
    device, peer, message = lend()
    device.receive_event(InitiationSent(peer.id, index_of(message)), NOW)

    device.prepare_initiations(NOW + wp.NS)

    assert device.take_actions() == []


def test_one_is_lent_at_a_time() -> None:
    device, _, _ = lend()

    device.prepare_initiations(NOW + wp.NS)

    assert device.take_actions() == []
