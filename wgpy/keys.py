"""WireGuard's keys as values: 32 bytes that print as base64, and the secret ones not at all.

Public keys may be shown; `repr` and `str` of a private or preshared key never give it away, so a key
may stand in a log call or a traceback. Use `.base64()` or `bytes(key)` where the secret itself is meant.
"""

import binascii
import os
from typing import Self

from wgpy.contract.constants import KEY_LENGTH
from wgpy.contract.errors import InputError
from wgpy.engine.crypto import clamp, compare_digest, dh_public


class Key:
    """32 bytes. The base of the three kinds, which never equal each other."""

    __slots__ = ("_bytes",)

    def __init__(self, data: bytes | bytearray | memoryview | str) -> None:
        """data: 32 bytes, or text as `from_base64` takes it. Raises InputError, TypeError."""
        if isinstance(data, str):
            self._bytes = _decode_base64(data)
            return
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"want a key as text or bytes, not {type(data).__name__}")
        self._bytes = bytes(data)
        if len(self._bytes) != KEY_LENGTH:
            raise InputError(f"a WireGuard key is {KEY_LENGTH} bytes, not {len(self._bytes)}")

    @classmethod
    def from_base64(cls, text: str) -> Self:
        """As in configuration files: 44 characters, the last one '='. Raises InputError."""
        return cls(_decode_base64(text))

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """As in UAPI: 64 hexadecimal digits. Raises InputError."""
        try:
            # `fromhex` skips white space, which no key has.
            data = bytes.fromhex(text) if text.isalnum() else b""
        except ValueError:
            data = b""
        if len(data) != KEY_LENGTH:
            raise InputError("not a WireGuard key: want 64 hexadecimal digits")
        return cls(data)

    def base64(self) -> str:
        return _encode_base64(self._bytes)

    def hex(self) -> str:
        return self._bytes.hex()

    def __bytes__(self) -> bytes:
        return self._bytes

    def __bool__(self) -> bool:
        """Whether any bit is set: zeros mean "no key" in UAPI."""
        return any(self._bytes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and compare_digest(self._bytes, other._bytes)

    def __hash__(self) -> int:
        return hash(self._bytes)  # which remember theirs

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hidden)"


def _encode_base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def _decode_base64(text: str) -> bytes:
    """Raises InputError."""
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        data = b""
    # Comparing what it prints again refuses stray bits in the last character, as wg does.
    if len(data) != KEY_LENGTH or _encode_base64(data) != text:
        raise InputError("not a WireGuard key: want 44 characters of base64, as `wg genkey` prints")
    return data


class PublicKey(Key):
    """Who a peer is."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.base64()

    def __repr__(self) -> str:
        return f"PublicKey({self.base64()!r})"


class PrivateKey(Key):
    """A Curve25519 scalar, clamped as it is made (RFC 7748 section 5); all zeros stay zeros."""

    __slots__ = ()

    def __init__(self, data: bytes | bytearray | memoryview | str) -> None:
        super().__init__(data)
        if any(self._bytes):
            self._bytes = clamp(self._bytes)

    @classmethod
    def generate(cls) -> Self:
        return cls(os.urandom(KEY_LENGTH))

    def public_key(self) -> PublicKey:
        return PublicKey(dh_public(self._bytes))


class PresharedKey(Key):
    """A symmetric secret mixed into the handshake. Whitepaper 5.2."""

    __slots__ = ()

    @classmethod
    def generate(cls) -> Self:
        return cls(os.urandom(KEY_LENGTH))
