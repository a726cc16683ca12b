"""The WireGuard whitepaper (revision of 2020-06-01) restated for the tests, without a look at the code.

The chapters conform to the paper, so nothing in here comes from `wgpy.engine`: the constants are typed
again, and `PaperPeer` is a second, plain implementation of section 5.4 over `cryptography` and `hashlib`.
Where the paper leaves a value to the implementation, the kernel's is given and says so.
"""

import hmac
from dataclasses import dataclass, field
from hashlib import blake2s

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)

__all__ = ["InvalidTag", "PaperPeer", "PaperSession", "tai64n"]

NS = 1_000_000_000
MS = 1_000_000

# Table of section 6.1.
REKEY_AFTER_MESSAGES = 2**60
REJECT_AFTER_MESSAGES = 2**64 - 2**13 - 1
REKEY_AFTER_TIME = 120 * NS
REJECT_AFTER_TIME = 180 * NS
REKEY_ATTEMPT_TIME = 90 * NS
REKEY_TIMEOUT = 5 * NS
KEEPALIVE_TIMEOUT = 10 * NS

# Said in words in sections 5.3, 5.4.7 and 6.
REKEY_ON_RECEIVE = 165 * NS
NEW_HANDSHAKE_AFTER_SILENCE = 15 * NS
ZERO_KEYS_AFTER = 540 * NS
COOKIE_SECRET_LIFE = 120 * NS

# The kernel's.
JITTER = 333 * MS
COOKIE_USED_FOR = 115 * NS
INITIATION_INTERVAL = 20 * MS
UNDER_LOAD_HOLD = 1 * NS
HANDSHAKES_PER_SECOND = 20
HANDSHAKE_BURST = 5
STAGED_PACKETS = 128
HANDSHAKE_TOS = 0x88

# Of this implementation: an eighth of its handshake queue, as in the kernel.
UNDER_LOAD_DEPTH = 512 // 8

INITIATION, RESPONSE, COOKIE_REPLY, TRANSPORT = 1, 2, 3, 4
SIZES = {INITIATION: 148, RESPONSE: 92, COOKIE_REPLY: 64}
KEEPALIVE_SIZE = 32

# RFC 7748 and "May the Fourth": points whose Diffie-Hellman with any key gives zeros.
LOW_ORDER_POINTS = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]


def hash_(data: bytes) -> bytes:
    return blake2s(data).digest()


def mac(key: bytes, data: bytes) -> bytes:
    return blake2s(data, key=key, digest_size=16).digest()


def kdf(n: int, key: bytes, data: bytes) -> list[bytes]:
    """KDF_n of section 5.4."""
    secret = hmac.digest(key, data, "blake2s")
    outputs, last = [], b""
    for i in range(1, n + 1):
        last = hmac.digest(secret, last + bytes([i]), "blake2s")
        outputs.append(last)
    return outputs


def seal(key: bytes, counter: int, plaintext: bytes, authenticated: bytes = b"") -> bytes:
    return ChaCha20Poly1305(key).encrypt(bytes(4) + counter.to_bytes(8, "little"), plaintext, authenticated)


def unseal(key: bytes, counter: int, ciphertext: bytes, authenticated: bytes = b"") -> bytes:
    return ChaCha20Poly1305(key).decrypt(bytes(4) + counter.to_bytes(8, "little"), ciphertext, authenticated)


def dh(private: bytes, public: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))


def public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def tai64n(unix_ns: int) -> bytes:
    """Section 5.1: 12 bytes, big-endian, so that they compare as times do."""
    seconds, nanoseconds = divmod(unix_ns, NS)
    return (2**62 + 10 + seconds).to_bytes(8, "big") + nanoseconds.to_bytes(4, "big")


def u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def type_of(datagram: bytes) -> int:
    return datagram[0]


def sender_of(datagram: bytes) -> int:
    """The sender index of an initiation or response."""
    return int.from_bytes(datagram[4:8], "little")


def receiver_of(datagram: bytes) -> int:
    """The receiver index of any other message."""
    return int.from_bytes(datagram[8:12] if datagram[0] == RESPONSE else datagram[4:8], "little")


def counter_of(datagram: bytes) -> int:
    """The counter of a transport data message."""
    return int.from_bytes(datagram[8:16], "little")


def mac2_of(datagram: bytes) -> bytes:
    return datagram[-16:]


@dataclass
class PaperSession:
    """One session's keys, as its paper end has them."""

    remote_index: int
    local_index: int
    sending_key: bytes
    receiving_key: bytes

    def seal(self, counter: int, packet: bytes, multiple: int = 16) -> bytes:
        """A transport data message, padded to a multiple. Section 5.4.6."""
        padded = packet + bytes(-len(packet) % multiple)
        header = u32(TRANSPORT) + u32(self.remote_index) + counter.to_bytes(8, "little")
        return header + seal(self.sending_key, counter, padded)

    def open(self, datagram: bytes) -> bytes:
        """The padded packet. Raises InvalidTag."""
        assert receiver_of(datagram) == self.local_index
        return unseal(self.receiving_key, counter_of(datagram), datagram[16:])


@dataclass
class PaperPeer:
    """One end by the paper, talking to one remote public key. It does only what a test tells it."""

    private: bytes
    remote_public: bytes
    preshared: bytes = bytes(32)
    cookie: bytes = b""
    last_mac1: bytes = b""
    next_index: int = 1000
    ephemerals: int = 0
    # After an initiation of ours: chaining key, hash, ephemeral private key, sender index.
    pending: tuple[bytes, bytes, bytes, int] | None = field(default=None, repr=False)

    @property
    def public(self) -> bytes:
        return public(self.private)

    def initiation(
        self, timestamp: bytes, *, static: bytes | None = None, ephemeral_public: bytes | None = None
    ) -> bytes:
        """Section 5.4.2. static, ephemeral_public: lies to tell instead of our public keys."""
        ephemeral = self._ephemeral()
        shown = ephemeral_public or public(ephemeral)
        chaining = hash_(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")
        digest = hash_(chaining + b"WireGuard v1 zx2c4 Jason@zx2c4.com")
        digest = hash_(digest + self.remote_public)
        (chaining,) = kdf(1, chaining, shown)
        digest = hash_(digest + shown)
        chaining, key = kdf(2, chaining, dh(ephemeral, self.remote_public))
        encrypted_static = seal(key, 0, static or self.public, digest)
        digest = hash_(digest + encrypted_static)
        chaining, key = kdf(2, chaining, dh(self.private, self.remote_public))
        encrypted_timestamp = seal(key, 0, timestamp, digest)
        digest = hash_(digest + encrypted_timestamp)
        index = self._index()
        self.pending = (chaining, digest, ephemeral, index)
        return self.with_macs(u32(INITIATION) + u32(index) + shown + encrypted_static + encrypted_timestamp)

    def consume_response(self, datagram: bytes) -> PaperSession:
        """Section 5.4.3, as initiator. Raises InvalidTag."""
        assert self.pending is not None
        assert len(datagram) == SIZES[RESPONSE]
        chaining, digest, ephemeral, index = self.pending
        assert receiver_of(datagram) == index
        self.check_mac1(datagram)
        remote = datagram[12:44]
        (chaining,) = kdf(1, chaining, remote)
        digest = hash_(digest + remote)
        (chaining,) = kdf(1, chaining, dh(ephemeral, remote))
        (chaining,) = kdf(1, chaining, dh(self.private, remote))
        chaining, tau, key = kdf(3, chaining, self.preshared)
        digest = hash_(digest + tau)
        assert unseal(key, 0, datagram[44:60], digest) == b""
        sending, receiving = kdf(2, chaining, b"")
        return PaperSession(sender_of(datagram), index, sending, receiving)

    def consume_initiation(self, datagram: bytes) -> tuple[bytes, bytes, bytes, bytes]:
        """Section 5.4.2, as responder: timestamp, chaining key, hash, remote ephemeral. Raises InvalidTag."""
        assert len(datagram) == SIZES[INITIATION]
        self.check_mac1(datagram)
        remote = datagram[8:40]
        chaining = hash_(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")
        digest = hash_(chaining + b"WireGuard v1 zx2c4 Jason@zx2c4.com")
        digest = hash_(digest + self.public)
        (chaining,) = kdf(1, chaining, remote)
        digest = hash_(digest + remote)
        chaining, key = kdf(2, chaining, dh(self.private, remote))
        assert unseal(key, 0, datagram[40:88], digest) == self.remote_public
        digest = hash_(digest + datagram[40:88])
        chaining, key = kdf(2, chaining, dh(self.private, self.remote_public))
        timestamp = unseal(key, 0, datagram[88:116], digest)
        digest = hash_(digest + datagram[88:116])
        return timestamp, chaining, digest, remote

    def respond(
        self, initiation: bytes, *, ephemeral_public: bytes | None = None
    ) -> tuple[bytes, PaperSession]:
        """Section 5.4.3, as responder."""
        _, chaining, digest, remote = self.consume_initiation(initiation)
        ephemeral = self._ephemeral()
        shown = ephemeral_public or public(ephemeral)
        (chaining,) = kdf(1, chaining, shown)
        digest = hash_(digest + shown)
        (chaining,) = kdf(1, chaining, dh(ephemeral, remote))
        (chaining,) = kdf(1, chaining, dh(ephemeral, self.remote_public))
        chaining, tau, key = kdf(3, chaining, self.preshared)
        digest = hash_(digest + tau)
        nothing = seal(key, 0, b"", digest)
        index = self._index()
        receiving, sending = kdf(2, chaining, b"")
        body = u32(RESPONSE) + u32(index) + u32(sender_of(initiation)) + shown + nothing
        return self.with_macs(body), PaperSession(sender_of(initiation), index, sending, receiving)

    def with_macs(self, body: bytes) -> bytes:
        """Section 5.4.4: mac1, and mac2 if we hold a cookie."""
        self.last_mac1 = mac(hash_(b"mac1----" + self.remote_public), body)
        body += self.last_mac1
        return body + (mac(self.cookie, body) if self.cookie else bytes(16))

    def check_mac1(self, datagram: bytes) -> None:
        assert datagram[-32:-16] == mac(hash_(b"mac1----" + self.public), datagram[:-32])

    def cookie_reply(self, to: bytes, cookie: bytes, nonce: bytes = bytes(24)) -> bytes:
        """Section 5.4.7, as the loaded end, in answer to this message."""
        key = hash_(b"cookie--" + self.public)
        sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(cookie, to[-32:-16], nonce, key)
        return u32(COOKIE_REPLY) + u32(sender_of(to)) + nonce + sealed

    def open_cookie_reply(self, datagram: bytes) -> bytes:
        """Section 5.4.7, as the end that sent a message: the cookie."""
        assert len(datagram) == SIZES[COOKIE_REPLY]
        key = hash_(b"cookie--" + self.remote_public)
        return crypto_aead_xchacha20poly1305_ietf_decrypt(datagram[32:], self.last_mac1, datagram[8:32], key)

    def _index(self) -> int:
        self.next_index += 1
        return self.next_index

    def _ephemeral(self) -> bytes:
        """Another ephemeral key each time, but the same ones in every run."""
        self.ephemerals += 1
        return hash_(self.private + u32(self.ephemerals))
