"""What the rows of gateway, relay, hub and proxy say, beside what kernels count of the same.

A rate is of a receiver's payload in one second; interfaces count headers, and what comes after it, too.
"""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.rows import proxy
from benchmarks.rows.gateway import CROWD, GATEWAY, ONE_RULE, ONE_SITE, PLAIN, SMALL, Site
from benchmarks.rows.hub import HUB
from benchmarks.rows.proxies import SERVER
from benchmarks.rows.proxy import PROXY
from benchmarks.rows.relay import FORWARD_PORT, RELAY
from benchmarks.suite.implementations import Implementation, Role
from benchmarks.suite.namespaces import INTERFACE, PORT
from benchmarks.suite.rounds import Turn
from benchmarks.suite.values import Kind
from tests.integration.hosts import Host, Lab
from tests.integration.meshlab import program as installed

NEEDED = "iperf3", "cc", "nft"
COUNTERS = f"""
table inet ways {{
    counter relayed {{ }}
    counter forwarded {{ }}
    chain input {{
        type filter hook input priority 0
        iifname eth0 udp dport {PORT} counter name relayed
        iifname eth0 udp dport {FORWARD_PORT} counter name forwarded
    }}
}}
"""


@pytest.fixture(autouse=True)
def _tools() -> None:
    if absent := [tool for tool in NEEDED if shutil.which(tool) is None]:
        pytest.skip(f"this host lacks {', '.join(absent)}")


@pytest.fixture
def turn(lab: Lab, program: str, tmp_path: Path) -> Turn:
    return Turn(Implementation("wgpyd", Role.OURS, (program, "-f", "{interface}")), lab, 1, {}, tmp_path)


def passed(host: Host, interface: str, which: str) -> int:
    """Return the bytes that an interface has counted. which: rx or tx."""
    return int(host.run("cat", f"/sys/class/net/{interface}/statistics/{which}_bytes"))


def check(gigabits: float, counted: int, tolerance: float = 0.15) -> None:
    size = gigabits * 1e9 / 8
    assert size * 0.99 <= counted <= size * (1 + tolerance)


# -- A gateway -------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["wgpyd", "wireguard-go"])
def test_what_reaches_a_site_has_passed_the_tunnel_and_the_wire_to_it(turn: Turn, which: str) -> None:
    if shutil.which("wireguard-go") is None:
        pytest.skip("this host lacks wireguard-go")
    other = Implementation("wireguard-go", Role.PEER, ("wireguard-go", "-f", "{interface}"))
    if which != turn.implementation.name:
        turn = Turn(other, turn.lab, 1, {}, turn.programs)
    site: Site = GATEWAY.build(turn)

    for state in (PLAIN, ONE_SITE):
        for options, sent, came in (((), "tx", "rx"), (("--reverse",), "rx", "tx")):
            before = passed(site.left, INTERFACE, sent), passed(site.office, "eth0", came)
            gigabits = site.gigabits(state, 1, *options)
            check(gigabits, passed(site.left, INTERFACE, sent) - before[0])
            check(gigabits, passed(site.office, "eth0", came) - before[1])


def test_the_datagrams_that_a_site_receives_are_no_more_than_its_wire_brings(turn: Turn) -> None:
    site: Site = GATEWAY.build(turn)

    for state in (ONE_SITE, ONE_RULE, CROWD):
        before = passed(site.office, "eth0", "rx")
        thousands = site.datagrams(state, 1)
        assert 0 < thousands * 1000 * SMALL <= passed(site.office, "eth0", "rx") - before


# -- A relay ---------------------------------------------------------------------------------------


def test_each_stream_by_a_relay_takes_the_way_that_it_is_named_after(turn: Turn) -> None:
    ends = RELAY.build(turn)
    ends.host.run("nft", "-f", ends.host.write("/run/ways.nft", COUNTERS))

    def counted() -> dict[str, int]:
        listed = json.loads(ends.host.run("nft", "-j", "list", "counters"))["nftables"]
        return {each["counter"]["name"]: each["counter"]["bytes"] for each in listed if "counter" in each}

    for port, way, other in ((PORT, "relayed", "forwarded"), (FORWARD_PORT, "forwarded", "relayed")):
        before = counted()
        gigabits, _ = ends.measure(port, 1)
        after = counted()

        check(gigabits, after[way] - before[way])
        assert after[other] - before[other] < (after[way] - before[way]) / 1000


# -- A hub -----------------------------------------------------------------------------------------


def test_what_a_hub_sends_and_receives_is_what_interfaces_count(turn: Turn) -> None:
    star = HUB.build(turn)
    (row,) = HUB.rows

    def counted() -> tuple[int, int]:
        return sum(passed(spoke, INTERFACE, "rx") for spoke in star.spokes), passed(star.hub, INTERFACE, "rx")

    before = counted()
    samples = row.measure(star, 1)
    after = counted()

    check(samples["hub_out"], after[0] - before[0], 0.3)
    check(samples["hub_back"], after[1] - before[1], 0.3)


# -- A proxy ---------------------------------------------------------------------------------------


def test_what_a_proxy_carries_is_what_the_server_counts(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "HELD", 20)
    ours = Implementation("wgpy-proxy", Role.OURS, (installed("wgpy"),), kind=Kind.PROXY)
    loaded = PROXY.build(Turn(ours, lab, 1, {}, tmp_path))
    served = loaded.served
    assert served.forward

    for way, which in (("there", "rx"), ("back", "tx")):
        before = passed(served.right, INTERFACE, which)
        check(loaded.gigabits(way, 1), passed(served.right, INTERFACE, which) - before)

    for to in (served.way, served.forward):
        accepted = accepts(served.right)
        made = loaded.connections(to, 1)
        assert made * 0.99 <= accepts(served.right) - accepted <= made * 1.15

    holding = loaded.hold()
    open_ = served.right.run("ss", "-Htn", "state", "established", f"sport = :{SERVER}")
    assert len(open_.splitlines()) == proxy.HELD
    holding.kill()


def accepts(host: Host) -> int:
    """Return how many connections a host has accepted."""
    names, values = (
        line.split()[1:] for line in host.run("cat", "/proc/net/snmp").splitlines() if line.startswith("Tcp:")
    )
    return int(dict(zip(names, values, strict=True))["PassiveOpens"])
