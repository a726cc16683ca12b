"""Real TCP and UDP in superpackets: the kernel takes what was joined, and nothing that was cut is harmed.

Topology: left (tun0: 10.9.0.1, fd09::1) -- cut, join -- (tun0: 10.9.0.2, fd09::2) right
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fastpath.superpackets import GSO_TCP4, GSO_TCP6, GSO_TUNNEL4, GSO_TUNNEL6, GSO_UDP
from tests.integration.exchange import complaints
from tests.integration.hosts import Host, Lab, add_addresses
from tests.integration.tunwire import TunWire

TRAFFIC = str(Path(__file__).with_name("traffic.py"))
SIZE = 20_000_000

# Bursts of datagrams that leave the socket as one; the other side answers each burst with its SHA-256.
BURSTS = 30
SEGMENT, COUNT = 1200, 40
ANSWER = f"""
import hashlib, socket, sys
with socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM) as answerer:
    answerer.bind((sys.argv[1], 5001))
    answerer.settimeout(20)
    print("ready", flush=True)
    for _ in range({BURSTS}):
        digest, left = hashlib.sha256(), {SEGMENT * (COUNT - 1) + 7}
        while left > 0:
            data, source = answerer.recvfrom(65536)
            digest.update(data)
            left -= len(data)
        answerer.sendto(digest.digest(), source)
"""
ASK = f"""
import hashlib, os, socket, struct, sys
UDP_SEGMENT = 103
with socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.connect((sys.argv[1], 5001))
    client.settimeout(20)
    client.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, {SEGMENT})
    for _ in range({BURSTS}):
        data = os.urandom({SEGMENT * (COUNT - 1) + 7})
        client.send(data)
        assert client.recv(100) == hashlib.sha256(data).digest()
"""

pytestmark = pytest.mark.root


@pytest.fixture
def hosts(lab: Lab) -> tuple[Host, Host]:
    return lab.host("left"), lab.host("right")


@pytest.fixture
def wire(hosts: tuple[Host, Host]) -> Iterator[TunWire]:
    wire = TunWire(*hosts)
    for i, host in enumerate(hosts, start=1):
        host.run("ip", "link", "set", "tun0", "mtu", "1420", "up")
        add_addresses(host, "tun0", f"10.9.0.{i}/24", f"fd09::{i}/64")
    wire.start()
    yield wire
    wire.stop()


@pytest.mark.parametrize("address", ["10.9.0.2", "fd09::2"], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(
    "settings",
    [(), ("net.ipv4.tcp_timestamps=0",), ("net.ipv4.tcp_ecn=1",)],
    ids=["as usual", "without timestamps", "with ECN"],
)
def test_tcp_arrives_whole_cut_and_joined_on_its_way(
    hosts: tuple[Host, Host], wire: TunWire, address: str, settings: tuple[str, ...]
) -> None:
    left, right = hosts
    for host in hosts:
        for setting in settings:
            host.run("sysctl", "-qw", setting)

    sink = right.start(sys.executable, TRAFFIC, "tcp-sink", address, "5000")
    sent = left.run(sys.executable, TRAFFIC, "tcp-send", address, "5000", str(SIZE))

    assert sink.wait().output == sent
    kind = GSO_TCP6 if ":" in address else GSO_TCP4
    assert wire.there.read[kind] > SIZE / 65536 / 2
    assert wire.there.written[kind] > SIZE / 65536 / 2
    assert wire.there.segments > SIZE / 1420
    assert wire.there.written.total() < wire.there.segments / 4
    assert 30_000 < wire.there.largest_written <= 65535
    assert complaints(left) == complaints(right) == []


@pytest.mark.parametrize("inner", ["10.8.0.", "fd08::"], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(
    ("outer", "options"),
    [("10.9.0.", ["udpcsum"]), ("10.9.0.", ["noudpcsum"]), ("fd09::", [])],
    ids=["VXLAN", "VXLAN without checksums", "VXLAN over IPv6"],
)
def test_tcp_in_a_udp_tunnel_arrives_whole_cut_and_joined_on_its_way(
    hosts: tuple[Host, Host], wire: TunWire, outer: str, options: list[str], inner: str
) -> None:
    if not wire.has_udp_tunnels:
        pytest.skip("this kernel gives no superpackets in UDP tunnels to a TUN")
    left, right = hosts
    for host, here, there in ((left, 1, 2), (right, 2, 1)):
        host.run(
            *("ip", "link", "add", "over0", "mtu", "1300", "type", "vxlan", "id", "7", "dstport", "8472"),
            *("local", f"{outer}{here}", "remote", f"{outer}{there}", "dev", "tun0", *options),
        )
        host.run("ip", "link", "set", "over0", "up")
        add_addresses(host, "over0", f"{inner}{here}/{64 if ':' in inner else 24}")
    address = f"{inner}2"

    sink = right.start(sys.executable, TRAFFIC, "tcp-sink", address, "5000")
    sent = left.run(sys.executable, TRAFFIC, "tcp-send", address, "5000", str(SIZE))

    assert sink.wait().output == sent
    tunnel = GSO_TUNNEL6 if ":" in outer else GSO_TUNNEL4
    assert wire.there.read[tunnel | (GSO_TCP6 if ":" in inner else GSO_TCP4)] > SIZE / 65536 / 2
    assert wire.there.segments > SIZE / 1300
    if "noudpcsum" not in options:
        assert wire.there.written[GSO_UDP] > SIZE / 65536 / 2
        assert wire.there.written.total() < wire.there.segments / 4
    assert complaints(left) == complaints(right) == []


@pytest.mark.parametrize("address", ["10.9.0.2", "fd09::2"], ids=["IPv4", "IPv6"])
def test_udp_arrives_whole_cut_and_joined_on_its_way(
    hosts: tuple[Host, Host], wire: TunWire, address: str
) -> None:
    left, right = hosts
    answerer = right.start(sys.executable, "-c", ANSWER, address)
    right.run("sh", "-c", "until ss -Hlun sport = 5001 | grep -q .; do sleep 0.05; done")

    left.run(sys.executable, "-c", ASK, address)

    assert answerer.wait().status == 0
    assert wire.there.segments >= BURSTS * COUNT
    assert wire.there.written[GSO_UDP] >= BURSTS
    if wire.has_uso:
        assert wire.there.read[GSO_UDP] >= BURSTS
    assert complaints(left) == complaints(right) == []
