"""The portable data path, and the cipher alone: one thread, no I/O."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from struct import pack
from time import perf_counter_ns
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from benchmarks.micro.table import Table
from benchmarks.micro.timing import Candidate, take_turns
from wgpy.contract.constants import SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.messages import nonce
from wgpy.contract.orders import (
    AddPeer,
    AllowedIP,
    InstallKeypair,
    RemovePeer,
    SetEndpoint,
    SetRoute,
    UseKeypair,
)
from wgpy.datapath.allowedips import AllowedIPs
from wgpy.datapath.portable import PortableDataPath

PACKETS: Final = 200  # in a turn: about one wake-up's worth of a busy driver
SIZES: Final = (64, 1420)
ROUTES: Final = 10_000
LENGTHS: Final = (range(32, 33), range(24, 28), range(33))  # of prefixes
PEER: Final = 1
NOW: Final = SECOND
ENDPOINT: Final = Endpoint("192.0.2.1", 51820)
KEYS: Final = bytes([1]) * 32, bytes([2]) * 32
HOSTS: Final = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])


def measure_portable(table: Table, rounds: int, _folder: Path) -> None:
    take = take_turns([*_ciphers(), *_lookups()])
    tunnels = {size: (_end(0), _end(1)) for size in SIZES}
    for _ in range(rounds):
        for size, (left, right) in tunnels.items():
            sealing, opening = _time_packets(left, right, size)
            _add(table, f"{size:,} B: seal", sealing, size)
            _add(table, f"{size:,} B: open", opening, size)
        for one, nanoseconds in take():
            _add(table, one.line, nanoseconds, one.size)
        setting, removing = _time_routes()
        _add(table, f"a route is set, of {ROUTES:,}", setting)
        _add(table, "a route is removed, with its peer", removing)


def _add(table: Table, line: str, nanoseconds: float, size: int = 0) -> None:
    table.add(line, "µs", nanoseconds / 1e3)
    table.add(line, "1,000/s", 1e6 / nanoseconds)
    if size:
        table.add(line, "Mbit/s", size * 8e3 / nanoseconds)


def _timed(body: Callable[[], object]) -> int:
    began = perf_counter_ns()
    body()
    return perf_counter_ns() - began


def _end(here: int) -> PortableDataPath:
    """Return one of two data paths with a session between them."""
    there = 1 - here
    end = PortableDataPath()
    for order in (
        AddPeer(PEER),
        SetRoute(PEER, AllowedIP(HOSTS[there], 32)),
        SetEndpoint(PEER, ENDPOINT),
        InstallKeypair(PEER, here, there, KEYS[here], KEYS[there], 180 * SECOND, None, None),
        UseKeypair(PEER, here),
    ):
        end.apply(order, NOW)
    return end


def _packet(size: int) -> bytes:
    header = pack(">BBHHHBBH4s4s", 0x45, 0, size, 0, 0, 64, 17, 0, *HOSTS)
    return header + bytes(size - len(header))


def _time_packets(left: PortableDataPath, right: PortableDataPath, size: int) -> tuple[float, float]:
    """Nanoseconds of a packet, sealed and opened."""
    packet = _packet(size)

    def seal() -> None:
        for _ in range(PACKETS):
            left.send_packet(packet, NOW)

    def open_() -> None:
        for datagram in sealed:
            right.receive_datagram(datagram.data, datagram.endpoint, NOW)

    sealing = _timed(seal)
    sealed = left.take_datagrams()
    opening = _timed(open_)
    assert right.take_packets() == [packet] * PACKETS
    return sealing / PACKETS, opening / PACKETS


def _ciphers() -> Iterator[Candidate]:
    cipher, counter_nonce = ChaCha20Poly1305(KEYS[0]), nonce(0)
    for size in SIZES:
        seal = partial(cipher.encrypt, counter_nonce, bytes(size), None)
        yield Candidate(f"{size:,} B: the cipher alone", seal, size=size)


def _lookups() -> Iterator[Candidate]:
    """One route of each length; the address looked up is in the shortest only."""
    for lengths in LENGTHS:
        routes = AllowedIPs()
        for length in lengths:
            routes.insert(AllowedIP(bytes(4), length), PEER)
        address = bytes(4) if len(lengths) == 1 else (1 << 31 - lengths[0]).to_bytes(4)
        assert routes.lookup(address) == PEER
        yield Candidate(f"look-up past {len(lengths)} prefix lengths", partial(routes.lookup, address))


def _time_routes() -> tuple[float, float]:
    """Nanoseconds of a route, set and removed."""
    data_path = PortableDataPath()
    data_path.apply(AddPeer(PEER), NOW)
    orders = [SetRoute(PEER, AllowedIP(number.to_bytes(4), 32)) for number in range(ROUTES)]

    def set_all() -> None:
        for order in orders:
            data_path.apply(order, NOW)

    setting = _timed(set_all)
    removing = _timed(partial(data_path.apply, RemovePeer(PEER), NOW))
    return setting / ROUTES, removing / ROUTES
