"""The primitives of WireGuard by the names of whitepaper 5.4, over `pynacl`, Python's BLAKE2s and our C.

Invariant: nothing here keeps state, and failure is `InvalidTag` or `LowOrderKey`, never a bool.
libsodium takes raw bytes, so no key object is made per call. OpenSSL is faster with whole packets, but where
those are moved in C, it would be a fifth of a daemon's memory for nothing; so it is not even loaded, as
`hashlib` and `hmac` do.
"""

from collections.abc import Sequence
from typing import Any, Final

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

try:
    from wgpy._fastpath import ffi as _fast_ffi
    from wgpy._fastpath import lib as _fast

    if not hasattr(_fast, "wgfp_kdf"):  # it was built from older sources
        _fast = None
except ImportError:  # it was not built
    _fast = _fast_ffi = None

from wgpy.contract.constants import COOKIE_NONCE_LENGTH, HASH_LENGTH, KEY_LENGTH, MAC_LENGTH, TAG_LENGTH
from wgpy.contract.errors import WgpyError
from wgpy.contract.messages import nonce

__all__ = [
    "BASE_POINT",
    "InvalidTag",
    "LowOrderKey",
    "aead_open",
    "aead_seal",
    "checked_key",
    "clamp",
    "compare_digest",
    "dh",
    "dh_many",
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

BASE_POINT: Final = bytes([9, *bytes(31)])  # X25519 with it gives the public key of a private key

_ZEROS: Final = bytes(KEY_LENGTH)
_HAS_LANES: Final = _fast is not None and bool(_fast.wgfp_x25519_lanes())
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


def dh_many(pairs: Sequence[tuple[bytes, bytes]]) -> list[bytes | None]:
    """X25519 of each private key with its public key; None where that is of low order.

    Where the processor has the instructions, four take as long as one, and less than one of libsodium's.
    """
    if not _HAS_LANES:
        return [_dh_or_none(private_key, public_key) for private_key, public_key in pairs]
    private_keys = b"".join([checked_key(private_key) for private_key, _ in pairs])
    public_keys = b"".join([checked_key(public_key) for _, public_key in pairs])
    shared = _fast_ffi.new("uint8_t[]", len(public_keys))
    _fast.wgfp_x25519(shared, private_keys, public_keys, len(pairs))
    buffer = _fast_ffi.buffer(shared)
    secrets = [buffer[at : at + KEY_LENGTH] for at in range(0, len(public_keys), KEY_LENGTH)]
    return [None if compare_digest(secret, _ZEROS) else secret for secret in secrets]


def _dh_or_none(private_key: bytes, public_key: bytes) -> bytes | None:
    try:
        return dh_public(private_key) if public_key == BASE_POINT else dh(private_key, public_key)
    except LowOrderKey:
        return None


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
    """KDF_1: HKDF with one output, by HMAC-BLAKE2s. RFC 5869."""
    return bytes(_kdf(1, key, data))


def kdf2(key: bytes, data: bytes) -> tuple[bytes, bytes]:
    """KDF_2."""
    outputs = _kdf(2, key, data)
    return outputs[:HASH_LENGTH], outputs[HASH_LENGTH:]


def kdf3(key: bytes, data: bytes) -> tuple[bytes, bytes, bytes]:
    """KDF_3."""
    outputs = _kdf(3, key, data)
    return outputs[:HASH_LENGTH], outputs[HASH_LENGTH : 2 * HASH_LENGTH], outputs[2 * HASH_LENGTH :]


def _kdf(number: int, key: bytes, data: bytes) -> Any:
    """That many outputs, one after the other: bytes, or what is sliced to bytes."""
    if _fast is not None and len(key) == HASH_LENGTH and len(data) <= HASH_LENGTH:  # as in all handshakes
        outputs = _fast_ffi.new("uint8_t[]", number * HASH_LENGTH)
        _fast.wgfp_kdf(outputs, number, key, data, len(data))
        return _fast_ffi.buffer(outputs)
    secret, output, outputs = hmac(key, data), b"", b""
    for count in range(number):
        output = hmac(secret, output + bytes([count + 1]))
        outputs += output
    return outputs


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
