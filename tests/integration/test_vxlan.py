"""VXLAN over wgpyd's interface, as flannel makes it: TCP passes the TUN in superpackets, and arrives whole.

left                                              right
over0 10.8.0.1/24                                 over0 10.8.0.2/24      MTU 1370
wg0   10.20.0.1   ═══════════════════════════════ wg0   10.20.0.2        MTU 1420
"""

import json
import sys
from pathlib import Path

import pytest

from tests.integration.hosts import Host, Lab, add_addresses
from tests.integration.peers import Userspace
from tests.integration.topologies import Pair
from wgpy.datapath import native

TRAFFIC = str(Path(__file__).with_name("traffic.py"))
SIZE = 30_000_000
WITHOUT = "WGPY_OFFLOAD=checksum,tso,uso,gso,gro"

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not native.available(), reason="the C data path is not built"),
]


def kernel_version() -> tuple[int, ...]:
    return tuple(map(int, Path("/proc/sys/kernel/osrelease").read_text().split("-")[0].split(".")[:2]))


needs_tunnels = pytest.mark.skipif(kernel_version() < (6, 17), reason="no superpackets in UDP tunnels before")


def build(lab: Lab, program: str, option: str, *environment: str) -> Pair:
    implementation = Userspace(program, environment)
    pair = Pair.build(lab, implementation, implementation)
    pair.introduce()
    for end, here, there in ((pair.left, 1, 2), (pair.right, 2, 1)):
        end.machine.run(
            *("ip", "link", "add", "over0", "mtu", "1370", "type", "vxlan", "id", "1", "dstport", "8472"),
            *("local", f"10.20.0.{here}", "remote", f"10.20.0.{there}", "dev", "wg0", option),
        )
        end.machine.run("ip", "link", "set", "over0", "up")
        assert isinstance(end.machine, Host)
        add_addresses(end.machine, "over0", f"10.8.0.{here}/24")
    return pair


def stream(pair: Pair) -> tuple[float, float]:
    """Send one; return the mean sizes of what the left TUN gave and the right one took."""
    sink = pair.right.host.start(sys.executable, TRAFFIC, "tcp-sink", "10.8.0.2", "5000")
    sent = pair.left.machine.run(sys.executable, TRAFFIC, "tcp-send", "10.8.0.2", "5000", str(SIZE))
    assert sink.wait().output == sent
    return mean_size(pair.left.host, "tx"), mean_size(pair.right.host, "rx")


def mean_size(host: Host, way: str) -> float:
    (link,) = json.loads(host.run("ip", "-json", "-stats", "link", "show", "wg0"))
    counts = link["stats64"][way]
    return float(counts["bytes"] / counts["packets"])


@needs_tunnels
def test_tcp_with_checksums_passes_both_tuns_in_superpackets(lab: Lab, program: str) -> None:
    given, taken = stream(build(lab, program, "udpcsum"))

    assert given > 5 * 1420
    assert taken > 5 * 1420


@needs_tunnels
def test_tcp_without_checksums_leaves_the_tun_in_superpackets(lab: Lab, program: str) -> None:
    given, _ = stream(build(lab, program, "noudpcsum"))

    assert given > 5 * 1420


@pytest.mark.parametrize("option", ["udpcsum", "noudpcsum"])
def test_without_this_offload_each_packet_passes_alone(lab: Lab, program: str, option: str) -> None:
    given, _ = stream(build(lab, program, option, WITHOUT))

    assert given <= 1420
