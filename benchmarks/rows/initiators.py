"""Many initiators at once: a program that has a responder answer them, and prints how fast it did, as JSON.

Invariant: at most WINDOW messages are unanswered at any time, so nobody takes itself to be under load by the
length of its queue. Who counts messages gives cookies: then the same message goes out again with mac2. What
initiators compute is computed before the clock runs, and whether each answer is right is seen after it. Each
one's first handshake is not timed, since then some compute what they keep.
"""

import json
import os
import resource
import selectors
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from wgpy.contract.errors import DatagramError
from wgpy.contract.messages import CookieReply, HandshakeInitiation, HandshakeResponse, decode
from wgpy.engine import noise
from wgpy.engine.cookie import CookieMaker
from wgpy.engine.crypto import dh, dh_public
from wgpy.engine.exchange import finish
from wgpy.engine.tai64n import encode

WINDOW: Final = 32
PASSES: Final = 3  # handshakes of each, the first of them not timed
PAUSE: Final = (
    0.1  # seconds between passes: who asks twice within 20 ms, as WireGuard has it, is not answered
)
SILENCE: Final = 1.0  # seconds after which nothing more is waited for
WITHIN: Final = 10.0  # seconds that a pass may take
FIRST_PORT: Final = 20_000
FILES: Final = 4096
NOW: Final = 0  # of cookies, which live longer than this runs
NO_PSK: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of the timed handshakes. cookies: cookie replies in all passes."""

    asked: int
    answered: int
    seconds: float
    cookies: int


@dataclass(frozen=True, slots=True)
class Initiator:
    """One peer of the responder, with its own socket, as some responders identify a peer by its port."""

    identity: noise.Identity
    here: socket.socket
    macs: CookieMaker


@dataclass(slots=True)
class Attempt:
    """One handshake, as its initiator keeps it."""

    initiator: Initiator
    message: HandshakeInitiation
    sent: noise.SentInitiation
    response: HandshakeResponse | None = None

    def send(self) -> None:
        """Send the first message, with mac2 if its initiator has a cookie."""
        self.initiator.here.send(self.initiator.macs.seal(self.message, NOW))

    def is_answered(self) -> bool:
        """Return whether the answer is the responder's authentic answer to this message."""
        if self.response is None:
            return False
        try:
            finish(noise.consume_response(self.initiator.identity, self.sent, NO_PSK, self.response))
        except DatagramError:
            return False
        return True


@dataclass(slots=True)
class Crowd:
    """All initiators, and those of their attempts that are not answered yet, by index."""

    initiators: Sequence[Initiator]
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    waiting: dict[int, Attempt] = field(default_factory=dict)
    cookies: int = 0

    def __post_init__(self) -> None:
        for initiator in self.initiators:
            self.selector.register(initiator.here, selectors.EVENT_READ)

    def shake_hands(self, attempts: Sequence[Attempt]) -> float:
        """Do all handshakes; return the seconds from the first message to the last answer."""
        began = answered = time.perf_counter()
        due = iter(attempts)
        while answered - began < WITHIN:
            while len(self.waiting) < WINDOW and (attempt := next(due, None)) is not None:
                self.waiting[attempt.sent.sender_index] = attempt
                attempt.send()
            if not self.waiting or not (ready := self.selector.select(SILENCE)):
                break
            for key, _ in ready:
                assert isinstance(key.fileobj, socket.socket)
                self._receive(key.fileobj.recv(2048))
            answered = time.perf_counter()
        self.waiting.clear()
        return answered - began

    def _receive(self, datagram: bytes) -> None:
        match decode(datagram):
            case HandshakeResponse() as response if response.receiver_index in self.waiting:
                self.waiting.pop(response.receiver_index).response = response
            case CookieReply() as reply if reply.receiver_index in self.waiting:
                attempt = self.waiting[reply.receiver_index]
                attempt.initiator.macs.consume_reply(reply, NOW)
                attempt.send()
                self.cookies += 1


def prepare(initiators: Sequence[Initiator], responder: bytes) -> list[list[Attempt]]:
    """Compute first messages to a responder, by its public key: one of each initiator for each pass."""
    passes: list[list[Attempt]] = [[] for _ in range(PASSES)]
    index = 0
    for initiator in initiators:
        shared = dh(initiator.identity.private_key, responder)
        for attempts in passes:
            index += 1
            ephemeral = os.urandom(32)
            prepared = finish(noise.prepare_initiation(initiator.identity, responder, shared, ephemeral))
            message, sent = noise.create_initiation(prepared, index, encode(time.time_ns()))
            attempts.append(Attempt(initiator, message, sent))
    return passes


def main(keys: Sequence[bytes], responder: bytes, address: str, port: int) -> Outcome:
    """Measure a responder. keys: private keys of its peers, which have the ports from FIRST_PORT on."""
    with ExitStack() as closing:
        initiators = []
        for number, key in enumerate(keys):
            here = closing.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            here.bind(("", FIRST_PORT + number))
            here.connect((address, port))
            initiators.append(Initiator(noise.Identity(key, dh_public(key)), here, CookieMaker(responder)))
        untimed, *timed = prepare(initiators, responder)
        crowd = Crowd(initiators)
        crowd.shake_hands(untimed)
        seconds = 0.0
        for attempts in timed:
            time.sleep(PAUSE)
            seconds += crowd.shake_hands(attempts)
    attempts = [attempt for attempts in timed for attempt in attempts]
    answered = sum(attempt.is_answered() for attempt in attempts)
    return Outcome(len(attempts), answered, seconds, crowd.cookies)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    private_keys = [bytes.fromhex(line) for line in Path(sys.argv[1]).read_text().split()]
    try:
        outcome = main(private_keys, bytes.fromhex(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    except (DatagramError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(json.dumps(asdict(outcome)))
