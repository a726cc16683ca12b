"""What a rule in force costs: streams between two nodes, with no rule and with one, in turn. Needs root.

    left eth0 ---- veth, MTU 1500 ---- eth0 right        wgmesh on the left; a mesh of the two
    10.10.0.1                          10.10.0.2         mesh0 ===== MTU 1380 ===== mesh0

With the rule the left node may begin and the right one may not: what comes back passes as a reply.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.suite.tools import datagrams, stream
from tests.integration.hosts import Lab, add_addresses, connect, eventually
from tests.integration.meshlab import NETWORK, Node

_ADDRESSES: Final = ("10.10.0.1", "10.10.0.2")
_UDP_SIZE: Final = 1340  # bytes, which fill a packet of the mesh
_RULE: Final = ("left", "right")


@dataclass(frozen=True, slots=True)
class Cost:
    """A measure in Gbit/s, by round: without any rule, and with one."""

    measure: str
    without: tuple[float, ...]
    with_rule: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """With the rule to without, of each round."""
        return tuple(ruled / free for ruled, free in zip(self.with_rule, self.without, strict=True))

    def row(self) -> tuple[str, ...]:
        ratio = f"{median(self.ratios):.2f} ({min(self.ratios):.2f}..{max(self.ratios):.2f})"
        return self.measure, f"{median(self.without):.2f}", f"{median(self.with_rule):.2f}", ratio


def costs(rounds: int, seconds: float) -> Iterator[Cost]:
    """Measure in interleaved rounds, of which every second one begins with the rule."""
    found: dict[str, dict[bool, list[float]]] = {name: {True: [], False: []} for name in _MEASURES}
    with _two_nodes() as (left, right):
        for number in range(rounds):
            for ruled in (True, False) if number % 2 else (False, True):
                _rule(left, right, ruled)
                for name, measure in _MEASURES.items():
                    found[name][ruled].append(measure(left, right, seconds))
                if ruled:
                    left.mesh("disallow", *_RULE, "--yes")
    for name, by_rule in found.items():
        yield Cost(name, tuple(by_rule[False]), tuple(by_rule[True]))


@contextmanager
def _two_nodes() -> Iterator[tuple[Node, Node]]:
    with TemporaryDirectory(prefix="wgpy-rules-") as folder:
        lab = Lab(Path(folder))
        try:
            hosts = [lab.host(name) for name in _RULE]
            connect(hosts[0], "eth0", hosts[1], "eth0")
            for host, address in zip(hosts, _ADDRESSES, strict=True):
                add_addresses(host, "eth0", f"{address}/24")
            left, right = (
                Node(host.name, host, address, address)
                for host, address in zip(hosts, _ADDRESSES, strict=True)
            )
            left.mesh("init", NETWORK, "--public", left.inside, "--name", left.name)
            right.join(left.token())
            yield left, right
        finally:
            lab.power_off()


def _rule(left: Node, right: Node, ruled: bool) -> None:
    """Return when both ends go by the rule, or by none."""
    if ruled:
        left.mesh("allow", *_RULE, "--yes")
    eventually(lambda: all(bool(node.status().rules) is ruled for node in (left, right)), "both know")
    left.ping(right)


def _tcp(*options: str) -> Callable[[Node, Node, float], float]:
    return lambda left, right, seconds: (
        stream(left.host, right.host, right.address(), seconds, *options).gigabits
    )


def _udp(*options: str) -> Callable[[Node, Node, float], float]:
    def measure(left: Node, right: Node, seconds: float) -> float:
        found = datagrams(left.host, right.host, right.address(), seconds, 0, _UDP_SIZE, *options)
        return found.received / 1e9

    return measure


_MEASURES: Final = {
    "TCP, 1 stream": _tcp(),
    "TCP, 1 stream back": _tcp("--reverse"),
    "UDP, 1,340 B": _udp(),
    "UDP, 1,340 B back": _udp("--reverse"),
}
