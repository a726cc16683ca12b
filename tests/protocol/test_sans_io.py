"""Chapter 10: sans-IO. The engine is a function of what it is given, and the network never makes it raise."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import (
    DataReceived,
    DataSent,
    EndpointChanged,
    KeyAged,
    KeyConfirmed,
    KeyNeeded,
    PeerActivity,
)
from wgpy.contract.orders import InstallKeypair
from wgpy.engine.actions import SendDatagram
from wgpy.engine.engine import Engine
from wgpy.testing import Flight

from . import whitepaper as wp
from .harness import PAPER_AT, Bench, Pair

NOW = 100 * wp.NS
UNIX_NOW = 1_700_000_000 * wp.NS


def make_device(seed: int = 1) -> Engine:
    """A device that is up and has one peer."""
    device = Engine(
        random=Random(seed).randbytes, wall_clock=lambda: UNIX_NOW, activity=lambda peer: PeerActivity()
    )
    device.set_private_key(wp.hash_(b"device"), NOW)
    device.set_endpoint(device.add_peer(paper_for(device).public), PAPER_AT, NOW)
    device.up(NOW)
    return device


def paper_for(device: Engine) -> wp.PaperPeer:
    assert device.public_key is not None
    return wp.PaperPeer(wp.hash_(b"paper's key"), device.public_key)


# -- The same again ----------------------------------------------------------------------------------


def conversation(seed: int) -> list[object]:
    """Everything a device wants done for every kind of input."""
    device = make_device(seed)
    paper = paper_for(device)
    actions: list[object] = list(device.take_actions())
    peer = next(iter(device.peers.values()))
    now = NOW
    for step in range(40):
        now += wp.NS
        match step % 5:
            case 0:
                device.receive_event(KeyNeeded(peer.id), now)
            case 1:
                device.receive_datagram(paper.initiation(wp.tai64n(UNIX_NOW + now)), PAPER_AT, now)
            case 2:
                device.receive_datagram(bytes(92), PAPER_AT, now, queued=step)
            case 3:
                device.expire(now)
            case _:
                device.receive_datagram(
                    paper.initiation(wp.tai64n(UNIX_NOW + now)), PAPER_AT, now, queued=500
                )
        actions += device.take_actions()
        actions.append(device.next_deadline())
    return actions


def test_the_same_inputs_give_the_same_actions_and_deadlines() -> None:
    first = conversation(seed=7)

    assert conversation(seed=7) == first
    assert any(isinstance(action, InstallKeypair) for action in first)


def test_another_seed_of_randomness_gives_other_datagrams() -> None:
    def datagrams(seed: int) -> list[bytes]:
        return [action.data for action in conversation(seed) if isinstance(action, SendDatagram)]

    assert datagrams(7) != datagrams(8)


def trace(seed: int, inputs: Callable[[Pair], None]) -> list[Flight]:
    pair = Pair(seed, nat=True)
    inputs(pair)
    return pair.wire.flights


def test_a_simulated_run_replays_byte_for_byte() -> None:
    def inputs(pair: Pair) -> None:
        pair.keep_talking(200 * wp.NS)
        pair.bob.crash()
        pair.bob.start()
        pair.keep_talking(30 * wp.NS)

    first = trace(3, inputs)

    assert len(first) > 400
    assert trace(3, inputs) == first
    assert trace(4, inputs) != first


# -- The interface -----------------------------------------------------------------------------------


def test_taking_the_actions_drains_them() -> None:
    device = make_device()

    assert device.take_actions() != []
    assert device.take_actions() == []


def test_a_device_with_nothing_to_do_has_no_deadline() -> None:
    assert make_device().next_deadline() is None


def test_expiring_too_early_does_nothing() -> None:
    device = make_device()
    device.receive_event(KeyNeeded(next(iter(device.peers.values())).id), NOW)
    device.take_actions()
    deadline = device.next_deadline()
    assert deadline is not None

    device.expire(deadline - 1)

    assert device.take_actions() == []
    assert device.next_deadline() == deadline


def test_expiring_moves_the_deadline_into_the_future() -> None:
    device = make_device()
    device.receive_event(KeyNeeded(next(iter(device.peers.values())).id), NOW)
    deadline = device.next_deadline()

    while deadline is not None:
        device.expire(deadline)
        following = device.next_deadline()
        assert following is None or following > deadline
        deadline = following


def test_expiring_late_does_each_thing_once() -> None:
    device = make_device()
    device.receive_event(KeyNeeded(next(iter(device.peers.values())).id), NOW)
    device.take_actions()

    device.expire(NOW + 60 * wp.NS)

    assert [type(action) for action in device.take_actions()] == [SendDatagram]


def test_no_secret_is_in_any_repr() -> None:
    bench = Bench(preshared=b"\x37" * 32)
    bench.establish()
    session = bench.actions_of(InstallKeypair)[0]
    secrets = [
        bench.node.private_key,
        bytes(bench.node.engine.private_key or b""),
        bench.peer.preshared_key,
        session.sending_key,
        session.receiving_key,
    ]
    shown = (
        repr(bench.node.engine)
        + repr(bench.node.device)
        + repr(bench.peer)
        + repr([taken.action for taken in bench.actions])
    )

    for secret in secrets:
        assert len(secret) == 32
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown


# -- Nothing the network sends raises ------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_arbitrary_datagrams_never_raise_and_never_get_an_answer(datagram: bytes) -> None:
    bench = Bench()

    assert bench.exchange(datagram) == []


@given(st.integers(0, 255), st.sampled_from([64, 92, 148]), st.randoms(use_true_random=False))
def test_random_datagrams_of_the_right_size_never_raise(kind: int, size: int, random: Random) -> None:
    device = make_device()
    device.take_actions()

    device.receive_datagram(bytes([kind % 6, 0, 0, 0]) + random.randbytes(size - 4), PAPER_AT, NOW)

    assert device.take_actions() == []


@st.composite
def mutations(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Ways to damage a message: cut, lengthened, bits flipped, parts swapped."""
    kind = draw(st.sampled_from(["cut", "lengthen", "flip", "swap", "nothing"]))
    at, value = draw(st.integers(0, 147)), draw(st.integers(1, 255))

    def mutate(data: bytes) -> bytes:
        position = at % len(data)
        match kind:
            case "cut":
                return data[:position]
            case "lengthen":
                return data + bytes([value])
            case "flip":
                return data[:position] + bytes([data[position] ^ value]) + data[position + 1 :]
            case "swap":
                return data[position:] + data[:position]
            case _:
                return data

    return mutate


@given(
    st.sampled_from(["initiation", "response", "cookie reply"]),
    mutations(),
    st.booleans(),
    st.integers(0, 600),
)
def test_damaged_handshake_messages_never_raise(
    kind: str, mutate: Callable[[bytes], bytes], repair_macs: bool, queued: int
) -> None:
    device = make_device()
    paper = paper_for(device)
    device.receive_event(KeyNeeded(next(iter(device.peers.values())).id), NOW)
    ours = next(action.data for action in device.take_actions() if isinstance(action, SendDatagram))
    message = {
        "initiation": lambda: paper.initiation(wp.tai64n(UNIX_NOW)),
        "response": lambda: paper.respond(ours)[0],
        "cookie reply": lambda: paper.cookie_reply(ours, b"c" * 16),
    }[kind]()

    damaged = mutate(message)
    if repair_macs and len(damaged) > 32:
        damaged = paper.with_macs(damaged[:-32])
    device.receive_datagram(damaged, PAPER_AT, NOW + wp.NS, queued)

    assert sum(device.drops.values()) <= 1


@given(st.binary(max_size=100), st.integers(0, 2**64 - 1))
def test_arbitrary_packets_inside_a_session_never_raise(packet: bytes, counter: int) -> None:
    bench = Bench()
    session = bench.establish()

    bench.exchange(session.seal(counter, packet, multiple=1))


@given(st.binary(max_size=100))
def test_arbitrary_packets_from_the_tun_never_raise(packet: bytes) -> None:
    bench = Bench()
    bench.establish()

    bench.node.send_packet(packet)


@pytest.mark.parametrize(
    "event",
    [
        KeyNeeded(99),
        KeyConfirmed(99, 1),
        KeyAged(99, 1),
        DataSent(99),
        DataReceived(99),
        EndpointChanged(99, PAPER_AT),
        KeyConfirmed(1, 77),
        KeyAged(1, 77),
    ],
)
def test_an_event_about_what_is_not_there_is_ignored(
    event: KeyNeeded | KeyConfirmed | KeyAged | DataSent | DataReceived | EndpointChanged,
) -> None:
    device = make_device()
    device.take_actions()

    device.receive_event(event, NOW)

    assert device.take_actions() == []
    assert device.next_deadline() is None


def test_transport_data_is_not_the_engines_business() -> None:
    device = make_device()
    device.take_actions()

    device.receive_datagram(wp.u32(wp.TRANSPORT) + bytes(60), Endpoint("192.0.2.1", 1), NOW)

    assert device.take_actions() == []
