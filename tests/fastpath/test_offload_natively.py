"""Superpackets without Python around them: hostile ones under sanitizers, and on other processors."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from struct import pack

from tests.fastpath.natively import (
    FASTPATH,
    SANITIZERS,
    build,
    each_emulated_target,
    emulator,
    needs,
    run,
)
from tests.fastpath.superpackets import ACK, CWR, PSH, UDP, Packet, segments, superpacket
from tests.fastpath.tunnels import TUNNELS, tunnelled

SOURCES = [FASTPATH / name for name in ("checksum.c", "packet.c", "offload.c", "offload_coalesce.c")]
CHECK = Path(__file__).parent / "offload_check.c"

BATCH, REPAIR = 1, 2
TIMESTAMPS = bytes.fromhex("0101080a0000000100000002")


def superpackets() -> Iterator[tuple[Packet, int]]:
    """One of each kind, with the sizes of its segments."""
    four = Packet(payload=bytes(range(250)) * 8, flags=ACK | PSH | CWR)
    six = replace(four, source=bytes(16), destination=bytes(15) + b"\x01")
    for packet in (four, six):
        yield packet, 600
        yield replace(packet, options=TIMESTAMPS), 536
        yield replace(packet, protocol=UDP), 1000
    yield replace(four, ip_options=bytes(8), fragment=0), 500
    yield replace(four, payload=b""), 1


def inputs(order: str) -> Iterator[bytes]:
    """What the program reads; order: of bytes in a virtio header, as struct has it."""
    for packet, size in superpackets():
        vnet, data = superpacket(packet, size)
        batch = b"".join(pack("<H", len(one)) + one for one in segments(packet, size))
        yield bytes([REPAIR]) + vnet.encode(order) + data
        yield bytes([REPAIR]) + replace(vnet, gso_type=0).encode(order) + data
        for tunnel in TUNNELS.values():
            vnet_around, data_around = tunnelled(tunnel, packet, size)
            yield bytes(1) + vnet_around.encode(order) + data_around
        yield bytes([BATCH]) + batch
    turns = zip(*(segments(packet, 500)[:4] for packet, _ in superpackets() if packet.payload), strict=True)
    yield bytes([BATCH]) + b"".join(pack("<H", len(one)) + one for turn in turns for one in turn)
    yield bytes([BATCH, 0, 0]) + bytes(20)


def corpus(place: Path, order: str = "=") -> list[Path]:
    files = []
    for i, data in enumerate(inputs(order)):
        files.append(place / f"{i:02}")
        files[-1].write_bytes(data)
    return files


@needs("cc")
def test_no_sanitizer_complains_of_hostile_packets(tmp_path: Path, seed: int) -> None:
    program = build("cc", CHECK, SOURCES, tmp_path, *SANITIZERS)

    result = run(program, "1000", str(seed), *corpus(tmp_path))

    assert result.returncode == 0, result.stdout + result.stderr
    assert "1000 rounds each" in result.stdout


@each_emulated_target
def test_other_processors_agree(target: str, tmp_path: Path) -> None:
    program = build(f"{target}-gcc", CHECK, SOURCES, tmp_path, "-static")
    order = ">" if target.startswith("s390x") else "<"

    result = run(emulator(target), program, "100", "1", *corpus(tmp_path, order))

    assert result.returncode == 0, result.stdout + result.stderr


@needs("cc")
def test_what_is_wrong_would_be_seen(tmp_path: Path) -> None:
    """The program above fails if a packet is lost when packets are joined."""
    source = tmp_path / "offload_coalesce.c"
    good = (FASTPATH / source.name).read_text()
    source.write_text(good.replace("open->last = packet;", "open->last = open->first;"))
    assert source.read_text() != good
    program = build("cc", CHECK, [*SOURCES[:-1], source], tmp_path, *SANITIZERS)

    result = run(program, "0", "1", *corpus(tmp_path))

    assert result.returncode != 0
    assert "not so" in result.stderr
