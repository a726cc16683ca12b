"""How fast a hub serves many peers at once, in both directions.

      +---- eth0 spoke1      A wire for each spoke, 172.16.N.1 -------- 172.16.N.2, and a tunnel over it,
hub --+---- eth0 spoke2      10.0.0.254 ======== 10.0.0.N. Between the hub and every spoke runs one TCP stream
      +---- ...              each way, all of them at once.
"""

from dataclasses import dataclass
from typing import Final

from benchmarks.suite.namespaces import INTERFACE, MTU, PORT
from benchmarks.suite.readings import BACK, read_iperf3
from benchmarks.suite.rounds import Turn
from benchmarks.suite.tools import TOOL_TIMEOUT, cpu, listening, memory, stream_client
from benchmarks.suite.values import Measure, Plan, Row, Samples, Setting
from tests.integration.hosts import Host, add_addresses, connect
from tests.integration.peers import key_pair

CENTRE: Final = "10.0.0.254"
PEERS: Final = 8


@dataclass(frozen=True, slots=True)
class Star:
    """A hub and its spokes, configured, with a daemon each."""

    turn: Turn
    hub: Host
    spokes: list[Host]


def _star(turn: Turn) -> Star:
    hub = turn.host("hub")
    spokes = [turn.host(f"spoke{number}") for number in range(1, PEERS + 1)]
    for host in (hub, *spokes):
        turn.start_daemon(host)
    turn.doing = "the first pings"
    _configure(hub, spokes)
    return Star(turn, hub, spokes)


def _configure(hub: Host, spokes: list[Host]) -> None:
    """Make the hub and each spoke peers, and wait until pings come through. Raises CommandFailed."""
    hub_key = _make_interface(hub, CENTRE)
    for number, spoke in enumerate(spokes, 1):
        wire = f"eth{number}"
        connect(hub, wire, spoke, "eth0")
        add_addresses(hub, wire, f"172.16.{number}.1/24")
        add_addresses(spoke, "eth0", f"172.16.{number}.2/24")
        inside = f"10.0.0.{number}"
        _add_peer(hub, _make_interface(spoke, inside), inside, f"172.16.{number}.2")
        _add_peer(spoke, hub_key, CENTRE, f"172.16.{number}.1")
        hub.run("ping", "-n", "-c", "1", "-W", "10", inside)


def _make_interface(host: Host, address: str) -> str:
    """Return its public key."""
    private, public = key_pair()
    key = host.write("/run/private.key", private)
    host.run("wg", "set", INTERFACE, "listen-port", str(PORT), "private-key", key)
    add_addresses(host, INTERFACE, f"{address}/24")
    host.run("ip", "link", "set", INTERFACE, "mtu", str(MTU), "up")
    return public


def _add_peer(host: Host, key: str, inside: str, outside: str) -> None:
    host.run(
        "wg", "set", INTERFACE, "peer", key, "allowed-ips", inside, "endpoint", f"{outside}:{PORT}"
    )  # fmt: skip


def _streams(star: Star, seconds: float) -> Samples:
    hub, spokes, daemons = star.hub, star.spokes, star.turn.daemons
    for spoke in spokes:
        spoke.start("iperf3", "--server", "--one-off")
    for spoke in spokes:
        listening(spoke)
    hub_daemon, *_ = daemons
    before = cpu([hub_daemon]), cpu(daemons)
    clients = [
        hub.start(*stream_client(f"10.0.0.{number}", seconds), "--bidir")
        for number in range(1, len(spokes) + 1)
    ]
    outputs = [client.wait(seconds + TOOL_TIMEOUT).output for client in clients]
    after = cpu([hub_daemon]), cpu(daemons)
    out = [read_iperf3(output) for output in outputs]
    back = [read_iperf3(output, BACK) for output in outputs]
    gigabytes = sum(transfer.bytes for transfer in (*out, *back)) / 1e9
    both = [one.gigabits + other.gigabits for one, other in zip(out, back, strict=True)]
    return {
        "hub": sum(both),
        "hub_out": sum(transfer.gigabits for transfer in out),
        "hub_back": sum(transfer.gigabits for transfer in back),
        "hub_least": min(both),
        "hub_cpu": (after[0] - before[0]) / gigabytes,
        "hub_cpu_all": (after[1] - before[1]) / gigabytes,
        "hub_memory": memory(hub_daemon),
    }


HUB: Final = Setting(
    "hub",
    _star,
    (
        Row(
            "hub",
            f"hub with {PEERS} peers",
            (
                Measure("hub", f"{PEERS} peers, all streams both ways", "Gbit/s", more_is_better=True),
                Measure("hub_out", "of it from the hub", "Gbit/s", more_is_better=True),
                Measure("hub_back", "of it to the hub", "Gbit/s", more_is_better=True),
                Measure("hub_least", "of it the slowest spoke, both ways", "Gbit/s", more_is_better=True),
                Measure("hub_cpu", "CPU of the hub's daemon", "s/GB", more_is_better=False),
                Measure("hub_cpu_all", "CPU of hub and spokes", "s/GB", more_is_better=False),
                Measure("hub_memory", "memory of the hub's daemon, PSS", "MiB", more_is_better=False),
            ),
            _streams,
            Plan.FULL,
            rulers=False,
        ),
    ),
    seconds=5 + PEERS,
)
