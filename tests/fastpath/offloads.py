"""The C data path's checksums and superpackets as the tests see them: byte strings, margins around them."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fastpath.extension import build_extension
from tests.fastpath.superpackets import Vnet

if shutil.which("cc") is None:
    pytest.skip("there is no C compiler here", allow_module_level=True)

with tempfile.TemporaryDirectory() as place:
    ffi, lib = build_extension(
        ("checksum", "packet", "offload", "offload_coalesce"),
        ("checksum.h", "packet.h", "offload.h"),
        Path(place),
    )

MARGIN = b"\xa5" * 64
KINDS = {6: 1, 17: 2}


class Refused(Exception):
    """The superpacket was not accepted; the refusal's name."""


class Buffer:
    """Memory of `size` bytes with margins on both sides; shift: how far it begins from an aligned address."""

    def __init__(self, content: bytes | int, *, shift: int = 0) -> None:
        self.size = content if isinstance(content, int) else len(content)
        self._before = MARGIN + MARGIN[:shift]
        filling = bytes(content)
        self._memory: Any = ffi.new("uint8_t[]", self._before + filling + MARGIN)
        self.at: Any = self._memory + len(self._before)

    def __bytes__(self) -> bytes:
        return bytes(ffi.buffer(self.at, self.size))

    def check(self) -> None:
        """Fail if anything was written beside the buffer."""
        assert ffi.buffer(self._memory, len(self._before))[:] == self._before
        assert ffi.buffer(self.at + self.size, len(MARGIN))[:] == MARGIN


@dataclass(frozen=True, slots=True)
class Handed:
    """One write to the TUN: which packets of the batch it holds, and what it is."""

    packets: list[int]
    vnet: Vnet
    data: bytes


def cut(vnet: Vnet, packet: bytes) -> list[bytes]:
    """The segments of a superpacket; those written in one pass and those written apart must be the same."""
    buffer = Buffer(packet)
    gso = _gso(vnet, buffer)
    segments = []
    for i in range(gso.count):
        header, payload = Buffer(gso.header_length), ffi.new("struct wgfp_slice *")
        lib.wgfp_gso_segment(gso, i, header.at, payload)
        header.check()
        segment = bytes(header) + bytes(ffi.buffer(payload.data, payload.length))
        assert len(segment) <= gso.header_length + (gso.segment_size or len(packet))

        copy = Buffer(len(segment), shift=1)
        assert lib.wgfp_gso_copy(gso, i, copy.at) == len(segment)
        copy.check()
        assert bytes(copy) == segment
        segments.append(segment)
    buffer.check()
    assert gso.header_length == 0 or bytes(buffer) == packet
    return segments


def refusal(vnet: Vnet, packet: bytes) -> str | None:
    """Why a superpacket is refused, None if it is not."""
    try:
        _gso(vnet, Buffer(packet))
    except Refused as refused:
        return str(refused)
    return None


def _gso(vnet: Vnet, buffer: Buffer) -> Any:
    gso = ffi.new("struct wgfp_gso *")
    outcome = lib.wgfp_gso_parse(gso, ffi.new("struct wgfp_vnet *", asdict(vnet)), buffer.at, buffer.size)
    if outcome != 0:
        raise Refused(ffi.string(lib.wgfp_gso_refusal_name(outcome)).decode())
    return gso


def join(batch: Sequence[bytes], protocols: Sequence[int] = (6, 17)) -> list[Handed]:
    """What is handed in for a batch. Fails the test if memory beside a packet was touched."""
    buffers = [Buffer(data, shift=i % 3) for i, data in enumerate(batch)]
    packets = ffi.new("struct wgfp_packet[]", [(buffer.at, buffer.size) for buffer in buffers])
    for packet in packets:
        lib.wgfp_packet_parse(ffi.addressof(packet.view), packet.data, packet.length)
    groups = ffi.new("struct wgfp_group[]", len(batch))
    count = lib.wgfp_coalesce(packets, len(batch), sum(KINDS[one] for one in protocols), groups)
    for buffer in buffers:
        buffer.check()
    return [_handed(groups + i, packets) for i in range(count)]


def _handed(group: Any, packets: Any) -> Handed:
    slices = ffi.new("struct wgfp_slice[]", group.count)
    lib.wgfp_group_slices(group, packets, slices)
    data = b"".join(bytes(ffi.buffer(one.data, one.length)) for one in slices)
    assert len(data) == group.length
    indexes = [group.first]
    while len(indexes) < group.count:
        indexes.append(packets[indexes[-1]].next)
    return Handed(indexes, Vnet.decode(bytes(ffi.buffer(ffi.addressof(group.vnet)))), data)
