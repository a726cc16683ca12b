"""What is seen of a host's wire, beside what was sent.

left eth0 192.0.2.1 -------- 192.0.2.2 eth0 right
"""

import sys

from benchmarks.nat.wire import Packet
from benchmarks.nat.world import watching
from tests.integration.hosts import Lab, add_addresses, connect, eventually
from tests.integration.meshlab import Node

LEFT, RIGHT = "192.0.2.1", "192.0.2.2"
HEADERS = 28  # of IPv4 and UDP, bytes
ANSWER = """
import socket
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.bind(("192.0.2.2", 9000))
print("ready", flush=True)
here.sendto(b"x" * 50, here.recvfrom(2000)[1])
"""
ASK = """
import socket
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.sendto(b"x" * 1000, ("192.0.2.2", 9000))
here.recv(2000)
"""


def test_what_passes_the_wire_is_seen_with_its_direction_and_size(lab: Lab) -> None:
    left, right = lab.host("left"), lab.host("right")
    connect(left, "eth0", right, "eth0")
    add_addresses(left, "eth0", f"{LEFT}/24")
    add_addresses(right, "eth0", f"{RIGHT}/24")
    answering = right.start(sys.executable, "-c", ANSWER)
    eventually(lambda: "ready" in answering.log.read_text(), "it answers", 60)

    with watching(Node("left", left, LEFT, LEFT)) as wire:
        left.run(sys.executable, "-c", ASK)
        eventually(lambda: len(wire.packets) == 2, "both are seen", 60)

    assert [_what(packet) for packet in wire.packets] == [
        (True, "udp", RIGHT, 1000 + HEADERS),
        (False, "udp", RIGHT, 50 + HEADERS),
    ]


def _what(packet: Packet) -> tuple[bool, str, str, int]:
    return packet.is_outbound, packet.protocol, packet.remote, packet.size
