"""Two hosts made of namespaces, and a tunnel between them.

    left eth0 192.0.2.1 -------- veth, MTU 1500 -------- 192.0.2.2 eth0 right
          wg0 10.0.0.1 ========== tunnel, MTU 1420 ====== 10.0.0.2 wg0

Law: everything lives below two processes that the kernel kills when this one ends, however it ends, and the
namespaces vanish with their last process. So nothing is left to clean up.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.netns.implementations import Implementation, Role
from tests.integration.hosts import Host, HostProcess, Lab, add_addresses, connect, eventually
from tests.integration.peers import key_pair, wait_until_listening

INTERFACE: Final = "wg0"
PORT: Final = 51820
MTU: Final = 1420
OUTSIDE: Final = ("192.0.2.1", "192.0.2.2")
INSIDE: Final = ("10.0.0.1", "10.0.0.2")


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Two hosts with an implementation's interface each, which reach each other's inner address."""

    left: Host
    right: Host
    daemons: tuple[HostProcess, HostProcess]
    address: str = INSIDE[1]  # of the right one, in the tunnel


@contextmanager
def two_hosts(logs: Path) -> Iterator[tuple[Host, Host]]:
    """Boot two hosts joined by a wire; they are gone at the end."""
    lab = Lab(logs)
    try:
        with _interrupts_held():  # a host half booted could not be powered off
            left, right = lab.host("left"), lab.host("right")
        connect(left, "eth0", right, "eth0")
        for host, address in zip((left, right), OUTSIDE, strict=True):
            add_addresses(host, "eth0", f"{address}/24")
        yield left, right
    finally:
        lab.power_off()


def start_daemon(implementation: Implementation, host: Host, remote: str) -> HostProcess:
    """Start one end of a tunnel to `remote`."""
    words = [word.format(interface=INTERFACE, remote=remote, port=PORT) for word in implementation.command]
    return host.start(*words)


def wait_until_ready(implementation: Implementation, host: Host, daemon: HostProcess) -> None:
    """Wait until an interface can be configured. Raises AssertionError."""
    if implementation.role is Role.LIMIT:
        eventually(
            lambda: not daemon.is_running() or host.attempt("ip", "link", "show", INTERFACE).status == 0,
            f"{implementation.name} makes its interface",
        )
    else:
        wait_until_listening(host, INTERFACE, daemon)


def configure(implementation: Implementation, left: Host, right: Host) -> None:
    """Make the two ends peers, give them addresses, and wait until a ping comes through.

    Raises CommandFailed.
    """
    hosts = (left, right)
    if implementation.role is not Role.LIMIT:
        keys = [key_pair() for _ in hosts]
        for here, host in enumerate(hosts):
            there = 1 - here
            host.run(
                "wg", "set", INTERFACE, "listen-port", str(PORT),
                "private-key", host.write("/run/private.key", keys[here][0]),
                "peer", keys[there][1], "allowed-ips", INSIDE[there], "endpoint", f"{OUTSIDE[there]}:{PORT}",
            )  # fmt: skip
    for host, address in zip(hosts, INSIDE, strict=True):
        add_addresses(host, INTERFACE, f"{address}/24")
        host.run("ip", "link", "set", INTERFACE, "mtu", str(MTU), "up")
    left.run("ping", "-n", "-c", "1", "-W", "10", INSIDE[1])


@contextmanager
def _interrupts_held() -> Iterator[None]:
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
