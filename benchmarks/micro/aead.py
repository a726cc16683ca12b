"""The cipher: every kernel of the C data path, OpenSSL and libsodium, in C and as Python calls them."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
)

from benchmarks.compiler import BuildFailed
from benchmarks.micro.table import Table
from benchmarks.micro.timing import Candidate, build_part, run, take_turns

# What takes AVX-512 from OpenSSL: F, DQ, IFMA, CD, BW and VL.
TO_AVX2: Final = {"OPENSSL_ia32cap": ":~0xdc230000"}
LENGTHS: Final = (0, 64, 512, 1420)
_KEY: Final = bytes(32)
_NONCE: Final = bytes(12)


def measure_aead(table: Table, rounds: int, folder: Path) -> None:
    """Raises BuildFailed, ProgramFailed."""
    program, with_openssl = build_aead(folder)
    if not with_openssl:
        table.left_out.append("OpenSSL in C: its headers are missing (Debian: libssl-dev)")
    environments = [dict(os.environ)]
    listed, left_out = run(program, "list")
    table.left_out.extend(left_out.splitlines())
    if with_openssl and " avx512," in listed:
        environments.append(environments[0] | TO_AVX2)
    take = take_turns(list(_calls_from_python()))
    for _ in range(rounds):
        for environment in environments:
            table.read(run(program, "1", environment=environment)[0])
        for one, nanoseconds in take():
            table.add(one.line, f"{one.column}, ns", nanoseconds)
            if one.size:
                table.add(one.line, f"{one.column}, GB/s", one.size / nanoseconds)


def build_aead(folder: Path, *options: str, compiler: str = "cc") -> tuple[Path, bool]:
    """Return the program, and whether OpenSSL is in it. Raises BuildFailed."""
    try:
        openssl = ("-DWITH_OPENSSL", "-lcrypto")
        return build_part(folder, "aead", *options, *openssl, compiler=compiler), True
    except BuildFailed:
        return build_part(folder, "aead", *options, compiler=compiler), False


def _calls_from_python() -> Iterator[Candidate]:
    """Yield the cost of calls from Python; without plaintext it is nearly all the call's."""
    cipher = ChaCha20Poly1305(_KEY)
    for length in LENGTHS:
        plain = bytes(length)
        sealed = cipher.encrypt(_NONCE, plain, None)
        assert crypto_aead_chacha20poly1305_ietf_encrypt(plain, None, _NONCE, _KEY) == sealed
        for name, seal, open_ in (
            ("cryptography", partial(cipher.encrypt, _NONCE, plain, None),
             partial(cipher.decrypt, _NONCE, sealed, None)),
            ("PyNaCl", partial(crypto_aead_chacha20poly1305_ietf_encrypt, plain, None, _NONCE, _KEY),
             partial(crypto_aead_chacha20poly1305_ietf_decrypt, sealed, None, _NONCE, _KEY)),
        ):  # fmt: skip
            line = f"{length:,} B, {name}, by Python"
            yield Candidate(line, seal, "seal", length)
            yield Candidate(line, open_, "open", length)
