"""How fast the portable data path is on this host, beside the cipher alone. One thread, no I/O.

Prints the best of several rounds: other load makes a round slower, never faster.

    python benchmarks/micro/portable.py
"""

from collections.abc import Iterator
from contextlib import contextmanager
from struct import pack
from time import perf_counter

from wgpy.datapath.allowedips import AllowedIPs
from wgpy.datapath.portable import PortableDataPath
from wgpy.engine.actions import (
    AddPeer,
    AllowedIP,
    InstallKeypair,
    RemovePeer,
    SetEndpoint,
    SetRoute,
    UseKeypair,
)
from wgpy.engine.constants import SECOND
from wgpy.engine.crypto import ChaCha20Poly1305, nonce
from wgpy.engine.endpoint import Endpoint

PACKETS = 200  # per round: about one wake-up's worth of a busy driver
ROUNDS = 50
PEER = 1
NOW = SECOND
ENDPOINT = Endpoint("192.0.2.1", 51820)
KEYS = bytes([1]) * 32, bytes([2]) * 32
HOSTS = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])


@contextmanager
def timed(times: list[float]) -> Iterator[None]:
    """Add the seconds that the body takes."""
    start = perf_counter()
    yield
    times.append(perf_counter() - start)


def make_end(here: int) -> PortableDataPath:
    """One of two data paths with a session between them."""
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


def make_packet(size: int) -> bytes:
    header = pack(">BBHHHBBH4s4s", 0x45, 0, size, 0, 0, 64, 17, 0, *HOSTS)
    return header + bytes(size - len(header))


def measure_size(size: int) -> None:
    packet = make_packet(size)
    left, right = make_end(0), make_end(1)
    cipher, counter_nonce = ChaCha20Poly1305(KEYS[0]), nonce(0)
    sealing: list[float] = []
    opening: list[float] = []
    encrypting: list[float] = []
    for _ in range(ROUNDS):
        with timed(sealing):
            for _ in range(PACKETS):
                left.send_packet(packet, NOW)
        sealed = left.take_datagrams()
        with timed(opening):
            for datagram in sealed:
                right.receive_datagram(datagram.data, datagram.endpoint, NOW)
        assert right.take_packets() == [packet] * PACKETS
        with timed(encrypting):
            for _ in range(PACKETS):
                cipher.encrypt(counter_nonce, packet, None)
    for name, times in (("seal", sealing), ("open", opening), ("cipher alone", encrypting)):
        each = min(times) / PACKETS
        print(f"{size:5} bytes  {name:13}{each * 1e6:7.2f} us {1 / each:9,.0f} /s", end="")
        print(f"{size * 8 / each / 1e6:8,.0f} Mbit/s")


def measure_routes() -> None:
    orders = [SetRoute(PEER, AllowedIP(number.to_bytes(4), 32)) for number in range(130_560)]
    data_path = PortableDataPath()
    data_path.apply(AddPeer(PEER), NOW)
    times: list[float] = []
    with timed(times):
        for order in orders:
            data_path.apply(order, NOW)
    with timed(times):
        data_path.apply(RemovePeer(PEER), NOW)
    print(f"{len(orders):,} SetRoute in {times[0]:.3f} s, removed with their peer in {times[1]:.3f} s")


def measure_lookup(lengths: range) -> None:
    """One route of each length; the address looked up is in the shortest only."""
    routes = AllowedIPs()
    for length in lengths:
        routes.insert(AllowedIP(bytes(4), length), PEER)
    address = bytes(4) if len(lengths) == 1 else (1 << 31 - lengths[0]).to_bytes(4)
    times: list[float] = []
    for _ in range(ROUNDS):
        with timed(times):
            for _ in range(PACKETS):
                routes.lookup(address)
    print(f"look-up past {len(lengths):2} prefix lengths {min(times) / PACKETS * 1e6:7.2f} us")


if __name__ == "__main__":
    for packet_size in (64, 1420):
        measure_size(packet_size)
    measure_routes()
    for prefix_lengths in (range(32, 33), range(24, 28), range(33)):
        measure_lookup(prefix_lengths)
