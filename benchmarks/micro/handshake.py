"""The handshake in Python: each message, each step of Noise, and the whole handshake in the engine.

The engine of one device has many peers, each with an engine of its own; the two roles are
timed apart. Everything a real handshake costs is in it: macs, index table, TAI64N, sessions and actions;
sockets are not. Under load the same first messages come without mac2, each from an address of its own, and
get cookies.
"""

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.micro.table import Table
from benchmarks.micro.timing import Candidate, take_turns
from wgpy.contract.constants import COOKIE_REPLY_SIZE, SECOND, TIMESTAMP_LENGTH, UNDER_LOAD_DEPTH
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import KeyNeeded, PeerActivity
from wgpy.contract.messages import HandshakeInitiation, HandshakeResponse
from wgpy.engine import noise
from wgpy.engine.actions import SendDatagram
from wgpy.engine.cookie import CookieChecker, CookieMaker
from wgpy.engine.crypto import aead_open, aead_seal, dh, dh_many, dh_public, hash_, kdf1, kdf2, kdf3
from wgpy.engine.engine import Engine
from wgpy.engine.exchange import Exchange, finish

HUB: Final = Endpoint("192.0.2.1", 51820)
START: Final = 1000 * SECOND
PEERS: Final = 50  # handshakes in a round, of each role


def measure_handshake(table: Table, rounds: int, _folder: Path) -> None:
    take = take_turns([*_messages(), *_cookies(), *_steps()])
    hub, spokes = _meeting()
    _time_handshakes(
        hub, spokes, START
    )  # computes the static-static secrets, as each peer's first handshake does
    for number in range(rounds):
        for one, nanoseconds in take():
            _add(table, one.line, nanoseconds)
        now = START + 12 * (number + 1) * SECOND
        initiating, responding = _time_handshakes(hub, spokes, now)
        _add(table, "engine: a handshake as initiator", initiating)
        _add(table, "engine: a handshake as responder", responding)
        _add(table, "engine: a cookie reply under load", _time_cookies(hub, spokes, now + 6 * SECOND))


def _add(table: Table, line: str, nanoseconds: float) -> None:
    table.add(line, "µs", nanoseconds / 1e3)
    table.add(line, "1/s", 1e9 / nanoseconds)


# -- Messages, and the steps they consist of -------------------------------------------------------


def _messages() -> Iterator[Candidate]:
    left, right = _identity(), _identity()
    shared = dh(left.private_key, right.public_key)
    ephemeral, timestamp, psk = os.urandom(32), bytes(TIMESTAMP_LENGTH), os.urandom(32)
    known = partial(_known, shared)

    def prepare_initiation() -> noise.PreparedInitiation:
        return finish(noise.prepare_initiation(left, right.public_key, shared, ephemeral))

    prepared = prepare_initiation()

    def create_initiation() -> tuple[HandshakeInitiation, noise.SentInitiation]:
        return noise.create_initiation(prepared, 1, timestamp)

    initiation, sent = create_initiation()

    def consume_initiation() -> noise.ReceivedInitiation:
        return finish(noise.consume_initiation(right, initiation, known))

    received = consume_initiation()

    def create_response() -> tuple[HandshakeResponse, noise.Session]:
        return finish(noise.create_response(received, psk, 2, ephemeral))

    response, theirs = create_response()

    def consume_response() -> noise.Session:
        return finish(noise.consume_response(left, sent, psk, response))

    ours = consume_response()
    assert received.public_key == left.public_key
    assert (ours.sending_key, ours.receiving_key) == (theirs.receiving_key, theirs.sending_key)
    yield Candidate("prepare initiation", prepare_initiation)
    yield Candidate("create initiation", create_initiation)
    yield Candidate("consume initiation", consume_initiation)
    yield Candidate("create response, and the session", create_response)
    yield Candidate("consume response, and the session", consume_response)


def _known(shared: bytes, _public_key: bytes) -> Exchange[bytes]:
    """What has been computed before."""
    yield from ()
    return shared


def _cookies() -> Iterator[Candidate]:
    left, right = _identity(), _identity()
    shared = dh(left.private_key, right.public_key)
    prepared = finish(noise.prepare_initiation(left, right.public_key, shared, os.urandom(32)))
    initiation, _ = noise.create_initiation(prepared, 1, bytes(TIMESTAMP_LENGTH))
    maker, checker = CookieMaker(right.public_key), CookieChecker(right.public_key, os.urandom)
    datagram = maker.seal(initiation, START)
    reply = checker.create_reply(datagram, 1, checker.cookie(HUB, START))

    def consume() -> None:
        maker.seal(initiation, START)  # one reply for each message is taken
        maker.consume_reply(reply, START)

    assert checker.has_valid_mac1(datagram)
    yield Candidate("macs: write both", partial(maker.seal, initiation, START))
    yield Candidate("macs: check mac1", partial(checker.has_valid_mac1, datagram))
    yield Candidate(
        "create cookie reply", lambda: checker.create_reply(datagram, 1, checker.cookie(HUB, START))
    )
    yield Candidate("write both macs, consume cookie reply", consume)


def _steps() -> Iterator[Candidate]:
    left, right = _identity(), _identity()
    key, hash_of = os.urandom(32), os.urandom(32)
    sealed = aead_seal(key, 0, left.public_key, hash_of)
    yield Candidate("step e: the public key", partial(dh_public, left.private_key))
    yield Candidate("step e: mix into key and hash", lambda: (kdf1(key, hash_of), hash_(key, hash_of)))
    yield Candidate("steps es, ss, ee, se: X25519", partial(dh, left.private_key, right.public_key))
    pair = left.private_key, right.public_key
    yield Candidate("X25519, four at once", partial(dh_many, [pair] * 4))
    yield Candidate("steps es, ss, ee, se: mix", partial(kdf2, key, hash_of))
    yield Candidate("step psk: mix", lambda: (kdf3(key, hash_of), hash_(key, hash_of)))
    yield Candidate("step s: seal", lambda: hash_(key, aead_seal(key, 0, left.public_key, hash_of)))
    yield Candidate("step s: open", lambda: (aead_open(key, 0, sealed, hash_of), hash_(key, sealed)))
    yield Candidate("step {}: seal", lambda: hash_(key, aead_seal(key, 0, b"", hash_of)))
    yield Candidate("session: both keys", partial(kdf2, key, b""))


def _identity() -> noise.Identity:
    private_key = os.urandom(32)
    return noise.Identity(private_key, dh_public(private_key))


# -- The engine ------------------------------------------------------------------------------------


def _meeting() -> tuple[Engine, list[Engine]]:
    """Return a hub, and its peers."""
    hub = _engine()
    spokes = [_engine() for _ in range(PEERS)]
    for spoke in spokes:
        assert spoke.public_key and hub.public_key
        hub.add_peer(spoke.public_key)
        spoke.set_endpoint(spoke.add_peer(hub.public_key), HUB, START)
        spoke.take_actions()
    hub.take_actions()
    return hub, spokes


def _engine() -> Engine:
    device = Engine(random=os.urandom, wall_clock=time.time_ns, activity=lambda _: PeerActivity())
    device.set_private_key(os.urandom(32), START)
    device.up(START)
    return device


def _sent(device: Engine) -> bytes:
    (datagram,) = (action.data for action in device.take_actions() if isinstance(action, SendDatagram))
    return datagram


def _time_handshakes(hub: Engine, spokes: list[Engine], now: int) -> tuple[float, float]:
    """Nanoseconds of a handshake that a spoke took as initiator, and the hub as responder."""
    initiating = responding = 0
    for number, spoke in enumerate(spokes):
        address = Endpoint("198.51.100.1", number + 1)
        began = time.perf_counter_ns()
        spoke.receive_event(KeyNeeded(1), now)
        initiation = _sent(spoke)
        initiated = time.perf_counter_ns()
        hub.receive_datagram(initiation, address, now)
        response = _sent(hub)
        responded = time.perf_counter_ns()
        spoke.receive_datagram(response, HUB, now)
        spoke.take_actions()
        initiating += initiated - began + time.perf_counter_ns() - responded
        responding += responded - initiated
    return initiating / len(spokes), responding / len(spokes)


def _time_cookies(hub: Engine, spokes: list[Engine], now: int) -> float:
    """Nanoseconds the hub took to answer a spoke's first message with a cookie reply."""
    replying = 0
    for number, spoke in enumerate(spokes):
        address = Endpoint(f"10.128.{number >> 8 & 255}.{number & 255}", 1024, 0, "198.51.100.1", 2)
        spoke.receive_event(KeyNeeded(1), now)
        initiation = _sent(spoke)
        began = time.perf_counter_ns()
        hub.receive_datagram(initiation, address, now, queued=UNDER_LOAD_DEPTH)
        reply = _sent(hub)
        replying += time.perf_counter_ns() - began
        assert len(reply) == COOKIE_REPLY_SIZE
    return replying / len(spokes)
