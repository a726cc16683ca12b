"""Given what wireguard-go was given, each end sends what wireguard-go sent, byte for byte.

The vectors are two other implementations' (tests/vectors/README.md): whole sessions of wireguard-go, and
the transport keys of their handshakes by snow. Here an engine and a portable data path take the place of
one end, with its keys, its randomness and its time; the datagrams of the other end are wireguard-go's.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from wgpy.contract import messages
from wgpy.contract.constants import LABEL_MAC1, MAC_LENGTH, SECOND, UNDER_LOAD_DEPTH
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import AllowedIP, DataPathOrder, InstallKeypair
from wgpy.datapath.portable import PortableDataPath
from wgpy.device import Device
from wgpy.engine import crypto, noise, tai64n
from wgpy.engine.actions import Action, PeerUnreachable
from wgpy.engine.exchange import Exchange, agree, finish
from wgpy.model import AllowedIPChange

VECTORS = Path(__file__).parent.parent / "vectors"

# -- The vectors ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Keys:
    private_key: bytes
    public_key: bytes
    endpoint: Endpoint


@dataclass(frozen=True)
class Step:
    """What an end was given at a time (ns since 1970), the randomness it drew, and what it did."""

    end: str
    time: int
    packet: bytes
    datagram: bytes
    under_load: bool
    random: list[bytes]
    datagrams: list[bytes]
    packets: list[bytes]


@dataclass(frozen=True)
class Session:
    name: str
    preshared_key: bytes
    ends: Mapping[str, Keys]
    transcript: list[Step]

    def remote(self, end: str) -> Keys:
        return self.ends["right" if end == "left" else "left"]

    def steps(self, end: str) -> list[Step]:
        return [step for step in self.transcript if step.end == end]


def read_endpoint(text: str) -> Endpoint:
    address, _, port = text.rpartition(":")
    return Endpoint(address.strip("[]"), int(port))


def read_step(record: dict[str, Any]) -> Step:
    def listed(name: str) -> list[bytes]:
        return [bytes.fromhex(item) for item in record.get(name) or []]

    return Step(
        record["end"],
        record["time"],
        bytes.fromhex(record.get("packet", "")),
        bytes.fromhex(record.get("datagram", "")),
        record.get("under_load", False),
        listed("random"),
        listed("datagrams"),
        listed("packets"),
    )


def read_session(record: dict[str, Any]) -> Session:
    ends = {
        name: Keys(
            bytes.fromhex(end["private_key"]),
            bytes.fromhex(end["public_key"]),
            read_endpoint(end["endpoint"]),
        )
        for name, end in record["ends"].items()
    }
    return Session(
        record["name"],
        bytes.fromhex(record["preshared_key"]),
        ends,
        [read_step(step) for step in record["transcript"]],
    )


@dataclass(frozen=True)
class Handshake:
    """A handshake as Noise has it: message bodies without WireGuard's header and macs, and its keys."""

    session: str
    initiator: str
    initiator_ephemeral: bytes
    responder_ephemeral: bytes
    timestamp: bytes
    initiation: bytes
    response: bytes
    key_to_responder: bytes
    key_to_initiator: bytes


def read_handshake(record: dict[str, str]) -> Handshake:
    session, initiator = record.pop("session"), record.pop("initiator")
    return Handshake(session, initiator, **{name: bytes.fromhex(value) for name, value in record.items()})


SESSIONS = [
    read_session(record) for record in json.loads((VECTORS / "wireguard-go.json").read_text())["sessions"]
]
SESSION = {session.name: session for session in SESSIONS}
HANDSHAKES = [
    read_handshake(record) for record in json.loads((VECTORS / "snow.json").read_text())["handshakes"]
]

each_session = pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.name)
each_end = pytest.mark.parametrize("end", ["left", "right"])


def is_response(datagram: bytes) -> bool:
    return messages.message_type(datagram) == messages.TYPE_RESPONSE


# -- One end, ours -------------------------------------------------------------------------------


Outcome = tuple[list[bytes], list[bytes]]  # datagrams sent, packets written to the TUN


@dataclass
class Replay:
    """An engine with its data path in the place of one end of a session."""

    session: Session
    end: str
    now: int = field(init=False)  # real time; the boot clock runs with it
    draws: list[bytes] = field(init=False, default_factory=list)  # wireguard-go's, in this step
    sent: list[bytes] = field(init=False, default_factory=list)
    installed: list[InstallKeypair] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.now = self.session.transcript[0].time
        self.boot = self.now - 3600 * SECOND
        self.device = Device(
            PortableDataPath(), random=self.random, wall_clock=lambda: self.now, watch=self.note
        )
        engine = self.device.engine
        keys, remote = self.session.ends[self.end], self.session.remote(self.end)
        engine.set_private_key(keys.private_key, self.boot_time)
        peer = self.device.add_peer(remote.public_key, self.boot_time)
        engine.set_preshared_key(peer, self.session.preshared_key)
        everything = AllowedIP(bytes(4), 0), AllowedIP(bytes(16), 0)
        self.device.change_allowed_ips(peer, map(AllowedIPChange, everything), self.boot_time)
        if self.end == "left":  # the other one learns it, as in the recorded sessions
            engine.set_endpoint(peer, remote.endpoint, self.boot_time)
        engine.up(self.boot_time)
        self.settle()

    @property
    def boot_time(self) -> int:
        return self.now - self.boot

    @property
    def drops(self) -> dict[DropReason, int]:
        return self.device.counters()

    def random(self, length: int) -> bytes:
        """What wireguard-go drew in this step, told apart by length: key or secret, nonce, index.

        Four bytes are an index or our jitter, which no datagram shows, so those are given each time.
        """
        found = next((draw for draw in self.draws if len(draw) == length), bytes(length))
        if found in self.draws and length != 4:
            self.draws.remove(found)
        return found

    def play(self, step: Step) -> Outcome:
        """Let time pass until a step and give what it gives."""
        self.draws = list(step.random)
        while (deadline := self.device.next_deadline()) and deadline + self.boot <= step.time:
            self.now = max(self.now, deadline + self.boot)
            self.device.expire(self.boot_time)
            self.settle()
        self.now = step.time
        if step.packet:
            self.device.send(step.packet, self.boot_time)
        if step.datagram:
            return self.deliver(step.datagram, step.under_load)
        self.settle()
        return self.outcome()

    def play_until(self, wanted: Step) -> None:
        """Play what comes before a step, and let time pass until it."""
        for step in self.session.steps(self.end):
            if step is wanted:
                break
            self.play(step)
        self.play(Step(self.end, wanted.time, b"", b"", False, [], [], []))

    def deliver(self, datagram: bytes, under_load: bool) -> Outcome:
        """Receive a datagram now, from the other end's address."""
        source = self.session.remote(self.end).endpoint
        self.device.receive(datagram, source, self.boot_time)
        self.settle(UNDER_LOAD_DEPTH if under_load else 0)
        return self.outcome()

    def outcome(self) -> Outcome:
        sent, self.sent = self.sent, []
        return sent, self.device.take_packets()

    def settle(self, queued: int = 0) -> None:
        """Let engine and data path talk until both are done."""
        while self.device.step(self.boot_time, queued):
            pass
        self.sent += [datagram.data for datagram in self.device.take_datagrams()]

    def note(self, action: Action | DataPathOrder) -> None:
        match action:
            case InstallKeypair():
                self.installed.append(action)
            case PeerUnreachable():
                raise AssertionError("the other end did answer")


# -- Byte for byte -------------------------------------------------------------------------------


@each_session
@each_end
def test_an_end_sends_and_delivers_exactly_what_wireguard_go_did(session: Session, end: str) -> None:
    replay = Replay(session, end)

    for step in session.steps(end):
        assert replay.play(step) == (step.datagrams, step.packets)

    gave_cookie = any(map(sends_cookie, session.steps(end)))
    dropped = {reason for reason, count in replay.drops.items() if count}
    assert dropped == ({DropReason.INVALID_MAC2} if gave_cookie else set())


def sent_by(session: Session, end: str) -> list[bytes]:
    return [datagram for step in session.steps(end) for datagram in step.datagrams]


def sends_cookie(step: Step) -> bool:
    return any(datagram[0] == messages.TYPE_COOKIE_REPLY for datagram in step.datagrams)


def test_the_sessions_hold_every_kind_of_message_from_either_end() -> None:
    seen = {
        (end, datagram[0], any(datagram[-MAC_LENGTH:]))
        for session in SESSIONS
        for end in session.ends
        for datagram in sent_by(session, end)
    }

    for end in ("left", "right"):
        assert {kind for by, kind, _ in seen if by == end} == {1, 2, 3, 4}
    assert ("left", 1, True) in seen, "an initiation with mac2"
    assert ("right", 2, True) in seen, "a response with mac2"


@each_session
@each_end
def test_the_keys_of_every_session_are_those_that_snow_derives(session: Session, end: str) -> None:
    replay = Replay(session, end)
    for step in session.steps(end):
        replay.play(step)

    def ours(handshake: Handshake) -> tuple[bytes, bytes]:
        to_responder, to_initiator = handshake.key_to_responder, handshake.key_to_initiator
        return (to_responder, to_initiator) if handshake.initiator == end else (to_initiator, to_responder)

    expected = [ours(handshake) for handshake in HANDSHAKES if handshake.session == session.name]
    # A response that met our load was answered by a cookie, and gave no keys.
    refused = [step for step in session.steps(end) if is_response(step.datagram) and sends_cookie(step)]
    keypairs = [(keypair.sending_key, keypair.receiving_key) for keypair in replay.installed]
    assert keypairs == expected[len(refused) :]


# -- The Noise layer alone -----------------------------------------------------------------------


def identity(keys: Keys) -> noise.Identity:
    return noise.Identity(keys.private_key, keys.public_key)


@pytest.mark.parametrize("handshake", HANDSHAKES, ids=lambda handshake: handshake.session)
def test_noise_messages_and_keys_are_those_of_snow(handshake: Handshake) -> None:
    session = SESSION[handshake.session]
    initiator, responder = session.ends[handshake.initiator], session.remote(handshake.initiator)

    def static_static(public_key: bytes) -> Exchange[bytes]:
        assert public_key == initiator.public_key
        (shared,) = yield from agree((responder.private_key, public_key))
        return shared

    prepared = finish(
        noise.prepare_initiation(
            identity(initiator),
            responder.public_key,
            crypto.dh(initiator.private_key, responder.public_key),
            handshake.initiator_ephemeral,
        )
    )
    initiation, in_flight = noise.create_initiation(prepared, 1, handshake.timestamp)
    received = finish(noise.consume_initiation(identity(responder), initiation, static_static))
    response, theirs = finish(
        noise.create_response(received, session.preshared_key, 2, handshake.responder_ephemeral)
    )
    ours = finish(noise.consume_response(identity(initiator), in_flight, session.preshared_key, response))

    assert initiation.encode()[8:116] == handshake.initiation
    assert response.encode()[12:60] == handshake.response
    assert received.timestamp == handshake.timestamp
    assert (ours.sending_key, ours.receiving_key) == (handshake.key_to_responder, handshake.key_to_initiator)
    assert (theirs.receiving_key, theirs.sending_key) == (ours.sending_key, ours.receiving_key)


@pytest.mark.parametrize("handshake", HANDSHAKES, ids=lambda handshake: handshake.session)
def test_timestamps_are_those_that_wireguard_go_made_of_the_time(handshake: Handshake) -> None:
    session = SESSION[handshake.session]
    (time,) = {
        step.time
        for step in session.steps(handshake.initiator)
        for datagram in step.datagrams
        if datagram[8:116] == handshake.initiation
    }

    assert tai64n.Tai64nClock(lambda: time).next() == handshake.timestamp


# -- RejectedRecords ------------------------------------------------------------------------------------

HEADER_SIZE = {messages.TYPE_INITIATION: 8, messages.TYPE_RESPONSE: 12}


def deliveries(wanted: Callable[[Step], bool]) -> pytest.MarkDecorator:
    """Each delivery of such a datagram in three sessions, as parameters."""
    return pytest.mark.parametrize(
        ("session", "step"),
        [
            pytest.param(SESSION[name], step, id=f"{name}, {number}: {step.end} receives {step.datagram[0]}")
            for name in ("preshared key", "responder under load", "both under load")
            for number, step in enumerate(SESSION[name].transcript)
            if step.datagram and wanted(step)
        ],
    )


def ends_in_macs(step: Step) -> bool:
    return step.datagram[0] in HEADER_SIZE


def has_mac2(step: Step) -> bool:
    return ends_in_macs(step) and any(step.datagram[-MAC_LENGTH:])


def changed(datagram: bytes, positions: range) -> list[bytes]:
    """The datagram with each of these bytes changed, one at a time."""
    return [
        datagram[:position] + bytes([datagram[position] ^ 0x80]) + datagram[position + 1 :]
        for position in positions
    ]


def with_mac1(datagram: bytes, public_key: bytes) -> bytes:
    """A handshake message with the mac1 that belongs to its body, as anybody can make it."""
    body = datagram[: -2 * MAC_LENGTH]
    return body + crypto.mac(crypto.hash_(LABEL_MAC1, public_key), body) + datagram[-MAC_LENGTH:]


@deliveries(lambda step: True)
def test_a_damaged_datagram_is_refused_and_the_right_one_is_still_taken(session: Session, step: Step) -> None:
    replay = Replay(session, step.end)
    replay.play_until(step)
    refused_before = sum(replay.drops.values())
    size = len(step.datagram)
    checked = size - MAC_LENGTH if ends_in_macs(step) else size
    damaged = changed(step.datagram, range(checked))
    damaged += [step.datagram[:length] for length in range(size)] + [step.datagram + b"\0"]

    for datagram in damaged:
        assert replay.deliver(datagram, step.under_load) == ([], [])

    assert sum(replay.drops.values()) - refused_before == len(damaged)
    assert replay.play(step) == (step.datagrams, step.packets)


@deliveries(ends_in_macs)
def test_no_mac1_makes_up_for_a_damaged_noise_message(session: Session, step: Step) -> None:
    replay = Replay(session, step.end)
    replay.play_until(step)
    header = HEADER_SIZE[step.datagram[0]]
    noise_message = range(header, len(step.datagram) - 2 * MAC_LENGTH)

    for datagram in changed(step.datagram, noise_message):
        forged = with_mac1(datagram, session.ends[step.end].public_key)
        assert replay.deliver(forged, under_load=False) == ([], [])

    assert replay.drops[DropReason.HANDSHAKE_DECRYPTION_FAILED] == len(noise_message)


@deliveries(lambda step: step.under_load and has_mac2(step))
def test_under_load_a_damaged_mac2_earns_a_cookie_and_nothing_else(session: Session, step: Step) -> None:
    replay = Replay(session, step.end)
    replay.play_until(step)
    keypairs_before = len(replay.installed)
    size = len(step.datagram)

    for datagram in changed(step.datagram, range(size - MAC_LENGTH, size)):
        (cookie,), packets = replay.deliver(datagram, under_load=True)
        assert messages.message_type(cookie) == messages.TYPE_COOKIE_REPLY
        assert packets == []

    assert len(replay.installed) == keypairs_before
    assert replay.play(step) == (step.datagrams, step.packets)
