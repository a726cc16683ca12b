"""Data between two machines that must arrive whole, by traffic.py; and what their kernels complained of."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.integration.hosts import Machine

TRAFFIC = (sys.executable, "-I", "-S", str(Path(__file__).with_name("traffic.py")))
_TCP_PORT, _UDP_PORT = "5001", "5002"


def assert_tcp_arrives_whole(sender: Machine, receiver: Machine, address: str, size: int) -> None:
    """Send so many bytes by one connection to the receiver, which has this address."""
    sink = receiver.start(*TRAFFIC, "tcp-sink", address, _TCP_PORT)
    sent = sender.run(*TRAFFIC, "tcp-send", address, _TCP_PORT, str(size), timeout=60)
    received = sink.wait(30)
    assert received.status == 0
    assert received.output == sent


def assert_udp_comes_back(client: Machine, echo: Machine, address: str, sizes: Sequence[int]) -> None:
    """Have datagrams of these sizes echoed, each by itself, and then bursts of them."""
    echo.start(*TRAFFIC, "udp-echo", address, _UDP_PORT)
    client.run(*TRAFFIC, "udp-ask", address, _UDP_PORT, *map(str, sizes))


def complaints(machine: Machine) -> list[str]:
    """The kernel's counters of wrong checksums and lengths that are not zero."""
    # Two lines for each protocol of IPv4: names, numbers. A line for each number of IPv6.
    found = [line for line in machine.run("cat", "/proc/net/snmp6").splitlines() if "Errors" in line]
    lines = machine.run("cat", "/proc/net/snmp").splitlines()
    for names, numbers in zip(lines[::2], lines[1::2], strict=True):
        protocol, *pairs = zip(names.split(), numbers.split(), strict=True)
        found += [f"{protocol[0]}{name} {number}" for name, number in pairs if "Err" in name]
    # Not of addresses: on a busy host a packet may come before its address can be used. Nor what is counted
    # of UDP beside its checksums: that has what wgpyd's filter drops, as data of a session that just ended.
    expected = re.compile(r"Addr|^Udp6?:?InErrors|[ \t]0$")
    return [line for line in found if not expected.search(line)]


def fragments_made(machine: Machine) -> int:
    """How many fragments the machine has made of datagrams."""
    lines = machine.run("cat", "/proc/net/snmp").splitlines()
    names, values = (line.split() for line in lines if line.startswith("Ip:"))
    ipv4 = int(values[names.index("FragCreates")])
    ipv6 = dict(line.split() for line in machine.run("cat", "/proc/net/snmp6").splitlines())
    return ipv4 + int(ipv6["Ip6FragCreates"])
