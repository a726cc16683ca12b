"""The primitives of WireGuard by the names of whitepaper 5.4, over `pynacl` and BLAKE2s of Python.

Invariant: nothing here keeps state, and failure is `InvalidTag` or `LowOrderKey`, never a bool.
libsodium takes raw bytes, so no key object is made per call. OpenSSL is faster with whole packets, but where
those are moved in C, it would be a fifth of a daemon's memory for nothing; so it is not even loaded, as
`hashlib` and `hmac` do.
"""

from typing import Any

try:
    from _blake2 import blake2s
    from _operator import _compare_digest as compare_digest
except ImportError:  # another Python, or another version of it
    from hashlib import blake2s
    from hmac import compare_digest  # type: ignore[no-redef]

try:  # the wrapper around it takes twice as long as the cipher, and there may be a flood of handshakes
    from nacl._sodium import ffi as _ffi  # type: ignore[import-not-found]
    from nacl._sodium import lib as _sodium
except ImportError:  # pynacl has it elsewhere now
    from nacl import bindings
    from nacl.exceptions import CryptoError

    _ffi = _sodium = None
else:
    if _sodium.sodium_init() < 0:
        raise ImportError("libsodium cannot be used on this host")

from wgpy.contract.constants import COOKIE_NONCE_LENGTH, HASH_LENGTH, KEY_LENGTH, MAC_LENGTH, TAG_LENGTH
from wgpy.contract.errors import WgpyError
from wgpy.contract.messages import nonce

__all__ = [
    "InvalidTag",
    "LowOrderKey",
    "aead_open",
    "aead_seal",
    "checked_key",
    "clamp",
    "compare_digest",
    "dh",
    "dh_public",
    "hash_",
    "hmac",
    "kdf1",
    "kdf2",
    "kdf3",
    "mac",
    "xaead_open",
    "xaead_seal",
]

_BLOCK = 64  # BLAKE2s
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class InvalidTag(WgpyError):
    """What was to be opened is not what was sealed with this key, nonce and authenticated data."""


class LowOrderKey(WgpyError, ValueError):
    """A public key of low order: every Diffie-Hellman with it gives zeros. RFC 7748 section 6.1."""


def checked_key(key: bytes) -> bytes:
    """The same. Raises ValueError unless it is 32 bytes."""
    if len(key) != KEY_LENGTH:
        raise ValueError(f"a key is {KEY_LENGTH} bytes, not {len(key)}")
    return key


def clamp(private_key: bytes) -> bytes:
    """The scalar that X25519 uses for these 32 bytes, as bytes. RFC 7748 section 5."""
    return bytes([private_key[0] & 248, *private_key[1:31], private_key[31] & 127 | 64])


def dh(private_key: bytes, public_key: bytes) -> bytes:
    """X25519, 32 bytes each. Raises LowOrderKey."""
    if _sodium is not None:
        shared = _ffi.new("unsigned char[]", KEY_LENGTH)
        if _sodium.crypto_scalarmult(shared, checked_key(private_key), checked_key(public_key)) != 0:
            raise LowOrderKey
        return bytes(_ffi.buffer(shared))
    try:
        return bindings.crypto_scalarmult(private_key, public_key)
    except (CryptoError, RuntimeError) as error:
        raise LowOrderKey from error


def dh_public(private_key: bytes) -> bytes:
    """The public key of a private key."""
    if _sodium is None:
        return bindings.crypto_scalarmult_base(private_key)
    public_key = _ffi.new("unsigned char[]", KEY_LENGTH)
    _sodium.crypto_scalarmult_base(public_key, checked_key(private_key))
    return bytes(_ffi.buffer(public_key))


def hash_(*inputs: bytes) -> bytes:
    """HASH: BLAKE2s with 32 bytes of output, over the concatenation."""
    return blake2s(b"".join(inputs), digest_size=HASH_LENGTH).digest()


def mac(key: bytes, data: bytes) -> bytes:
    """MAC: keyed BLAKE2s with 16 bytes of output."""
    return blake2s(data, key=key, digest_size=MAC_LENGTH).digest()


def hmac(key: bytes, data: bytes) -> bytes:
    """HMAC: with BLAKE2s, 32 bytes; key of at most 64 bytes. RFC 2104.

    By hand, as it is a third of the time of the standard library's and is called 30 times a handshake.
    """
    block = key.ljust(_BLOCK, b"\0")
    inner = blake2s(block.translate(_INNER) + data).digest()
    return blake2s(block.translate(_OUTER) + inner).digest()


def kdf1(key: bytes, data: bytes) -> bytes:
    """KDF_1: HKDF with one output. RFC 5869 with HMAC-BLAKE2s and no info."""
    return hmac(hmac(key, data), b"\x01")


def kdf2(key: bytes, data: bytes) -> tuple[bytes, bytes]:
    """KDF_2."""
    secret = hmac(key, data)
    first = hmac(secret, b"\x01")
    return first, hmac(secret, first + b"\x02")


def kdf3(key: bytes, data: bytes) -> tuple[bytes, bytes, bytes]:
    """KDF_3."""
    secret = hmac(key, data)
    first = hmac(secret, b"\x01")
    second = hmac(secret, first + b"\x02")
    return first, second, hmac(secret, second + b"\x03")


def aead_seal(key: bytes, counter: int, plaintext: bytes, authenticated: bytes) -> bytes:
    """AEAD: ChaCha20-Poly1305, ciphertext with its 16-byte tag. RFC 8439."""
    nonce12 = nonce(counter)
    if _sodium is None:
        return bindings.crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, authenticated, nonce12, key)
    seal = _sodium.crypto_aead_chacha20poly1305_ietf_encrypt
    return _sealed(seal, key, nonce12, plaintext, authenticated)


def aead_open(key: bytes, counter: int, ciphertext: bytes, authenticated: bytes) -> bytes:
    """The plaintext of `aead_seal`. Raises InvalidTag."""
    nonce12 = nonce(counter)
    if _sodium is not None:
        open_ = _sodium.crypto_aead_chacha20poly1305_ietf_decrypt
        return _opened(open_, key, nonce12, ciphertext, authenticated)
    try:
        return bindings.crypto_aead_chacha20poly1305_ietf_decrypt(ciphertext, authenticated, nonce12, key)
    except CryptoError as error:
        raise InvalidTag from error


def xaead_seal(key: bytes, nonce24: bytes, plaintext: bytes, authenticated: bytes) -> bytes:
    """XAEAD: XChaCha20-Poly1305, with a 24-byte nonce."""
    _check_nonce24(nonce24)
    if _sodium is None:
        return bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, authenticated, nonce24, key)
    seal = _sodium.crypto_aead_xchacha20poly1305_ietf_encrypt
    return _sealed(seal, key, nonce24, plaintext, authenticated)


def xaead_open(key: bytes, nonce24: bytes, ciphertext: bytes, authenticated: bytes) -> bytes:
    """The plaintext of `xaead_seal`. Raises InvalidTag."""
    _check_nonce24(nonce24)
    if _sodium is not None:
        open_ = _sodium.crypto_aead_xchacha20poly1305_ietf_decrypt
        return _opened(open_, key, nonce24, ciphertext, authenticated)
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, authenticated, nonce24, key)
    except CryptoError as error:
        raise InvalidTag from error


def _sealed(seal: Any, key: bytes, nonce_: bytes, plaintext: bytes, authenticated: bytes) -> bytes:
    """Call a function of libsodium's. nonce_: as long as that takes."""
    _check_key(key)
    sealed, null = _ffi.new("unsigned char[]", len(plaintext) + TAG_LENGTH), _ffi.NULL
    seal(sealed, null, plaintext, len(plaintext), authenticated, len(authenticated), null, nonce_, key)
    return bytes(_ffi.buffer(sealed))


def _opened(open_: Any, key: bytes, nonce_: bytes, ciphertext: bytes, authenticated: bytes) -> bytes:
    """Call a function of libsodium's. Raises InvalidTag."""
    _check_key(key)
    length, null = len(ciphertext) - TAG_LENGTH, _ffi.NULL
    opened = _ffi.new("unsigned char[]", max(length, 0))
    ends = (len(ciphertext), authenticated, len(authenticated), nonce_, key)
    if length < 0 or open_(opened, null, null, ciphertext, *ends) != 0:
        raise InvalidTag
    return bytes(_ffi.buffer(opened))


def _check_nonce24(nonce24: bytes) -> None:
    if len(nonce24) != COOKIE_NONCE_LENGTH:
        raise ValueError(f"want a nonce of {COOKIE_NONCE_LENGTH} bytes")


def _check_key(key: bytes) -> None:
    if len(key) != KEY_LENGTH:
        raise ValueError(f"want a key of {KEY_LENGTH} bytes")


assert KEY_LENGTH <= _BLOCK
