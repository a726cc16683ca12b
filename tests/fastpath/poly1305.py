"""Poly1305 in whole numbers, and packets for which it comes to what one likes (RFC 8439, section 2.5)."""

import random

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

P = 2**130 - 5
CLAMP = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
BIT = 2**128  # stands above every whole block


def nonce(counter: int) -> bytes:
    return bytes(4) + counter.to_bytes(8, "little")


def key_stream(key: bytes, counter: int, length: int) -> bytes:
    """What a packet's data is xored with."""
    return _blocks(key, counter, 64 + length)[64:]


def one_time_key(key: bytes, counter: int) -> bytes:
    return _blocks(key, counter, 32)


def halves(one_time: bytes) -> tuple[int, int]:
    """r, clamped, and s."""
    return int.from_bytes(one_time[:16], "little") & CLAMP, int.from_bytes(one_time[16:], "little")


def poly1305(one_time: bytes, message: bytes) -> bytes:
    r, s = halves(one_time)
    h = 0
    for at in range(0, len(message), 16):
        h = (h + int.from_bytes(message[at : at + 16] + b"\x01", "little")) * r % P
    return tag(h, s)


def tag(h: int, s: int) -> bytes:
    return ((h + s) % 2**128).to_bytes(16, "little")


def aead_message(ciphertext: bytes) -> bytes:
    """What the AEAD authenticates where there is no associated data (section 2.8)."""
    return ciphertext + bytes(-len(ciphertext) % 16) + bytes(8) + len(ciphertext).to_bytes(8, "little")


def ciphertext_that_sums_to(wanted: int, r: int, blocks: int, source: random.Random) -> bytes:
    """`blocks` blocks of 16 bytes so that, with the block of lengths behind them, h is `wanted` at last."""
    lengths = (blocks * 16 << 64) + BIT
    return blocks_that_sum_to((wanted * pow(r, -1, P) - lengths) % P, r, blocks, source)


def blocks_that_sum_to(wanted: int, r: int, blocks: int, source: random.Random) -> bytes:
    """`blocks` blocks of 16 bytes after which h is `wanted`; at least two."""
    before_multiplied = wanted * pow(r, -1, P) % P
    while True:
        front = source.randbytes(16 * (blocks - 1))
        h = 0
        for at in range(0, len(front), 16):
            h = (h + int.from_bytes(front[at : at + 16], "little") + BIT) * r % P
        last = (before_multiplied - h) % P
        if last >> 128 == 1:
            return front + (last - BIT).to_bytes(16, "little")


def _blocks(key: bytes, counter: int, length: int) -> bytes:
    cipher = Cipher(algorithms.ChaCha20(key, bytes(4) + nonce(counter)), mode=None)
    return cipher.encryptor().update(bytes(length))
