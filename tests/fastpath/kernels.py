"""The C data path's AEAD as the tests see it: byte strings in and out, margins around every packet."""

from dataclasses import dataclass
from typing import Any

import pytest

fastpath = pytest.importorskip("wgpy._fastpath", reason="the C data path is not built")
ffi: Any = fastpath.ffi
lib: Any = fastpath.lib

TAG = 16
ALL = "portable", "avx2", "avx512", "avx512-beside", "neon"
NAMES = [name for name in ALL if lib.wgfp_aead_kernel_find(name.encode())]

Packets = list[tuple[int, bytes]]  # counter, data

MARGIN = b"\xa5" * 64


@dataclass(frozen=True, slots=True)
class Kernel:
    name: str

    def seal(self, key: bytes, packets: Packets, *, in_place: bool = False, gap: int = 64) -> list[bytes]:
        """Ciphertext and tag of each (counter, plaintext)."""
        done = self._run(lib.wgfp_aead_seal, key, packets, TAG, in_place, gap)
        return [data for data, _ in done]

    def open(
        self, key: bytes, packets: Packets, *, in_place: bool = False, gap: int = 64
    ) -> list[bytes | None]:
        """The plaintext of each (counter, ciphertext and tag), None where it is not authentic.

        Fails the test if anything was written of what is not authentic.
        """
        done = self._run(lib.wgfp_aead_open, key, packets, -TAG, in_place, gap)
        for (_, sealed), (data, ok) in zip(packets, done, strict=True):
            assert ok or data == (
                sealed[:-TAG] if in_place else (MARGIN * (1 + len(data) // 64))[: len(data)]
            )
        return [data if ok else None for data, ok in done]

    def _run(
        self,
        function: Any,
        key: bytes,
        packets: Packets,
        grows: int,
        in_place: bool,
        gap: int,
    ) -> list[tuple[bytes, bool]]:
        space = max((len(data) for _, data in packets), default=0) + TAG + gap
        source = _with_margins(space * len(packets))
        target = source if in_place else _with_margins(space * len(packets))
        table = ffi.new("struct wgfp_aead_packet[]", len(packets))
        for i, (counter, data) in enumerate(packets):
            at = 64 + i * space
            ffi.memmove(source + at, data, len(data))
            table[i] = {
                "src": source + at,
                "dst": target + at,
                "counter": counter,
                "length": len(data) + min(grows, 0),
                "ok": -1,
            }
        function(lib.wgfp_aead_kernel_find(self.name.encode()), key, table, len(packets))

        results = []
        for i, (_, data) in enumerate(packets):
            at = 64 + i * space
            length = len(data) + grows
            touched = len(data) if in_place and grows < 0 else length
            assert ffi.buffer(target + at - 16, 16)[:] == MARGIN[:16]
            assert ffi.buffer(target + at + touched, 16)[:] == MARGIN[:16]
            results.append((ffi.buffer(target + at, length)[:], bool(table[i].ok)))
        return results


def _with_margins(size: int) -> Any:
    size += 2 * len(MARGIN)
    return ffi.new("uint8_t[]", MARGIN * (size // 64 + 1))
