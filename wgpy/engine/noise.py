"""The handshake: Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s as functions over values. Whitepaper 5.4.

Invariant: a function either returns what follows from a message, or raises DatagramError and nothing has
changed anywhere. Nothing here knows of time, timestamps' order or who may speak: that is `device`'s. Each
function that needs X25519 pauses for it, see `exchange`; `finish` does it alone.

An initiation in flight is a value (`SentInitiation`) apart from what we answer as responder. So when
both ends begin at once, each can finish what it began, and neither waits for a retransmission.
"""

from collections.abc import Callable
from typing import Final

from wgpy.contract.constants import CONSTRUCTION, IDENTIFIER
from wgpy.contract.drops import DropReason
from wgpy.contract.errors import DatagramError
from wgpy.contract.lazy_dataclass import dataclass, field
from wgpy.contract.messages import HandshakeInitiation, HandshakeResponse

from .crypto import BASE_POINT, InvalidTag, aead_open, aead_seal, hash_, kdf1, kdf2, kdf3
from .exchange import Exchange, agree

_INITIAL_CHAINING_KEY: Final = hash_(CONSTRUCTION)
_INITIAL_HASH: Final = hash_(_INITIAL_CHAINING_KEY, IDENTIFIER)


@dataclass(frozen=True, slots=True)
class Identity:
    """Our static key pair."""

    private_key: bytes = field(repr=False)
    public_key: bytes


@dataclass(frozen=True, slots=True)
class PreparedInitiation:
    """An initiation as far as it needs no time. Of use for one message, as its ephemeral key is."""

    ephemeral: bytes = field(repr=False)  # private
    unencrypted_ephemeral: bytes
    encrypted_static: bytes
    chaining_key: bytes = field(repr=False)
    hash: bytes
    timestamp_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SentInitiation:
    """What an initiator keeps until the response comes."""

    sender_index: int
    ephemeral: bytes = field(repr=False)  # private
    chaining_key: bytes = field(repr=False)
    hash: bytes


@dataclass(frozen=True, slots=True)
class ReceivedInitiation:
    """An authentic first message, opened."""

    public_key: bytes  # of the initiator
    timestamp: bytes
    sender_index: int
    ephemeral: bytes  # public
    chaining_key: bytes = field(repr=False)
    hash: bytes


@dataclass(frozen=True, slots=True)
class Session:
    """The transport keys that a handshake ends in. Whitepaper 5.4.5."""

    initiator: bool
    local_index: int
    remote_index: int
    sending_key: bytes = field(repr=False)
    receiving_key: bytes = field(repr=False)


class _Transcript:
    """The chaining key C and the hash H as they run through a handshake."""

    __slots__ = ("chaining_key", "hash")

    def __init__(self, chaining_key: bytes, hash: bytes) -> None:
        self.chaining_key = chaining_key
        self.hash = hash

    @classmethod
    def to_responder(cls, public_key: bytes) -> "_Transcript":
        """Both ends begin with the responder's static public key (the pre-message of IK)."""
        return cls(_INITIAL_CHAINING_KEY, hash_(_INITIAL_HASH, public_key))

    def mix_ephemeral(self, public_key: bytes) -> None:
        self.chaining_key = kdf1(self.chaining_key, public_key)
        self.hash = hash_(self.hash, public_key)

    def mix(self, shared: bytes) -> None:
        """Mix in a shared secret."""
        self.chaining_key = kdf1(self.chaining_key, shared)

    def mix_key(self, shared: bytes) -> bytes:
        """Mix in a shared secret; the key for the next piece of the message."""
        self.chaining_key, key = kdf2(self.chaining_key, shared)
        return key

    def mix_preshared_key(self, preshared_key: bytes) -> bytes:
        self.chaining_key, tau, key = kdf3(self.chaining_key, preshared_key)
        self.hash = hash_(self.hash, tau)
        return key

    def seal(self, key: bytes, plaintext: bytes) -> bytes:
        ciphertext = aead_seal(key, 0, plaintext, self.hash)
        self.hash = hash_(self.hash, ciphertext)
        return ciphertext

    def open(self, key: bytes, ciphertext: bytes) -> bytes:
        try:
            plaintext = aead_open(key, 0, ciphertext, self.hash)
        except InvalidTag:
            raise DatagramError(DropReason.HANDSHAKE_DECRYPTION_FAILED) from None
        self.hash = hash_(self.hash, ciphertext)
        return plaintext

    def session(self, initiator: bool, local_index: int, remote_index: int) -> Session:
        to_responder, to_initiator = kdf2(self.chaining_key, b"")
        sending, receiving = (to_responder, to_initiator) if initiator else (to_initiator, to_responder)
        return Session(initiator, local_index, remote_index, sending, receiving)


def prepare_initiation(
    identity: Identity, remote_static: bytes, static_static: bytes, ephemeral: bytes
) -> Exchange[PreparedInitiation]:
    """All of the first message but its timestamp, which comes last. Whitepaper 5.4.2.

    static_static: DH of both static keys; ephemeral: a fresh private key.
    Raises DatagramError (LOW_ORDER_KEY).
    """
    public_ephemeral, ephemeral_static = yield from agree((ephemeral, BASE_POINT), (ephemeral, remote_static))
    transcript = _Transcript.to_responder(remote_static)
    # e
    transcript.mix_ephemeral(public_ephemeral)
    # es
    key = transcript.mix_key(ephemeral_static)
    # s
    encrypted_static = transcript.seal(key, identity.public_key)
    # ss
    key = transcript.mix_key(static_static)
    return PreparedInitiation(
        ephemeral, public_ephemeral, encrypted_static, transcript.chaining_key, transcript.hash, key
    )


def create_initiation(
    prepared: PreparedInitiation, sender_index: int, timestamp: bytes
) -> tuple[HandshakeInitiation, SentInitiation]:
    """The first message, without macs. Whitepaper 5.4.2. timestamp: 12 bytes TAI64N."""
    transcript = _Transcript(prepared.chaining_key, prepared.hash)
    # {t}
    encrypted_timestamp = transcript.seal(prepared.timestamp_key, timestamp)
    message = HandshakeInitiation(
        sender_index, prepared.unencrypted_ephemeral, prepared.encrypted_static, encrypted_timestamp
    )
    return message, SentInitiation(sender_index, prepared.ephemeral, transcript.chaining_key, transcript.hash)


def consume_initiation(
    identity: Identity, message: HandshakeInitiation, static_static: Callable[[bytes], Exchange[bytes]]
) -> Exchange[ReceivedInitiation]:
    """Open a first message and say who sent it. Whitepaper 5.4.2.

    static_static(public key): DH of our static key with this peer's; it raises DatagramError if there
    is no such peer. Raises DatagramError (HANDSHAKE_DECRYPTION_FAILED, LOW_ORDER_KEY, and its own).
    """
    (ephemeral_static,) = yield from agree((identity.private_key, message.unencrypted_ephemeral))
    transcript = _Transcript.to_responder(identity.public_key)
    # e
    transcript.mix_ephemeral(message.unencrypted_ephemeral)
    # es
    key = transcript.mix_key(ephemeral_static)
    # s
    public_key = transcript.open(key, message.encrypted_static)
    # ss
    key = transcript.mix_key((yield from static_static(public_key)))
    # {t}
    timestamp = transcript.open(key, message.encrypted_timestamp)
    return ReceivedInitiation(
        public_key,
        timestamp,
        message.sender_index,
        message.unencrypted_ephemeral,
        transcript.chaining_key,
        transcript.hash,
    )


def create_response(
    initiation: ReceivedInitiation, preshared_key: bytes, sender_index: int, ephemeral: bytes
) -> Exchange[tuple[HandshakeResponse, Session]]:
    """The answer to an initiation, without macs, and the session it opens. Whitepaper 5.4.3.

    preshared_key: 32 bytes, zeros for none; ephemeral: a fresh private key.
    Raises DatagramError (LOW_ORDER_KEY).
    """
    public_ephemeral, ephemerals, static_ephemeral = yield from agree(
        (ephemeral, BASE_POINT), (ephemeral, initiation.ephemeral), (ephemeral, initiation.public_key)
    )
    transcript = _Transcript(initiation.chaining_key, initiation.hash)
    # e
    transcript.mix_ephemeral(public_ephemeral)
    # ee
    transcript.mix(ephemerals)
    # se
    transcript.mix(static_ephemeral)
    # psk
    key = transcript.mix_preshared_key(preshared_key)
    # {}
    encrypted_nothing = transcript.seal(key, b"")
    message = HandshakeResponse(sender_index, initiation.sender_index, public_ephemeral, encrypted_nothing)
    return message, transcript.session(False, sender_index, initiation.sender_index)


def consume_response(
    identity: Identity, initiation: SentInitiation, preshared_key: bytes, message: HandshakeResponse
) -> Exchange[Session]:
    """Open the answer to our initiation. Whitepaper 5.4.3.

    Raises DatagramError (HANDSHAKE_DECRYPTION_FAILED, LOW_ORDER_KEY).
    """
    ephemerals, static_ephemeral = yield from agree(
        (initiation.ephemeral, message.unencrypted_ephemeral),
        (identity.private_key, message.unencrypted_ephemeral),
    )
    transcript = _Transcript(initiation.chaining_key, initiation.hash)
    # e
    transcript.mix_ephemeral(message.unencrypted_ephemeral)
    # ee
    transcript.mix(ephemerals)
    # se
    transcript.mix(static_ephemeral)
    # psk
    key = transcript.mix_preshared_key(preshared_key)
    # {}
    transcript.open(key, message.encrypted_nothing)
    return transcript.session(True, initiation.sender_index, message.sender_index)
