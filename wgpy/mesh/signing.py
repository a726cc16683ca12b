"""Keys that sign, and bytes that were signed. Ed25519, RFC 8032, by PyNaCl."""

import hashlib
from dataclasses import dataclass
from typing import Final, Self

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey as _Ed25519Key
from nacl.signing import VerifyKey as _Ed25519PublicKey

from wgpy.keys import Key

SIGNATURE_LENGTH: Final = 64
MAX_BODY: Final = 1 << 16  # bytes


class VerifyKey(Key):
    """The public half, which verifies signatures."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.base64()

    def __repr__(self) -> str:
        return f"VerifyKey({self.base64()})"

    def verifies(self, body: bytes, signature: bytes) -> bool:
        """Return whether the signature of the body is by this key's private half."""
        try:
            _Ed25519PublicKey(bytes(self)).verify(body, signature)
        except (BadSignatureError, ValueError):
            return False
        return True


class SigningKey(Key):
    """The private half: the 32 bytes that RFC 8032 calls the private key."""

    __slots__ = ()

    @classmethod
    def generate(cls) -> Self:
        return cls(bytes(_Ed25519Key.generate()))

    def verify_key(self) -> VerifyKey:
        return VerifyKey(bytes(_Ed25519Key(bytes(self)).verify_key))

    def sign(self, body: bytes) -> "Signed":
        return Signed(body, _Ed25519Key(bytes(self)).sign(body).signature)


@dataclass(frozen=True, slots=True)
class Signed:
    """A body and a signature of it, not yet verified. body: at most MAX_BODY bytes."""

    body: bytes
    signature: bytes

    def __post_init__(self) -> None:
        if len(self.signature) != SIGNATURE_LENGTH or len(self.body) > MAX_BODY:
            raise ValueError(f"want {SIGNATURE_LENGTH} bytes of signature and at most {MAX_BODY} of body")

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `bytes` gave. Raises ValueError."""
        return cls(data[SIGNATURE_LENGTH:], data[:SIGNATURE_LENGTH])

    def __bytes__(self) -> bytes:
        return self.signature + self.body

    @property
    def digest(self) -> bytes:
        """32 bytes that stand for the body."""
        return digest_of(self.body)


def digest_of(body: bytes) -> bytes:
    """Return the BLAKE2s of a body, 32 bytes."""
    return hashlib.blake2s(body).digest()
