"""Every pair of kinds of access networks is connected, all at once, and directly wherever theory allows.

A host of each kind, see `access`, and a hub with both versions of IP, which is coordinator and relay. With
WGPY_MATRIX=2 there are two of each kind, so that each meets its like, too.
"""

import os
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Final

import pytest

from tests.integration.access import stand_with_neighbour
from tests.integration.hosts import Lab, eventually
from tests.integration.internet import Internet
from tests.integration.meshlab import NETWORK, Node
from tests.protocol.access_kinds import KINDS, expected
from wgpy.node.agent_client import Status

# One group with the forty sites: dozens of daemons start in each, and together they starve all others.
pytestmark = [pytest.mark.xdist_group("dozens"), pytest.mark.slow, pytest.mark.timeout(900)]

_EACH: Final = int(os.environ.get("WGPY_MATRIX", "1"))
_NAME: Final = "vpn.example"  # of the hub
_WITHIN: Final = 120.0  # seconds: hosts are slow where many tests run
_INTERVAL: Final = 0.5  # seconds between pings
_PAUSE: Final = 0.5  # seconds between looks at what paths there are
_BESIDE: Final = ", the same NAT"
# Which port others see depends on who sends first.
_RACING: Final = {"Linux, input open"}
_ANSWER: Final = re.compile(r"icmp_seq=(\d+) .*time=([0-9.]+) ms")


@dataclass(slots=True)
class Pair:
    """Two nodes, the first of which pings the other. direct: seconds until both sent directly, or None."""

    one: Node
    other: Node
    kinds: tuple[str, str]
    direct: float | None = None

    @property
    def ping(self) -> str:
        return f"ping -n -i {_INTERVAL} {self.other.address()} > {self._log} &"

    @property
    def _log(self) -> str:
        return f"/run/{self.other.name}.ping"

    def answers(self) -> list[tuple[int, float]]:
        """Return which pings were answered, and after how many milliseconds."""
        log = self.one.host.path(self._log)
        said = log.read_text() if log.exists() else ""
        return [(int(number), float(taken)) for number, taken in _ANSWER.findall(said)]

    @property
    def is_connected(self) -> bool:
        return bool(self.answers())

    @property
    def may_be_direct(self) -> bool:
        left, right = (kind.removesuffix(_BESIDE) for kind in self.kinds)
        return expected(left, right)

    @property
    def must_be_direct(self) -> bool:
        return self.may_be_direct and not _RACING & set(self.kinds)

    @property
    def is_done(self) -> bool:
        return self.is_connected and (self.direct is not None or not self.must_be_direct)

    def look(self, seen: dict[str, Status], seconds: float) -> None:
        is_direct = _is_direct(seen, self.one, self.other) and _is_direct(seen, self.other, self.one)
        self.direct = (self.direct or seconds) if is_direct else None

    def __str__(self) -> str:
        answers = self.answers()
        if not answers:
            return f"{' and '.join(self.kinds)}: no answer"
        number, taken = answers[0]
        first = (number - 1) * _INTERVAL + taken / 1000
        direct = "not direct" if self.direct is None else f"direct after {self.direct:.1f} s"
        lost = max(number for number, _ in answers) - len(answers)
        return f"{' and '.join(self.kinds)}: first answer after {first:.2f} s, {direct}, {lost} lost"


def _is_direct(seen: dict[str, Status], one: Node, other: Node) -> bool:
    peer = next(peer for peer in seen[one.name].peers if peer.name == other.name)
    return peer.last_handshake > 0 and peer.relay == ""


# -- The lab -----------------------------------------------------------------------------------------


def _build(lab: Lab) -> tuple[Node, list[tuple[str, tuple[Node, ...]]]]:
    """Return the hub, and by kind the hosts behind one NAT or none; none of them is in a mesh yet."""
    net = Internet.build(lab)
    hub = net.public("hub", 2)
    net.plug6(hub.host, "eth6", 2)
    hosts = [
        (kind, stand_with_neighbour(net, kind, 10 + len(KINDS) * copy + place, copy))
        for copy in range(_EACH)
        for place, kind in enumerate(KINDS)
    ]
    for node in (hub, *(node for _, nodes in hosts for node in nodes)):
        node.host.write("/run/hosts", f"127.0.0.1 localhost\n203.0.113.2 {_NAME}\n2001:db8::2 {_NAME}\n")
        node.host.run("mount", "--bind", "/run/hosts", "/etc/hosts")
    return hub, hosts


@pytest.fixture(scope="module")
def pairs(module_lab: Lab) -> Sequence[Pair]:
    """Build it, let all know of each other at one moment, and have all pairs talk until all is done."""
    hub, hosts = _build(module_lab)
    hub.mesh("init", NETWORK, "--public", _NAME, "--name", "hub", "--no-dns")
    hub.mesh("allow", "hub", "tag:any", "--yes", "--anyway")
    nodes = [node for _, nodes in hosts for node in nodes]
    token = hub.token("--tag", "any", "--uses", str(len(nodes)))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda node: node.join(token, "--no-dns"), nodes))
    made = [*_pairs([(kind, nodes[0]) for kind, nodes in hosts]), *_neighbours(hosts)]
    hub.mesh("disallow", "hub", "tag:any", "--yes")
    for node in nodes:
        eventually(partial(_knows_all, node, len(nodes)), f"{node.name} knows how to reach all", _WITHIN)
    _talk(nodes, made)
    return made


def _pairs(hosts: Sequence[tuple[str, Node]]) -> Iterator[Pair]:
    """Yield all, and have each host begin about half of its own."""
    for place, (one, other) in enumerate(combinations(hosts, 2)):
        (kind, node), (its, peer) = (one, other) if place % 2 else (other, one)
        yield Pair(node, peer, (kind, its))


def _neighbours(hosts: Sequence[tuple[str, tuple[Node, ...]]]) -> Iterator[Pair]:
    """Yield those behind one NAT: in one network, or by its hairpin."""
    for kind, nodes in hosts:
        for one, other in combinations(nodes, 2):
            yield Pair(one, other, (kind, kind + _BESIDE))


def _knows_all(node: Node, count: int) -> bool:
    """Whether a node knows of every other one where it is, or by which relay."""
    return sum(bool(peer.endpoints or peer.relays) for peer in node.status().peers) == count


def _talk(nodes: Sequence[Node], pairs: Sequence[Pair]) -> None:
    pings = {node.name: [pair.ping for pair in pairs if pair.one is node] for node in nodes}
    began = time.monotonic()
    for node in nodes:
        node.host.start("sh", "-c", f"{' '.join(pings[node.name])} wait")
    while time.monotonic() < began + _WITHIN and not all(pair.is_done for pair in pairs):
        time.sleep(_PAUSE)
        seen = {node.name: node.status() for node in nodes}
        for pair in pairs:
            pair.look(seen, time.monotonic() - began)


# -- What is so --------------------------------------------------------------------------------------


def test_every_pair_is_connected(pairs: Sequence[Pair]) -> None:
    print(*pairs, sep="\n")

    assert [str(pair) for pair in pairs if not pair.is_connected] == []


def test_every_pair_is_direct_where_theory_allows_and_relayed_elsewhere(pairs: Sequence[Pair]) -> None:
    assert [str(pair) for pair in pairs if pair.must_be_direct and pair.direct is None] == []
    assert [str(pair) for pair in pairs if not pair.may_be_direct and pair.direct is not None] == []
