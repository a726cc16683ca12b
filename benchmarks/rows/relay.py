"""What a relay costs that forwards the datagrams of a tunnel, beside a program that only forwards UDP.

left eth0 ─────── eth0 relay eth1 ─────── eth0 right      MTU 1500
192.0.2.1         .2         .129         .130
 wgbench0 ═════════════════════════════ wgbench0          tunnel, MTU 1420
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.compiler import BuildFailed, build
from benchmarks.rows import gateway_host
from benchmarks.rows.daemons import launch_program
from benchmarks.suite.ends import Daemon
from benchmarks.suite.namespaces import INSIDE, INTERFACE, MTU, PORT, ping_through
from benchmarks.suite.readings import MeasureFailed
from benchmarks.suite.rounds import Turn
from benchmarks.suite.tools import STARTING, cpu, stream
from benchmarks.suite.values import Measure, Plan, Row, Samples, Setting
from tests.integration.hosts import Host, HostProcess, add_addresses, connect, eventually
from tests.integration.peers import key_pair

FORWARD_PORT: Final = PORT - 1
LEFT: Final = ("192.0.2.1", "192.0.2.2")  # its address, and the relay's towards it
RIGHT: Final = ("192.0.2.130", "192.0.2.129")
INSIDE_RELAY: Final = "198.18.0.3"
_FORWARD: Final = Path(__file__).parents[1] / "limit" / "forward.c"
_KEEPALIVE: Final = 25  # seconds


@dataclass(frozen=True, slots=True)
class Ends:
    """Two hosts that reach each other by a third one, in either of two ways. host: the third one."""

    turn: Turn
    hosts: tuple[Host, Host]
    host: Host
    keys: Sequence[tuple[str, str]]
    relay: Daemon
    forwarder: Daemon

    def way(self, port: int) -> Daemon:
        """Begin a session by this port of the third host, and return the daemon that has it."""
        for here, (host, (_, by)) in enumerate(zip(self.hosts, (LEFT, RIGHT), strict=True)):
            there = self.keys[1 - here][1]
            host.run("wg", "set", INTERFACE, "peer", there, "remove")
            host.run(
                "wg", "set", INTERFACE, "peer", there, "allowed-ips", INSIDE[1 - here],
                "endpoint", f"{by}:{port}",
            )  # fmt: skip
        ping_through(self.hosts[0])
        return self.relay if port == PORT else self.forwarder

    def measure(self, port: int, seconds: float) -> tuple[float, float]:
        """Return a stream's Gbit/s, and the CPU seconds per GB of who forwards it."""
        daemon = self.way(port)
        before = cpu([daemon])
        came = stream(*self.hosts, INSIDE[1], seconds)
        return came.gigabits, (cpu([daemon]) - before) / came.bytes * 1e9


# -- What is built ---------------------------------------------------------------------------------


def connect_ends(turn: Turn) -> Ends:
    left, relay, right = (turn.host(name) for name in ("left", "relay", "right"))
    for host, card, (address, by) in ((left, "eth0", LEFT), (right, "eth1", RIGHT)):
        connect(host, "eth0", relay, card)
        add_addresses(host, "eth0", f"{address}/25")
        add_addresses(relay, card, f"{by}/25")
    daemon = _start_relay(turn, relay)
    for host in (left, right):
        turn.start_daemon(host)
    keys = [key_pair() for _ in range(3)]
    _configure(relay, keys[2], INSIDE_RELAY, {keys[0][1]: (INSIDE[0], ""), keys[1][1]: (INSIDE[1], "")})
    for host, key, inside, (_, by) in zip((left, right), keys, INSIDE, (LEFT, RIGHT), strict=False):
        _configure(host, key, inside, {keys[2][1]: (INSIDE_RELAY, f"{by}:{PORT}")})
        host.run("ping", "-n", "-c", "1", "-W", "10", INSIDE_RELAY)
    return Ends(turn, (left, right), relay, keys, daemon, _start_forwarder(turn, relay))


def _start_relay(turn: Turn, relay: Host) -> HostProcess:
    daemon = launch_program(turn, relay, str(gateway_host.__file__))
    control = relay.path(gateway_host.CONTROL)
    eventually(control.is_fifo, "the relay can be told")
    control.write_text(f"{gateway_host.RELAY}\n")
    eventually(lambda: gateway_host.RELAY in daemon.log.read_text(), "it relays")
    return daemon


def _configure(host: Host, key: tuple[str, str], inside: str, peers: dict[str, tuple[str, str]]) -> None:
    """peers: allowed address and endpoint by public key."""
    host.run(
        "wg",
        "set",
        INTERFACE,
        "listen-port",
        str(PORT),
        "private-key",
        host.write("/run/private.key", key[0]),
    )
    for peer, (allowed, endpoint) in peers.items():
        at = ("endpoint", endpoint, "persistent-keepalive", str(_KEEPALIVE)) if endpoint else ()
        host.run("wg", "set", INTERFACE, "peer", peer, "allowed-ips", allowed, *at)
    add_addresses(host, INTERFACE, f"{inside}/24")
    host.run("ip", "link", "set", INTERFACE, "mtu", str(MTU), "up")


def _start_forwarder(turn: Turn, relay: Host) -> Daemon:
    program = turn.programs / "forward"
    try:
        if not program.exists():
            build(program, [_FORWARD], "-march=native")
    except BuildFailed as error:
        raise MeasureFailed(str(error)) from None
    forwarder = relay.start(str(program), str(FORWARD_PORT), LEFT[0], str(PORT), RIGHT[0], str(PORT))
    turn.daemons.append(forwarder)
    return forwarder


# -- What is measured ------------------------------------------------------------------------------


def _relayed(ends: Ends, seconds: float) -> Samples:
    ways = {"forwarded": FORWARD_PORT, "relayed": PORT}
    samples: Samples = {}
    for name in sorted(ways, reverse=bool(ends.turn.round % 2)):
        samples[f"relay_{name}"], samples[f"relay_{name}_cpu"] = ends.measure(ways[name], seconds)
    return samples


RELAY: Final = Setting(
    "relay",
    connect_ends,
    (
        Row(
            "relay",
            "TCP by a relay, and by a program that only forwards UDP",
            (
                Measure("relay_forwarded", "TCP by a forwarder of UDP", "Gbit/s", more_is_better=True),
                Measure(
                    "relay_relayed", "TCP by a relay", "Gbit/s", more_is_better=True, beside="relay_forwarded"
                ),
                Measure("relay_forwarded_cpu", "CPU of the forwarder", "s/GB", more_is_better=False),
                Measure(
                    "relay_relayed_cpu", "CPU of the relay", "s/GB", more_is_better=False,
                    beside="relay_forwarded_cpu",
                ),
            ),
            _relayed,
            Plan.FULL,
            streams=2,
            seconds=2 * STARTING + 2,
            rulers=False,
            ours=True,
        ),
    ),
    seconds=4,
)  # fmt: skip
