"""What a gateway costs that translates the addresses of a site, and what many sites and rules cost it.

left eth0 -------- eth0 right eth1 -------- eth0 office        MTU 1500
 wgbench0 ======== wgbench0  10.0.0.1       10.0.0.2           tunnel, MTU 1420
198.18.0.1         the gateway              in the mesh: 100.64.0.2

wgpyd translates in its data path. Others cannot: behind them nftables does, prefix to prefix (NETMAP).
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from benchmarks.rows import gateway_host
from benchmarks.rows.daemons import launch_program
from benchmarks.rows.gateway_host import CONTROL, LENGTH, MAPPED, REAL
from benchmarks.suite.implementations import Role
from benchmarks.suite.namespaces import INSIDE, INTERFACE, OUTSIDE, configure, join, ping_through
from benchmarks.suite.readings import MeasureFailed
from benchmarks.suite.rounds import Turn
from benchmarks.suite.tools import STARTING, datagrams, stream
from benchmarks.suite.values import Measure, Plan, Row, Samples, Setting
from tests.integration.hosts import Host, HostProcess, add_addresses, connect, eventually

SITES: Final = 1_000
RULES: Final = 10_000
WITHIN: Final = 30.0  # seconds
SMALL: Final = 64  # bytes of a datagram
_NETMAP: Final = f"""
table ip netmap {{
    chain in {{
        type nat hook prerouting priority dstnat
        iifname {INTERFACE} dnat ip prefix to ip daddr map {{ {MAPPED}/{LENGTH} : {REAL}/{LENGTH} }}
    }}
    chain out {{
        type nat hook postrouting priority srcnat
        oifname {INTERFACE} snat ip prefix to ip saddr map {{ {REAL}/{LENGTH} : {MAPPED}/{LENGTH} }}
    }}
}}
"""


class Translator(Protocol):
    def translate(self, sites: int, rules: int) -> None:
        """Return when so many sites and rules are in force."""


@dataclass(slots=True)
class Netmap:
    """Knows one site, and no rules."""

    gateway: Host
    in_force: bool = False

    def translate(self, sites: int, _rules: int) -> None:
        if sites and not self.in_force:
            self.gateway.run("nft", "-f", self.gateway.write("/run/netmap.nft", _NETMAP))
        if self.in_force and not sites:
            self.gateway.run("nft", "delete", "table", "ip", "netmap")
        self.in_force = bool(sites)


@dataclass(slots=True)
class DataPath:
    """gateway_host.py, which is told by lines, and says them again."""

    gateway: Host
    daemon: HostProcess
    told: list[str] = field(default_factory=list)

    def translate(self, sites: int, rules: int) -> None:
        self.told.append(f"{sites} {rules}")
        self.gateway.path(CONTROL).write_text(f"{self.told[-1]}\n")
        eventually(self._is_in_force, "the gateway translates", WITHIN)

    def _is_in_force(self) -> bool:
        return [line for line in self.daemon.log.read_text().splitlines() if line in self.told] == self.told


@dataclass(frozen=True, slots=True)
class Site:
    """A host of a site, and one that reaches it by a gateway."""

    turn: Turn
    left: Host
    office: Host
    translator: Translator

    def in_order(self, *states: tuple[int, int]) -> Sequence[tuple[int, int]]:
        """Return states in their order, in every second round the last first."""
        return states if self.turn.round % 2 else states[::-1]

    def gigabits(self, state: tuple[int, int], seconds: float, *options: str) -> float:
        """Return the rate of a stream to the office while so many sites and rules are in force."""
        self.translator.translate(*state)
        return stream(self.left, self.office, _office(state), seconds, *options).gigabits

    def datagrams(self, state: tuple[int, int], seconds: float) -> float:
        """Return how many small datagrams a second the office received, in thousands."""
        self.translator.translate(*state)
        found = datagrams(self.left, self.office, _office(state), seconds, 0, SMALL)
        return found.received / 8 / SMALL / 1000


def _office(state: tuple[int, int]) -> str:
    return str((MAPPED if state[0] else REAL) + 2)


# -- What is built ---------------------------------------------------------------------------------


def _site(turn: Turn) -> Site:
    left, right, office = turn.host("left"), turn.host("right"), turn.host("office")
    join(left, right)
    turn.start_daemon(left, OUTSIDE[1])
    translator = _gateway(turn, right)
    turn.doing = "the first pings"
    configure(turn.implementation, left, right)
    _route(left, right, office)
    ping_through(left)
    translator.translate(1, 0)
    left.run("ping", "-n", "-c", "1", "-W", "10", _office((1, 0)))
    return Site(turn, left, office, translator)


def _gateway(turn: Turn, right: Host) -> Translator:
    if turn.implementation.role is Role.OURS:
        return DataPath(right, _start_data_path(turn, right))
    if shutil.which("nft") is None:
        raise MeasureFailed("this host has no nft, which translates behind it: apt-get install nftables")
    turn.start_daemon(right, OUTSIDE[0])
    return Netmap(right)


def _start_data_path(turn: Turn, right: Host) -> HostProcess:
    daemon = launch_program(turn, right, str(gateway_host.__file__))
    eventually(right.path(CONTROL).is_fifo, "the gateway can be told")
    return daemon


def _route(left: Host, right: Host, office: Host) -> None:
    """Let the left host reach the office by either address, and the office answer."""
    connect(right, "eth1", office, "eth0")
    add_addresses(right, "eth1", f"{REAL + 1}/{LENGTH}")
    add_addresses(office, "eth0", f"{REAL + 2}/{LENGTH}")
    office.run("ip", "route", "add", "default", "via", str(REAL + 1))
    right.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    key = left.run("wg", "show", INTERFACE, "peers").strip()
    ranges = (f"{MAPPED}/10", f"{REAL}/{LENGTH}")
    left.run("wg", "set", INTERFACE, "peer", key, "allowed-ips", ",".join((INSIDE[1], *ranges)))
    for prefix in ranges:
        left.run("ip", "route", "add", prefix, "dev", INTERFACE)


# -- What is measured ------------------------------------------------------------------------------

PLAIN: Final = (0, 0)  # sites and rules
ONE_SITE: Final = (1, 0)
ONE_RULE: Final = (1, 1)
CROWD: Final = (SITES, RULES)
_NAMES: Final = {PLAIN: "plain", ONE_SITE: "translated", ONE_RULE: "ruled", CROWD: "crowd"}


def _translating(site: Site, seconds: float) -> Samples:
    samples: Samples = {}
    for state in site.in_order(PLAIN, ONE_SITE):
        samples[f"gateway_{_NAMES[state]}"] = site.gigabits(state, seconds)
        samples[f"gateway_{_NAMES[state]}_back"] = site.gigabits(state, seconds, "--reverse")
    return samples


def _crowded(site: Site, seconds: float) -> Samples:
    samples: Samples = {}
    for state in site.in_order(ONE_SITE, ONE_RULE, CROWD):
        samples[f"sites_{_NAMES[state]}"] = site.gigabits(state, seconds)
        samples[f"sites_{_NAMES[state]}_udp"] = site.datagrams(state, seconds)
    return samples


_UDP: Final = "1,000/s"
GATEWAY: Final = Setting(
    "gateway",
    _site,
    (
        Row(
            "gateway",
            "TCP to a site and back, with and without translation",
            (
                Measure.more("gateway_plain", "TCP to a site, real addresses"),
                Measure.more("gateway_translated", "TCP to a site, translated", "gateway_plain"),
                Measure.more("gateway_plain_back", "TCP back from a site, real addresses"),
                Measure.more(
                    "gateway_translated_back", "TCP back from a site, translated", "gateway_plain_back"
                ),
            ),
            _translating,
            Plan.FULL,
            streams=4,
            seconds=4 * STARTING,
            rulers=False,
        ),
        Row(
            "sites",
            f"a gateway with {SITES:,} sites and {RULES:,} rules",
            (
                Measure.more("sites_translated", "1 site, TCP"),
                Measure.more("sites_ruled", "1 site, 1 rule, TCP", "sites_translated"),
                Measure.more("sites_crowd", f"{SITES:,} sites, {RULES:,} rules, TCP", "sites_ruled"),
                Measure.more("sites_translated_udp", "1 site, UDP 64 B", unit=_UDP),
                Measure.more("sites_ruled_udp", "1 site, 1 rule, UDP 64 B", "sites_translated_udp", _UDP),
                Measure.more(
                    "sites_crowd_udp", f"{SITES:,} sites, {RULES:,} rules, UDP 64 B", "sites_ruled_udp", _UDP
                ),
            ),
            _crowded,
            Plan.FULL,
            streams=6,
            seconds=6 * STARTING,
            rulers=False,
            ours=True,
        ),
    ),
    seconds=4,
)
