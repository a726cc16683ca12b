"""Two nodes that nobody can dial, each behind a router, with a line between them that is cut, and two relays.

left  192.168.10.2 ── lan │ left-nat  203.0.113.10 ──┐       ┌── hub   203.0.113.2, coordinator, a relay
                                                    ├─ net ─┤
right 192.168.20.2 ── lan │ right-nat 203.0.113.20 ──┘       └── spare 203.0.113.3, a relay
"""

import json
import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.integration.hosts import Host, Lab, eventually
from tests.integration.internet import Internet
from tests.integration.meshlab import NETWORK, Node, program
from tests.integration.terminal import Terminal
from wgpy.node.agent_client import Peer

pytestmark = [pytest.mark.xdist_group("mesh_relays"), pytest.mark.slow]

_WITHIN = 60.0  # seconds: hosts are slow where many tests run
_FIRST = "{ type filter hook prerouting priority -300; }"
_FORWARD = "{ type filter hook forward priority 0; }"
_ATTACKER = str(Path(__file__).with_name("attacker.py"))
_FORGING = 8  # seconds
_SECRET = "read me, please!"  # as long as the pattern of a ping may be
_SMALL = 1400  # bytes of a packet that a router lets through


@dataclass(frozen=True, slots=True)
class World:
    net: Internet
    hub: Node
    spare: Node
    left: Node
    right: Node
    routers: tuple[Host, Host]

    def cut(self) -> None:
        """Let the routers of the two hear nothing of each other."""
        for router, number in zip(self.routers, (20, 10), strict=True):
            rule = f"add rule ip line in ip saddr 203.0.113.{number} udp dport 1-65535 drop"
            router.run("nft", f"add table ip line; add chain ip line in {_FIRST}; {rule}")

    def mend(self) -> None:
        for router in self.routers:
            router.run("nft", "delete table ip line")


@pytest.fixture(scope="module")
def world(module_lab: Lab) -> World:
    net = Internet.build(module_lab)
    hub, spare = net.public("hub", 2), net.public("spare", 3)
    (left, left_router), (right, right_router) = net.behind_nat("left", 10), net.behind_nat("right", 20)
    found = World(net, hub, spare, left, right, (left_router, right_router))
    found.cut()
    hub.mesh("init", NETWORK, "--public", hub.outside, "--name", "hub")
    spare.join(hub.token("--relay"))
    for node in (left, right):
        node.join(hub.token("--tag", "edge"))
    eventually(lambda: _knows_relays_to(left, right), "left knows relays to right", _WITHIN)
    eventually(lambda: _knows_relays_to(right, left), "right knows relays to left", _WITHIN)
    return found


def test_they_reach_each_other_with_their_first_packet(world: World) -> None:
    assert world.left.ping(world.right) > 0

    peer = _peer(world.left, world.right)
    assert peer.relay in ("hub", "spare")
    assert peer.since > 0
    assert _peer(world.left, world.hub).relay == ""
    world.left.tcp(world.right)
    eventually(lambda: _peer(world.right, world.left).relay != "", "the other end says so, too", _WITHIN)


def test_a_host_learns_what_its_network_allows(world: World) -> None:
    found = world.left.ask("netcheck")

    assert {relay["name"] for relay in found["relays"] if relay["milliseconds"] is not None} == {
        "hub",
        "spare",
    }
    assert found["nats"]["IPv4"].startswith("a NAT, 203.0.113.10")
    assert found["nats"]["IPv6"] == "unknown, as no node has answered"
    said = world.left.mesh("netcheck")
    assert re.search(r"^UDP +passes$", said, re.MULTILINE)
    assert re.search(r"^relay spare +203\.0\.113\.3:51820, \d+\.\d ms$", said, re.MULTILINE)


def test_why_says_by_which_relay(world: World) -> None:
    world.left.ping(world.right)

    found = world.left.why("right")

    relay = _peer(world.left, world.right).relay
    assert found["reachable"] is True
    assert found["findings"]["path"]["text"].startswith(f"by the relay {relay}")


def test_a_ping_says_by_which_relay_it_was_answered(world: World) -> None:
    found = world.left.ask("ping", "right", "-c", "3")

    assert found["sent"] == 3
    answered = [answer for answer in found["answers"] if answer["milliseconds"]]
    assert answered
    assert {answer["relay"] for answer in answered} <= {"hub", "spare"}
    (path, *_) = found["paths"]
    assert 0 < path["least"] <= path["median"] <= path["most"]


def test_each_path_to_a_node_is_measured_beside_the_others(world: World) -> None:
    found = world.left.ask("ping", "right", "--all-paths")["paths"]

    assert {path["relay"] for path in found if path["milliseconds"]} == {"hub", "spare"}
    assert all(path["milliseconds"] is None for path in found if not path["relay"])
    assert [path["relay"] for path in found if path["in_use"]] == [_peer(world.left, world.right).relay]


def test_a_status_that_is_watched_outlives_a_restart_of_the_node(world: World) -> None:
    with Terminal(world.spare.host, program("wgpy"), "mesh", "status", "--watch", "1") as terminal:
        terminal.shows("spare of lab: the coordinator is \x1b[32mconnected")
        world.spare.kill()
        terminal.shows("does not run")
        world.spare.start()
        terminal.shows_again("spare of lab: the coordinator is")
        terminal.types("\x03")

        assert terminal.ends() == 0
        assert terminal.shown.endswith("\x1b[?1049l")

    # A relay that was restarted does not know whose session is whose until there is another handshake.
    assert _lost(world.left, world.right, 6) <= 3


def test_when_a_relay_dies_the_other_one_is_used(world: World) -> None:
    eventually(lambda: world.left.reaches(world.right), "left reaches right", _WITHIN)
    used = _peer(world.left, world.right).relay
    relay = world.hub if used == "hub" else world.spare
    relay.kill()

    assert _lost(world.left, world.right, 12) <= 6

    assert _peer(world.left, world.right).relay not in ("", used)
    relay.start()


def test_what_opens_between_them_is_used_and_left_again_when_it_closes(world: World) -> None:
    world.mend()
    world.left.kill()
    world.left.start()
    eventually(lambda: _knows_relays_to(world.left, world.right), "the node is back", _WITHIN)
    with Terminal(world.left.host, program("wgpy"), "mesh", "ping", "right") as terminal:
        terminal.shows("directly, 203.0.113.20:")
        terminal.types("\x03")
        assert terminal.ends() == 0
        assert re.search(r"^right: \d+ sent, \d+ answered; least", terminal.shown, re.MULTILINE)
    assert world.left.ping(world.right) > 0
    for one, other in ((world.left, world.right), (world.right, world.left)):
        eventually(partial(_is_direct, one, other), f"{one.name} is direct", _WITHIN)
    assert _lost(world.left, world.right, 3) == 0

    world.cut()

    assert _lost(world.left, world.right, 10) <= 6
    assert _peer(world.left, world.right).relay != ""


def test_two_nodes_that_others_can_dial_use_a_relay_while_no_line_leads_from_one_to_the_other(
    world: World,
) -> None:
    east, west = world.net.public("east", 4), world.net.public("west", 5)
    for node in (east, west):
        node.join(world.hub.token("--tag", "edge"))
    eventually(lambda: _knows(east, west) and east.reaches(west), "they reach each other", _WITHIN)
    assert _peer(east, west).relay == ""

    for node, other in ((east, west), (west, east)):
        rule = f"add rule ip line in ip saddr {other.outside} udp dport 1-65535 drop"
        node.host.run("nft", f"add table ip line; add chain ip line in {_FIRST}; {rule}")

    eventually(lambda: east.reaches(west, within=2), "a relay is between them", _WITHIN)
    assert _peer(east, west).relay != ""
    assert _lost(east, west, 5) <= 1
    for node in (east, west):
        node.host.run("nft", "delete table ip line")
    for one, other in ((east, west), (west, east)):
        eventually(partial(_is_direct, one, other), f"{one.name} is direct", _WITHIN)


def test_where_large_packets_are_dropped_a_pair_has_a_smaller_mtu_and_its_packets_their_icmp(
    world: World,
) -> None:
    rule = f"add rule ip small out ip protocol udp ip length > {_SMALL} drop"
    world.routers[0].run("nft", f"add table ip small; add chain ip small out {_FORWARD}; {rule}")
    world.left.host.run(
        "ip", "link", "set", "eth0", "gso_max_segs", "1"
    )  # the rule is not for several at once
    world.left.kill()
    world.left.start()

    eventually(lambda: _reaches_with_mtu(world.left, world.hub), "left knows what passes", _WITHIN)

    mtu = _peer(world.left, world.hub).mtu
    assert _SMALL - 60 - 24 <= mtu <= _SMALL - 60  # less IPv4, UDP and WireGuard's own, and what is padded
    large = ("ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", "1340", world.hub.address())
    eventually(lambda: "too long" in world.left.host.attempt(*large).output, "the kernel says so", _WITHIN)
    assert "larger ones are dropped" in world.left.why("hub")["findings"]["path"]["text"]
    world.left.tcp(world.hub)
    world.routers[0].run("nft", "delete table ip small")


@pytest.mark.parametrize("way", ["relayed", "direct"])
def test_an_attacker_on_the_path_reads_nothing_moves_nobody_and_has_nobody_send_more_than_it_does(
    world: World, way: str, seed: int
) -> None:
    """It records, repeats, delays, damages and spoofs what passes, and a router drops a part of it."""
    attackers = [
        _listening(world, f"{name}-{way}", number) for name, number in (("attacker", 66), ("victim", 99))
    ]
    if way == "direct":
        world.mend()
        eventually(partial(_is_direct, world.left, world.right), "they are direct", _WITHIN)
    world.routers[0].run(
        "nft", f"add table ip lossy; add chain ip lossy out {_FORWARD};"
        "add rule ip lossy out udp dport 1-65535 numgen random mod 10 0 drop",
    )  # fmt: skip
    addresses = [address for _, address in attackers]
    forging = world.net.bridge.start(sys.executable, _ATTACKER, str(_FORGING), str(seed), _SECRET, *addresses)
    pattern = _SECRET.encode().hex()
    while forging.is_running():
        ping = ("ping", "-n", "-c", "10", "-i", "0.1", "-W", "1", "-p", pattern)
        world.left.host.attempt(*ping, world.right.address())
    did = json.loads(forging.wait().output)
    world.routers[0].run("nft", "delete table ip lossy")

    assert _lost(world.left, world.right, 5) <= 1
    assert did["recorded"] > 0
    assert did["read"] == 0
    for host, address in attackers:
        assert did["sent"][address] > 0
        assert _received(host) <= did["sent"][address], address
        for node in (world.left, world.right, world.hub, world.spare):
            assert address not in node.host.run("wg", "show", "mesh0", "endpoints"), node.name
    world.left.tcp(world.right)
    for host, _ in attackers:
        host.run("ip", "link", "delete", "eth0")
    if way == "direct":
        world.cut()


def _listening(world: World, name: str, number: int) -> tuple[Host, str]:
    """Return a host of the public network that counts what comes to it, and its address."""
    host = world.net.lab.host(name)
    address = world.net.plug(host, "eth0", number)
    chain = "{ type filter hook input priority 0; }"
    rule = "add rule ip count in ip protocol udp counter drop"
    host.run("nft", f"add table ip count; add chain ip count in {chain}; {rule}")
    return host, address


def _received(host: Host) -> int:
    """Return the bytes of IP packets that it has counted."""
    found = re.search(r"counter packets \d+ bytes (\d+)", host.run("nft", "list", "table", "ip", "count"))
    assert found
    return int(found[1])


def test_a_pair_that_no_rule_joins_gets_nothing_through(world: World) -> None:
    world.hub.mesh("allow", "hub", "tag:edge", "--yes")
    eventually(lambda: not _knows(world.left, world.right), "they do not know each other", _WITHIN)

    assert not world.left.reaches(world.right, within=2)
    assert not world.left.reaches(world.spare, within=2)
    asked = world.left.attempt("ping", "right", "-c", "1")
    assert asked.status == 1
    assert "right is not reachable: none of that name is known here. `wgpy mesh" in asked.output

    world.hub.mesh("allow", "left", "right")
    eventually(lambda: _knows_relays_to(world.left, world.right), "the rule joins them", _WITHIN)
    world.left.ping(world.right)
    assert not world.right.reaches(world.left, within=2)


def _lost(one: Node, other: Node, count: int) -> int:
    """Ping once a second and return how many were not answered."""
    said = one.host.attempt("ping", "-n", "-c", str(count), "-W", "1", other.address()).output
    found = re.search(r"(\d+) received", said)
    assert found, said
    return count - int(found[1])


def _knows(one: Node, other: Node) -> bool:
    return any(peer.name == other.name for peer in one.status().peers)


def _knows_relays_to(one: Node, other: Node) -> bool:
    return any(peer.name == other.name and len(peer.relays) == 2 for peer in one.status().peers)


def _reaches_with_mtu(one: Node, other: Node) -> bool:
    return one.reaches(other) and _peer(one, other).mtu > 0


def _is_direct(one: Node, other: Node) -> bool:
    return one.reaches(other) and _peer(one, other).relay == ""


def _peer(one: Node, other: Node) -> Peer:
    return next(peer for peer in one.status().peers if peer.name == other.name)
