"""Makes chacha20poly1305.json: packets at the edges of ChaCha20-Poly1305, of the classes that Wycheproof has.

    python -m tests.vectors.chacha20poly1305

Every sealed packet is the library `cryptography`'s. What is special about one is found by arithmetic, or by
search.
"""

import json
import random
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from tests.fastpath.poly1305 import (
    P,
    blocks_that_sum_to,
    ciphertext_that_sums_to,
    halves,
    key_stream,
    nonce,
    one_time_key,
)

TAG = 16
SEARCHED = 100_000  # packets, for those with an extreme one-time key

LENGTHS = *range(18), *(16 * n + d for n in (2, 3, 4, 5, 8, 12, 16, 20, 32) for d in (-1, 0, 1)), 1420
PATTERNS = "00", "ff", "01", "80", "7f", "fe", "00ff", "ffffffff00000000", "00000000ffffffff", "ffffff03"
TAGS = (
    "00" * 16,
    "ff" * 16,
    "01" + "00" * 15,
    "00" * 15 + "80",
    "ff" * 15 + "7f",
    "00" * 8 + "ff" * 8,
    "ff" * 8 + "00" * 8,
)

# Borders of what kernels keep a number in: words of 32 and 64 bits, limbs of 26 and 44.
BORDERS = 2**26, 2**32, 2**44, 2**52, 2**64, 2**78, 2**88, 2**96, 2**104, 2**128, 2**129, P
LIMBS = [
    sum((2**bits - 1) << at for at in ats)
    for bits, ats in ((26, (0, 52, 104)), (26, (26, 78)), (44, (0, 88)), (44, (44,)), (64, (0,)), (64, (64,)))
]
SUMS = sorted(
    {(border + d) % P for border in BORDERS for d in (-2, -1, 0, 1, 5)} | {limb % P for limb in LIMBS}
)

Packet = dict[str, object]


class Group:
    """Packets of one key."""

    def __init__(self, about: str) -> None:
        self.about = about
        self.source = random.Random(about)
        self.key = self.source.randbytes(32)
        self.packets: list[Packet] = []

    def counter(self) -> int:
        return self.source.getrandbits(64)

    def seal(self, about: str, counter: int, plaintext: bytes) -> bytes:
        """Add the packet; its sealed form is returned."""
        sealed = ChaCha20Poly1305(self.key).encrypt(nonce(counter), plaintext, None)
        self._add(about, counter, sealed, plaintext.hex())
        return sealed

    def encrypt_to(self, about: str, counter: int, ciphertext: bytes) -> bytes:
        """Add the packet that becomes this ciphertext."""
        stream = key_stream(self.key, counter, len(ciphertext))
        return self.seal(about, counter, bytes(a ^ b for a, b in zip(ciphertext, stream, strict=True)))

    def refuse(self, about: str, counter: int, sealed: bytes) -> None:
        self._add(about, counter, sealed, None)

    def _add(self, about: str, counter: int, sealed: bytes, plaintext: str | None) -> None:
        self.packets.append(
            {"about": about, "counter": counter, "plaintext": plaintext, "sealed": sealed.hex()}
        )


def lengths() -> Group:
    group = Group("lengths around blocks of 16 and 64 bytes")
    for length in LENGTHS:
        group.seal(f"{length} bytes", group.counter(), group.source.randbytes(length))
    return group


def counters() -> Group:
    group = Group("counters")
    for counter in (0, 1, 2**32 - 1, 2**32, 2**63, 2**64 - 1):
        group.seal(f"{counter:#x}", counter, group.source.randbytes(100))
    return group


def patterns() -> Group:
    group = Group("plaintexts and ciphertexts of one pattern")
    for pattern in PATTERNS:
        for length in (16, 64, 144, 320):
            data = bytes.fromhex(pattern) * length
            group.seal(f"{length} bytes of plaintext {pattern}", group.counter(), data[:length])
            group.encrypt_to(f"{length} bytes of ciphertext {pattern}", group.counter(), data[:length])
    return group


def tags() -> Group:
    group = Group("chosen tags")
    for wanted in TAGS:
        for blocks in (2, 7, 24):
            counter = group.counter()
            r, s = halves(one_time_key(group.key, counter))
            h = (int.from_bytes(bytes.fromhex(wanted), "little") - s) % 2**128
            ciphertext = ciphertext_that_sums_to(h, r, blocks, group.source)
            sealed = group.encrypt_to(f"{blocks} blocks, tag {wanted}", counter, ciphertext)
            assert sealed[-TAG:].hex() == wanted
    return group


def last_sums() -> Group:
    group = Group("the last sum of Poly1305 is next to a border, or has limbs of ones")
    for wanted in SUMS:
        counter = group.counter()
        r, _ = halves(one_time_key(group.key, counter))
        ciphertext = ciphertext_that_sums_to(wanted, r, 5, group.source)
        group.encrypt_to(f"h = {wanted:#x}", counter, ciphertext)
    return group


def sums_between() -> Group:
    group = Group("a sum of Poly1305 before the last is next to a border, or has limbs of ones")
    for i, wanted in enumerate(SUMS):
        counter = group.counter()
        r, _ = halves(one_time_key(group.key, counter))
        blocks = 2 + i % 8
        front = blocks_that_sum_to(wanted, r, blocks, group.source)
        rest = group.source.randbytes(group.source.randrange(300))
        group.encrypt_to(f"h = {wanted:#x} after {blocks} blocks", counter, front + rest)
    return group


def keys() -> Group:
    group = Group("one-time keys that are extreme among many")
    found = [(counter, *halves(one_time_key(group.key, counter))) for counter in range(SEARCHED)]
    parts: dict[str, Callable[[int, int], int]] = {
        "r": lambda r, s: r,
        "r's lower word": lambda r, s: r % 2**64,
        "r's lower limb of 44 bits": lambda r, s: r % 2**44,
        "r's middle limb of 44 bits": lambda r, s: r >> 44 & 2**44 - 1,
        "r's second limb of 26 bits": lambda r, s: r >> 26 & 2**26 - 1,
        "r's third limb of 26 bits": lambda r, s: r >> 52 & 2**26 - 1,
        "s": lambda r, s: s,
        "s's lower word": lambda r, s: s % 2**64,
    }
    for name, part in parts.items():
        for which, choose in (("least", min), ("greatest", max)):
            counter = choose(found, key=lambda one: part(one[1], one[2]))[0]
            group.seal(f"{which} {name}, random", counter, group.source.randbytes(200))
            group.encrypt_to(f"{which} {name}, ciphertext of ones", counter, b"\xff" * 272)
    return group


def forgeries() -> Group:
    group = Group("not authentic")
    for length in (0, 16, 70, 320):
        counter = group.counter()
        sealed = group.seal(f"{length} bytes, authentic", counter, group.source.randbytes(length))
        data, tag = sealed[:-TAG], sealed[-TAG:]
        changed = {
            f"bit {bit} of the tag": flipped(tag, bit) for bit in (0, 1, 7, 31, 32, 63, 64, 96, 126, 127)
        }
        changed |= {"tag of zeros": bytes(TAG), "tag of ones": b"\xff" * TAG}
        changed |= {"every bit of the tag": bytes(byte ^ 0xFF for byte in tag)}
        changed |= {"the tag's halves are swapped": tag[8:] + tag[:8]}
        for about, other in changed.items():
            group.refuse(f"{length} bytes, {about}", counter, data + other)
        for bit in {0, 8 * length // 2, 8 * length - 1} if length else set():
            group.refuse(f"{length} bytes, bit {bit} of the ciphertext", counter, flipped(data, bit) + tag)
        group.refuse(f"{length} bytes, one byte more", counter, data + b"\x00" + tag)
        group.refuse(f"{length} bytes, of another counter", counter ^ 1 << 32, sealed)
    return group


def flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


def main() -> None:
    makers = lengths, counters, patterns, tags, last_sums, sums_between, keys, forgeries
    groups = [
        {"about": group.about, "key": group.key.hex(), "packets": group.packets}
        for group in (make() for make in makers)
    ]
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps({"groups": groups}, indent=1) + "\n")


if __name__ == "__main__":
    main()
