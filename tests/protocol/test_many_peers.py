"""Chapter 23: a host with ten thousand peers and the paths to them, of which hardly any is used."""

import gc
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from types import FunctionType

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import AllowedIP
from wgpy.paths.exchange import Candidate, PathKind
from wgpy.paths.outputs import Ask, Output, Relay, Traffic
from wgpy.paths.rounds import BURST
from wgpy.paths.selection import KEPT_TIME, PeerPaths
from wgpy.testing import PeerConfig, Simulation

from . import whitepaper as wp

MANY = 10_000
SOME = 100
RELAYS = [Relay(bytes([n]) * 32, Endpoint(f"203.0.113.{n}", 51820), 40 * wp.MS) for n in (1, 2)]
KEEPALIVE = 25
HOUR = 3600 * wp.NS
MOST = 12 << 10  # bytes of one peer's paths


@dataclass
class Used:
    """Paths to peers that answer nothing, and what was sent because of them."""

    now: int = HOUR
    paths: list[PeerPaths] = field(default_factory=list)
    outputs: Counter[type[Output]] = field(default_factory=Counter)

    def add(self, number: int) -> None:
        paths = PeerPaths(is_leader=number % 2 == 0, traffic=lambda: Traffic(0, self.now))
        paths.keep_open(KEPT_TIME if number % 3 else 0, self.now)
        paths.set_relays(RELAYS, self.now)
        paths.set_remote(candidates(number), self.now)
        paths.take_outputs()
        self.paths.append(paths)

    def use(self, some: Iterable[PeerPaths]) -> None:
        """Send something to each of some, once, and let the time pass until none has anything to do."""
        for paths in some:
            began, now = self.now, self.now
            paths.on_sent(now)
            while (deadline := paths.next_deadline()) is not None and deadline < began + HOUR:
                now = max(now, deadline)
                paths.expire(now)
                self.outputs.update(map(type, paths.take_outputs()))
        self.now += HOUR


def candidates(number: int) -> Iterator[Candidate]:
    for last, kind in enumerate((PathKind.LAN, PathKind.IPV6, PathKind.PUBLIC, PathKind.REFLEXIVE), 1):
        address = f"2001:db8::{number:x}" if kind is PathKind.IPV6 else f"198.18.{number % 250}.{last}"
        yield Candidate(Endpoint(address, 1024 + number), kind)


def test_of_ten_thousand_peers_those_that_are_not_used_have_nothing_to_wait_for() -> None:
    used = Used()
    for number in range(MANY):
        used.add(number)
    assert not any(paths.next_deadline() for paths in used.paths)

    used.use(used.paths[:: MANY // SOME])

    assert not any(paths.next_deadline() for paths in used.paths)
    assert 0 < used.outputs[Ask] <= BURST * SOME


def test_what_the_paths_to_a_peer_keep_does_not_grow_with_use() -> None:
    used = Used()
    for number in range(6):  # leaders and others, kept open and not
        used.add(number)
    used.use(used.paths)
    before = sum(map(size_of, used.paths))

    for _ in range(10):
        used.use(used.paths)

    after = sum(map(size_of, used.paths))
    print(f"{after // len(used.paths)} bytes of a peer")
    assert after <= before * 1.1  # numbers grow
    assert after < MOST * len(used.paths)


def size_of(paths: PeerPaths) -> int:
    """Return the bytes of all that is reached from there, but code and what there is once."""
    seen: dict[int, object] = {}
    left: list[object] = [paths]
    while left:
        one = left.pop()
        if id(one) not in seen and not isinstance(one, type | FunctionType | Enum):
            seen[id(one)] = one
            left += gc.get_referents(one)
    return sum(map(sys.getsizeof, seen.values()))


def test_an_idle_host_with_ten_thousand_peers_sends_to_its_relays_and_nobody_else() -> None:
    """As much as one with ten."""
    few, many = (sent_in_an_hour(number) for number in (10, MANY))

    assert few.keys() == many.keys()
    assert all(abs(few[to] - many[to]) < 10 for to in few), "as handshakes have jitter"


def sent_in_an_hour(number: int) -> Counter[Endpoint]:
    simulation = Simulation(1)
    host, *relays = (simulation.add_node(name) for name in ("host", "relay 1", "relay 2"))
    for relay in relays:
        relay.add_peer(simulation.peer_config(host))
        host.add_peer(simulation.peer_config(relay, persistent_keepalive=KEEPALIVE))
    for one in range(number):
        inner = AllowedIP(bytes([10, 9, *divmod(one, 250)]), 32)
        host.add_peer(PeerConfig(wp.hash_(b"%d" % one), (inner,), relays[one % 2].listen))
    sent: Counter[Endpoint] = Counter()
    simulation.network.watch(
        lambda flight: sent.update([flight.destination] if flight.source == host.listen else [])
    )
    simulation.run_for(HOUR)
    return sent
