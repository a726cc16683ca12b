"""A question to a node of the network, outside of the tunnel, and its answer: by which path is it reached?

    magic "wgpd" (4)  version (1)  kind (1)  delay (1)  elsewhere (1)  hint (8)  id (8)  token (8)
    address (16)  port (2)  padding (any)  mac (16)

The mac is keyed BLAKE2s over all that is before it. Its key is of the pair, from the Diffie-Hellman of both
nodes' static keys. The hint is of sender and receiver: it says nothing to who does not know both keys.

An answer says where its question came from, and has a token, which the next question to there returns: so who
answers learns, without asking, that the other end receives at that address; a replayed question does not.

A question may ask for its answer after some seconds of silence (delay), which shows whether a NAT keeps a
mapping for so long; or from another port (elsewhere), which shows whether a firewall lets in what comes
unasked.

Invariant: an answer is as long as its question, and goes to where that came from, so nobody is made to send
more than he was sent, and nothing else is sent because of a question; nothing is answered that no node of
the network made; memory is bounded, whatever comes.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from hashlib import blake2s
from ipaddress import IPv6Address, ip_address
from struct import Struct
from typing import Final, NamedTuple, TypeVar

from wgpy.contract.constants import KEY_LENGTH, MAC_LENGTH, MAX_FOREIGN_SIZE, SECOND
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import DatagramError
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.engine.crypto import LowOrderKey, compare_digest, dh, dh_public, hash_, mac

from .postponed import Postponed, PostponedAnswers

MAGIC: Final = b"wgpd"
MAX_QUESTIONS: Final = 1024  # that wait for their answers
MAX_ANSWERS: Final = 256  # that wait for `take_answers`
MAX_PAIRS: Final = 1024  # keys that are kept
TOKEN_LIFETIME: Final = 60 * SECOND  # at least; at most twice that
MAX_DELAY: Final = 180  # seconds

_VERSION: Final = 1
_QUESTION: Final = 1
_ANSWER: Final = 2
_LAYOUT: Final = Struct(">4sBBBB8s8s8s16sH")
SIZE: Final = _LAYOUT.size + MAC_LENGTH  # of a question without padding
MAX_SIZE: Final = MAX_FOREIGN_SIZE
_SHORT: Final = 8  # bytes of hint, id and token
_NO_TOKEN: Final = bytes(_SHORT)
_LABEL_KEY: Final = b"wgpy discovery 1"
_LABEL_HINT: Final = b"wgpy discovery hint 1"

_K = TypeVar("_K")
_V = TypeVar("_V")


class Manner(NamedTuple):
    """How a question is to be answered. delay: seconds, up to MAX_DELAY; elsewhere: from another port."""

    delay: int = 0
    elsewhere: bool = False


AT_ONCE: Final = Manner()
ELSEWHERE: Final = Manner(elsewhere=True)


class Answer(NamedTuple):
    """A node was reached there.

    peer: its public key; round_trip: ns; seen_as: where the question came from, as the node saw it; size: of
    the question and the answer, in bytes; manner: as was asked for.
    """

    peer: bytes
    remote: Endpoint
    round_trip: int
    seen_as: Endpoint
    size: int
    manner: Manner = AT_ONCE


class Heard(NamedTuple):
    """A node asked from there, and has received what was sent to it there."""

    peer: bytes
    remote: Endpoint


@dataclass(frozen=True, slots=True)
class _Message:
    """token: in a question the one of the last answer, in an answer the next one; manner: in a question;
    address: in an answer.
    """

    kind: int
    hint: bytes
    id: bytes
    token: bytes
    address: bytes = bytes(16)
    port: int = 0
    manner: Manner = AT_ONCE

    def encode(self, key: bytes, size: int) -> bytes:
        head = _LAYOUT.pack(
            MAGIC, _VERSION, self.kind, *self.manner, self.hint, self.id, self.token, self.address, self.port
        )
        covered = head.ljust(size - MAC_LENGTH, b"\0")
        return covered + mac(key, covered)

    @classmethod
    def decode(cls, data: bytes) -> "_Message":
        """Raises DatagramError."""
        if not SIZE <= len(data) <= MAX_SIZE:
            raise DatagramError(DropReason.MALFORMED)
        magic, version, kind, delay, elsewhere, *fields = _LAYOUT.unpack_from(data)
        if (magic, version) != (MAGIC, _VERSION) or kind not in (_QUESTION, _ANSWER):
            raise DatagramError(DropReason.MALFORMED)
        if delay > MAX_DELAY or elsewhere > 1 or (kind == _ANSWER and (delay or elsewhere)):
            raise DatagramError(DropReason.MALFORMED)
        hint, number, token, address, port = fields
        return cls(kind, hint, number, token, address, port, Manner(delay, bool(elsewhere)))


@dataclass(frozen=True, slots=True)
class _Question:
    peer: bytes
    remote: Endpoint
    asked_at: int
    size: int
    manner: Manner

    def is_answered_from(self, source: Endpoint) -> bool:
        return self.manner.elsewhere or source == self.remote


class Discovery:
    """Of one node: asks other nodes, and answers them. `receive` is a reader for MAGIC."""

    def __init__(self, private_key: bytes, random: Callable[[int], bytes]) -> None:
        """random(n): n secret random bytes."""
        self._private_key = private_key
        self.public_key = dh_public(private_key)
        self._random = random
        self._secret = random(KEY_LENGTH)
        self._by_hint: dict[bytes, bytes] = {}  # of what others send: who sends
        self._keys: OrderedDict[bytes, bytes] = OrderedDict()  # of pairs, by peer; last used last
        self._questions: OrderedDict[bytes, _Question] = OrderedDict()  # by id, the oldest first
        self._tokens: OrderedDict[tuple[bytes, Endpoint], bytes] = OrderedDict()  # of answers, to be returned
        self._answers: list[Answer] = []
        self._heard: list[Heard] = []
        self.postponed = PostponedAnswers()

    def set_peers(self, peers: Iterable[bytes]) -> None:
        """Answer the nodes with these public keys, and this one, and no others."""
        known = {_hint(peer, self.public_key): peer for peer in (*peers, self.public_key)}
        for peer in set(self._by_hint.values()).difference(known.values()):
            self._keys.pop(peer, None)
        self._by_hint = known

    @property
    def hints(self) -> frozenset[bytes]:
        """Of all questions and answers that are not refused; at offset 8 of each."""
        return frozenset(self._by_hint)

    def ask(
        self, peer: bytes, remote: Endpoint, now: int, size: int = SIZE, manner: Manner = AT_ONCE
    ) -> bytes:
        """The datagram to send there. The oldest question of too many is forgotten. now: boottime ns.

        size: SIZE to MAX_SIZE bytes, of the answer too. Raises ValueError.
        """
        if not SIZE <= size <= MAX_SIZE:
            raise ValueError(f"a question has {SIZE} to {MAX_SIZE} bytes, not {size}")
        remote = remote.without_source()
        number = self._random(_SHORT)
        _keep(self._questions, number, _Question(peer, remote, now, size, manner), MAX_QUESTIONS)
        token = self._tokens.pop((peer, remote), _NO_TOKEN)
        message = _Message(_QUESTION, _hint(self.public_key, peer), number, token, manner=manner)
        return message.encode(self._key(peer), size)

    def take_answers(self) -> list[Answer]:
        """Those since the last call, the newest MAX_ANSWERS, each question's once."""
        answers, self._answers = self._answers, []
        return answers

    def take_heard(self) -> list[Heard]:
        """Where nodes were heard since the last call, the newest MAX_ANSWERS."""
        heard, self._heard = self._heard, []
        return heard

    def receive(self, data: bytes, source: Endpoint, now: int) -> bytes | None:
        """The answer to a question, unless that asked for it in another manner: then it is in `postponed`.

        Raises DatagramError for what no known node made for this one.
        """
        message = _Message.decode(data)
        peer = self._by_hint.get(message.hint)
        if peer is None:
            raise DatagramError(DropReason.UNKNOWN_PEER)
        key = self._key(peer)
        if not compare_digest(mac(key, data[:-MAC_LENGTH]), data[-MAC_LENGTH:]):
            raise DatagramError(DropReason.INVALID_MAC)
        there = source.without_source()
        if message.kind == _ANSWER:
            self._note_answer(message, peer, there, len(data), now)
            return None
        if message.token in (self._token(peer, there, now), self._token(peer, there, now - TOKEN_LIFETIME)):
            self._heard = [*self._heard, Heard(peer, there)][-MAX_ANSWERS:]
        answer = self._answer(message, peer, there, now).encode(key, len(data))
        if message.manner == AT_ONCE:
            return answer
        delay, elsewhere = message.manner
        self.postponed.add(peer, Postponed(answer, source, now + delay * SECOND, elsewhere))
        return None

    def _answer(self, question: _Message, peer: bytes, source: Endpoint, now: int) -> _Message:
        address, port = _pack(source)
        token = self._token(peer, source, now)
        return _Message(_ANSWER, _hint(self.public_key, peer), question.id, token, address, port)

    def _note_answer(self, message: _Message, peer: bytes, source: Endpoint, size: int, now: int) -> None:
        question = self._questions.get(message.id)
        if question is None or (question.peer, question.size) != (peer, size):
            raise DatagramError(DropReason.UNEXPECTED_ANSWER)
        if not question.is_answered_from(source):
            raise DatagramError(DropReason.UNEXPECTED_ANSWER)
        del self._questions[message.id]
        _keep(self._tokens, (peer, question.remote), message.token, MAX_QUESTIONS)
        seen_as = _unpack(message.address, message.port)
        round_trip = now - question.asked_at
        answer = Answer(peer, question.remote, round_trip, seen_as, size, question.manner)
        self._answers = [*self._answers, answer][-MAX_ANSWERS:]

    def _token(self, peer: bytes, source: Endpoint, now: int) -> bytes:
        """What only who receives there can know."""
        period = (now // TOKEN_LIFETIME).to_bytes(8, "big", signed=True)
        return mac(self._secret, peer + source.packed() + period)[:_SHORT]

    def _key(self, peer: bytes) -> bytes:
        """The key of a pair. A public key of low order has one that nobody knows."""
        if (key := self._keys.get(peer)) is None:
            try:
                shared = dh(self._private_key, peer)
            except LowOrderKey:
                shared = self._secret
            key = hash_(_LABEL_KEY, shared)
        _keep(self._keys, peer, key, MAX_PAIRS)
        return key


def _keep(kept: OrderedDict[_K, _V], key: _K, value: _V, maximum: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > maximum:
        kept.popitem(last=False)


def _hint(sender: bytes, receiver: bytes) -> bytes:
    return blake2s(_LABEL_HINT + sender + receiver, digest_size=_SHORT).digest()


def _pack(endpoint: Endpoint) -> tuple[bytes, int]:
    """IPv4 addresses as RFC 4291 maps them."""
    packed = endpoint.packed()[:-2]
    return (packed if len(packed) == 16 else bytes(10) + b"\xff\xff" + packed), endpoint.port


def _unpack(address: bytes, port: int) -> Endpoint:
    mapped = IPv6Address(address)
    return Endpoint(str(ip_address(mapped.ipv4_mapped or mapped)), port)
