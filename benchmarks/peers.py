"""How fast a hub serves many peers at once, in both directions.

python -m benchmarks.peers --help

      +---- eth0 spoke1      A wire for each spoke, 172.16.N.1 -------- 172.16.N.2, and a tunnel over it,
hub --+---- eth0 spoke2      10.0.0.254 ======== 10.0.0.N. Between the hub and every spoke runs one TCP stream
      +---- ...              each way, all of them at once.
"""

import argparse
import sys
from typing import Final

from benchmarks.netns.command import Benchmark, parse, parser, positive, run
from benchmarks.netns.measures import Measure
from benchmarks.netns.namespaces import INTERFACE, MTU, PORT
from benchmarks.netns.readings import read_iperf3
from benchmarks.netns.rounds import Trial, Turn
from benchmarks.netns.tools import PATIENCE, cpu, listening, memory, stream_client
from tests.integration.hosts import Host, add_addresses, connect
from tests.integration.peers import key_pair

HUB: Final = "10.0.0.254"
MOST_PEERS: Final = 200

MEASURES: Final = (
    Measure("sum", "TCP, all streams both ways", "Gbit/s", more_is_better=True),
    Measure("out", "of it from the hub", "Gbit/s", more_is_better=True),
    Measure("back", "of it to the hub", "Gbit/s", more_is_better=True),
    Measure("least", "of it the slowest spoke, both ways", "Gbit/s", more_is_better=True),
    Measure("cpu_hub", "CPU of the hub's daemon", "s/GB", more_is_better=False),
    Measure("cpu_all", "CPU of all daemons", "s/GB", more_is_better=False),
    Measure("memory", "memory of the hub's daemon, PSS", "MiB", more_is_better=False),
)


def main() -> int:
    command = parser("benchmarks.peers", "Measure one hub with many peers.")
    command.add_argument("--peers", metavar="N", type=_peers, default=8, help="default: %(default)s")
    options = parse(command)
    seconds = 5 + options.peers + options.seconds
    trial = _trial(options.peers, options.seconds)
    return run(Benchmark([trial], MEASURES, seconds, with_limit=False), options)


def _peers(text: str) -> int:
    number = positive(text)
    if number > MOST_PEERS:
        raise argparse.ArgumentTypeError(f"want at most {MOST_PEERS}")
    return number


def _trial(peers: int, seconds: float) -> Trial:
    def measure(turn: Turn) -> None:
        hub = turn.host("hub")
        spokes = [turn.host(f"spoke{number}") for number in range(1, peers + 1)]
        for host in (hub, *spokes):
            turn.start_daemon(host)
        turn.doing = "the first pings"
        _configure(hub, spokes)
        turn.doing = "the streams"
        _measure_streams(turn, hub, spokes, seconds)

    return measure


def _configure(hub: Host, spokes: list[Host]) -> None:
    """Make the hub and each spoke peers, and wait until pings come through. Raises CommandFailed."""
    hub_key = _make_interface(hub, HUB)
    for number, spoke in enumerate(spokes, 1):
        wire = f"eth{number}"
        connect(hub, wire, spoke, "eth0")
        add_addresses(hub, wire, f"172.16.{number}.1/24")
        add_addresses(spoke, "eth0", f"172.16.{number}.2/24")
        inside = f"10.0.0.{number}"
        _add_peer(hub, _make_interface(spoke, inside), inside, f"172.16.{number}.2")
        _add_peer(spoke, hub_key, HUB, f"172.16.{number}.1")
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


def _measure_streams(turn: Turn, hub: Host, spokes: list[Host], seconds: float) -> None:
    for spoke in spokes:
        spoke.start("iperf3", "--server", "--one-off")
    for spoke in spokes:
        listening(spoke)
    hub_daemon, *_ = turn.daemons
    before = cpu([hub_daemon]), cpu(turn.daemons)
    clients = [
        hub.start(*stream_client(f"10.0.0.{number}", seconds), "--bidir")
        for number in range(1, len(spokes) + 1)
    ]
    outputs = [client.wait(seconds + PATIENCE).output for client in clients]
    after = cpu([hub_daemon]), cpu(turn.daemons)
    out = [read_iperf3(output) for output in outputs]
    back = [read_iperf3(output, "sum_received_bidir_reverse") for output in outputs]
    gigabytes = sum(transfer.bytes for transfer in (*out, *back)) / 1e9
    both = [one.gigabits + other.gigabits for one, other in zip(out, back, strict=True)]
    turn.add(
        {
            "sum": sum(both),
            "out": sum(transfer.gigabits for transfer in out),
            "back": sum(transfer.gigabits for transfer in back),
            "least": min(both),
            "cpu_hub": (after[0] - before[0]) / gigabytes,
            "cpu_all": (after[1] - before[1]) / gigabytes,
            "memory": memory(hub_daemon),
        }
    )


if __name__ == "__main__":
    sys.exit(main())
