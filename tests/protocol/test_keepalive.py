"""Chapter 5: the persistent keepalive. Whitepaper 6.5: for those behind a NAT, off unless configured."""

from itertools import pairwise

from wgpy.testing import PeerConfig

from . import whitepaper as wp
from .harness import DELAY, Pair

INTERVAL = 25


def persistent(seed: int = 1) -> Pair:
    """Alice keeps the tunnel to Bob alive."""
    pair = Pair(seed)
    pair.alice.engine.set_persistent_keepalive(pair.bob_at_alice, INTERVAL, pair.alice.now)
    pair.alice.settle()
    return pair


def test_switching_it_on_sends_at_once() -> None:
    pair = persistent()

    assert pair.wire.kinds(pair.alice) == [wp.INITIATION]
    pair.run(wp.NS)
    assert pair.wire.kinds() == [wp.INITIATION, wp.RESPONSE, wp.TRANSPORT]


def test_it_goes_out_as_soon_as_the_interface_comes_up() -> None:
    pair = persistent()
    pair.run(wp.NS)
    pair.alice.engine.down()
    pair.alice.settle()
    pair.run(100 * wp.NS)
    pair.wire.clear()

    pair.alice.engine.up(pair.alice.now)
    pair.alice.settle()

    assert pair.wire.kinds() == [wp.INITIATION]


def test_it_goes_out_as_soon_as_a_private_key_arrives() -> None:
    pair = Pair()
    private_key = pair.alice.private_key
    pair.alice.engine.set_private_key(None, pair.alice.now)
    pair.alice.engine.set_persistent_keepalive(pair.bob_at_alice, INTERVAL, pair.alice.now)
    pair.alice.settle()
    pair.run(100 * wp.NS)
    assert pair.wire.flights == []

    pair.alice.engine.set_private_key(private_key, pair.alice.now)
    pair.alice.settle()

    assert pair.wire.kinds() == [wp.INITIATION]


def test_it_goes_out_as_soon_as_an_endpoint_is_known() -> None:
    pair = Pair(nat=True)
    pair.bob.engine.set_persistent_keepalive(pair.alice_at_bob, INTERVAL, pair.bob.now)
    pair.bob.settle()
    assert pair.wire.flights == []

    pair.bob.engine.set_endpoint(pair.alice_at_bob, pair.alice.listen, pair.bob.now)
    pair.bob.settle()

    assert pair.wire.kinds() == [wp.INITIATION]


def test_an_idle_tunnel_carries_one_keepalive_an_interval() -> None:
    pair = persistent()
    pair.run(wp.NS)
    pair.wire.clear()

    pair.run(100 * wp.NS)

    times = [flight.sent_at for flight in pair.wire.flights]
    assert pair.wire.kinds() == [wp.TRANSPORT] * 4
    assert {later - earlier for earlier, later in pairwise(times)} == {INTERVAL * wp.NS}


def test_the_interval_runs_from_the_last_datagram_either_way() -> None:
    pair = persistent()
    pair.run(20 * wp.NS)
    pair.bob_sends()
    received_at = pair.now + DELAY
    pair.run(wp.NS)
    pair.alice_sends()
    sent_at = pair.now
    pair.wire.clear()

    pair.run(60 * wp.NS)

    bobs = pair.wire.of(wp.TRANSPORT, pair.bob)[0]  # his passive keepalive
    assert bobs.sent_at == sent_at + DELAY + wp.KEEPALIVE_TIMEOUT
    assert received_at < sent_at
    first = pair.wire.of(wp.TRANSPORT, pair.alice)[0]
    assert first.sent_at == bobs.sent_at + DELAY + INTERVAL * wp.NS


def test_it_keeps_the_session_fresh_for_ever() -> None:
    pair = persistent()
    pair.run(3600 * wp.NS)
    pair.wire.clear()

    packet = pair.bob_sends()
    pair.run(DELAY)

    assert pair.alice.delivered == [packet]
    assert pair.wire.of(wp.INITIATION) == []


def test_it_goes_on_trying_while_the_peer_is_away() -> None:
    pair = persistent()
    pair.simulation.network.loses = lambda flight: True
    pair.run(3600 * wp.NS)
    pair.simulation.network.loses = lambda flight: False

    pair.run(INTERVAL * wp.NS)

    assert pair.alice.events[-1:] != []
    packet = pair.bob_sends()
    pair.run(wp.NS)
    assert packet in pair.alice.delivered


def test_it_keeps_a_nat_mapping_open() -> None:
    pair = Pair(nat=True)
    pair.alice.engine.set_persistent_keepalive(pair.bob_at_alice, INTERVAL, pair.alice.now)
    pair.alice.settle()
    pair.run(600 * wp.NS)

    packet = pair.bob_sends()
    pair.run(wp.NS)

    assert packet in pair.alice.delivered


def test_without_it_a_nat_mapping_closes() -> None:
    pair = Pair(nat=True)
    pair.alice_sends()
    pair.run(150 * wp.NS)  # 120 after the last datagram, and that was a passive keepalive

    packet = pair.bob_sends()
    pair.run(wp.NS)

    assert packet not in pair.alice.delivered


def test_switching_it_off_makes_the_tunnel_silent() -> None:
    pair = persistent()
    pair.run(60 * wp.NS)
    pair.alice.engine.set_persistent_keepalive(pair.bob_at_alice, 0, pair.alice.now)
    pair.alice.settle()
    pair.wire.clear()

    pair.run(3600 * wp.NS)

    assert pair.wire.flights == []
    assert pair.alice.device.next_deadline() is None


def test_a_shorter_interval_counts_from_the_last_datagram() -> None:
    pair = persistent()
    pair.run(10 * wp.NS)
    pair.wire.clear()

    pair.alice.engine.set_persistent_keepalive(pair.bob_at_alice, 5, pair.alice.now)
    pair.alice.settle()
    pair.run(wp.NS)

    assert pair.wire.kinds() == [wp.TRANSPORT]


def test_setting_the_same_interval_again_sends_nothing() -> None:
    pair = persistent()
    pair.run(10 * wp.NS)
    pair.wire.clear()

    pair.alice.engine.set_persistent_keepalive(pair.bob_at_alice, INTERVAL, pair.alice.now)
    pair.alice.settle()

    assert pair.wire.flights == []


def test_it_works_from_the_configuration_after_a_restart() -> None:
    pair = Pair()
    known = pair.alice.config[pair.bob.public_key]
    pair.alice.config[pair.bob.public_key] = PeerConfig(
        known.public_key, known.allowed_ips, known.endpoint, known.preshared_key, INTERVAL
    )
    pair.alice.stop()

    pair.alice.start()

    assert pair.wire.kinds() == [wp.INITIATION]
