"""Hosts made of namespaces, and a tunnel between two of them.

    behind eth0 ---- veth, MTU 1420 ---- eth1 left eth0 -------- veth, MTU 1500 -------- eth0 right
    203.0.113.2                203.0.113.1    192.0.2.1, 2001:db8::1     192.0.2.2, 2001:db8::2
                                              wgbench0 ======= tunnel, MTU 1420 ===== wgbench0
                                              198.18.0.1, 2001:2::1       198.18.0.2, 2001:2::2

Invariant: everything lives below processes that the kernel kills when this one ends, however it ends, and the
namespaces vanish with their last process. So nothing is left to clean up.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.suite.ends import Daemon, End
from benchmarks.suite.implementations import Implementation
from tests.integration.hosts import Host, HostProcess, add_addresses, connect
from tests.integration.peers import key_pair

if TYPE_CHECKING:
    from benchmarks.suite.rounds import Turn

# Across two hosts, addresses must not conflict, so they are those of RFC 2544 and 5180, for benchmarks.
INTERFACE: Final = "wgbench0"
PORT: Final = 51899
MTU: Final = 1420
OUTSIDE: Final = ("192.0.2.1", "192.0.2.2")
OUTSIDE6: Final = ("2001:db8::1", "2001:db8::2")
INSIDE: Final = ("198.18.0.1", "198.18.0.2")
INSIDE6: Final = ("2001:2::1", "2001:2::2")
BEHIND: Final = "203.0.113.0/24"
_ALLOWED: Final = (f"{INSIDE[0]},{INSIDE6[0]},{BEHIND}", f"{INSIDE[1]},{INSIDE6[1]}")


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Two hosts with an implementation's interface each, and a third one that routes through the left."""

    left: End
    right: End
    behind: End
    daemons: tuple[Daemon, Daemon]


def tunnel(turn: "Turn", outside: tuple[str, str] = OUTSIDE) -> Tunnel:
    """Make a fresh tunnel between two addresses, and let a third host reach the right one through it."""
    left, right, daemons = tunnel_of_two(turn, outside)
    behind = turn.host("behind")
    route_through(left, right, behind)
    return Tunnel(left, right, behind, daemons)


def tunnel_of_two(
    turn: "Turn", outside: tuple[str, str] = OUTSIDE
) -> tuple[Host, Host, tuple[HostProcess, HostProcess]]:
    """Make a fresh tunnel between two addresses, and see that a ping comes through."""
    left, right = turn.host("left"), turn.host("right")
    join(left, right)
    daemons = (turn.start_daemon(left, outside[1]), turn.start_daemon(right, outside[0]))
    turn.doing = "the first ping"
    configure(turn.implementation, left, right, outside)
    ping_through(left)
    return left, right, daemons


def join(left: Host, right: Host) -> None:
    """Lay the wire between the two ends."""
    connect(left, "eth0", right, "eth0")
    for host, *addresses in zip((left, right), OUTSIDE, OUTSIDE6, strict=True):
        add_addresses(host, "eth0", f"{addresses[0]}/24", f"{addresses[1]}/64")


def configure(
    implementation: Implementation, left: End, right: End, outside: tuple[str, str] = OUTSIDE
) -> None:
    """Make the two ends peers, and give them addresses. Raises CommandFailed."""
    hosts = (left, right)
    if implementation.has_keys:
        keys = [key_pair() for _ in hosts]
        for here, host in enumerate(hosts):
            there = 1 - here
            host.run(
                "wg", "set", INTERFACE, "listen-port", str(PORT),
                "private-key", host.write("/run/private.key", keys[here][0]),
                "peer", keys[there][1], "allowed-ips", _ALLOWED[there],
                "endpoint", f"[{outside[there]}]:{PORT}",
            )  # fmt: skip
    for host, *addresses in zip(hosts, INSIDE, INSIDE6, strict=True):
        add_addresses(host, INTERFACE, f"{addresses[0]}/24", f"{addresses[1]}/64")
        host.run("ip", "link", "set", INTERFACE, "mtu", str(MTU), "up")


def ping_through(left: End) -> None:
    """Wait until a ping comes through the tunnel. Raises CommandFailed."""
    left.run("ping", "-n", "-c", "1", "-W", "10", INSIDE[1])


def route_through(left: Host, right: Host, behind: Host) -> None:
    """Let a host behind the left one reach the right one through the tunnel."""
    connect(behind, "eth0", left, "eth1")
    add_addresses(behind, "eth0", "203.0.113.2/24")
    add_addresses(left, "eth1", "203.0.113.1/24")
    # As behind any router that was set up for its tunnel: no packet has to be refused first.
    behind.run("ip", "link", "set", "eth0", "mtu", str(MTU))
    behind.run("ip", "route", "add", f"{INSIDE[1]}/32", "via", "203.0.113.1")
    left.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    right.run("ip", "route", "add", BEHIND, "dev", INTERFACE)
