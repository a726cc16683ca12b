"""TCP from pod to pod across two sites, whose nodes are in one tunnel: routed, and by VXLAN.

pod eth0 ── cni0 left eth0 ──────── eth0 right cni0 ── eth0 pod      MTU 1500
10.244.1.2        wgbench0 ════════ wgbench0        10.244.2.2       tunnel, MTU 1420
                  vxlan0, over wgbench0 or over eth0

On a node, a packet of a pod passes a veth, the CNI's bridge, the kernel's routes and maybe a VXLAN: so these
are all that is made here. kubelet, containerd and the CNI's plugins only make them, and no packet passes
those. VXLAN without a tunnel encrypts nothing, and is the limit of any overlay.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.suite.namespaces import INSIDE, INSIDE6, INTERFACE, MTU, OUTSIDE, tunnel_of_two
from benchmarks.suite.rounds import Turn
from benchmarks.suite.tools import STARTING, stream
from benchmarks.suite.values import Measure, Plan, Row, Samples, Setting
from tests.integration.hosts import Host, add_addresses, connect

OVERLAY: Final = "vxlan0"
_BRIDGE: Final = "cni0"
_RANGES: Final = ("10.244.1", "10.244.2")  # of 256 addresses each
_MACS: Final = ("02:00:00:00:00:01", "02:00:00:00:00:02")
_VXLAN_HEADERS: Final = 50  # bytes, over IPv4
_WIRE_MTU: Final = 1500


@dataclass(frozen=True, slots=True)
class Way:
    """How pods' packets pass from node to node. mtu: of pods; ends: of the VXLAN, over a link."""

    name: str
    mtu: int
    link: str = ""
    ends: tuple[str, str] = ("", "")


ROUTED: Final = Way("routed", MTU)
ENCAPSULATED: Final = Way("vxlan", MTU - _VXLAN_HEADERS, INTERFACE, INSIDE)
PLAIN: Final = Way("plain", _WIRE_MTU - _VXLAN_HEADERS, "eth0", OUTSIDE)


@dataclass(frozen=True, slots=True)
class Sites:
    """Two nodes, left and right, with a pod each."""

    turn: Turn
    nodes: tuple[Host, Host]
    pods: tuple[Host, Host]

    def gigabits(self, way: Way, seconds: float) -> float:
        """Return the rate of a stream from the left pod to the right one."""
        self.take(way)
        return stream(*self.pods, address_of_pod(1), seconds).gigabits

    def take(self, way: Way) -> None:
        """Have pods' packets pass by this way, and wait until a ping does."""
        for here, (node, pod) in enumerate(zip(self.nodes, self.pods, strict=True)):
            for host, card in ((pod, "eth0"), (node, "pod"), (node, _BRIDGE)):
                host.run("ip", "link", "set", card, "mtu", str(way.mtu))
            node.attempt("ip", "link", "delete", OVERLAY)
            _lead(node, here, way)
        self.pods[0].run("ping", "-n", "-c", "1", "-W", "10", address_of_pod(1))


def address_of_pod(number: int) -> str:
    return f"{_RANGES[number]}.2"


# -- What is built ---------------------------------------------------------------------------------


def _sites(turn: Turn) -> Sites:
    left, right, _ = tunnel_of_two(turn)
    nodes = (left, right)
    for here, node in enumerate(nodes):
        peer = node.run("wg", "show", INTERFACE, "peers").strip()
        allowed = (INSIDE[1 - here], INSIDE6[1 - here], f"{_RANGES[1 - here]}.0/24")
        node.run("wg", "set", INTERFACE, "peer", peer, "allowed-ips", ",".join(allowed))
    pods = (turn.host("left-pod"), turn.host("right-pod"))
    for node, pod, prefix in zip(nodes, pods, _RANGES, strict=True):
        _join(node, pod, prefix)
    return Sites(turn, nodes, pods)


def _join(node: Host, pod: Host, prefix: str) -> None:
    """Do as a CNI with a bridge does."""
    node.run("ip", "link", "add", _BRIDGE, "type", "bridge")
    add_addresses(node, _BRIDGE, f"{prefix}.1/24")
    connect(node, "pod", pod, "eth0")
    node.run("ip", "link", "set", "pod", "master", _BRIDGE)
    node.run("ip", "link", "set", _BRIDGE, "up")
    node.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    add_addresses(pod, "eth0", f"{prefix}.2/24")
    pod.run("ip", "route", "add", "default", "via", f"{prefix}.1")


def _lead(node: Host, here: int, way: Way) -> None:
    """Lead the other node's range this way; a VXLAN learns nothing from packets, as flannel's."""
    there, run = 1 - here, node.run
    to_range = ("ip", "route", "replace", f"{_RANGES[there]}.0/24")
    if not way.link:
        run(*to_range, "dev", INTERFACE)
        return
    run(
        *("ip", "link", "add", OVERLAY, "address", _MACS[here], "mtu", str(way.mtu), "type", "vxlan"),
        *("id", "1", "dstport", "8472", "local", way.ends[here], "dev", way.link, "nolearning", "udpcsum"),
    )
    run("ip", "link", "set", OVERLAY, "up")
    end = f"{_RANGES[there]}.0"
    run("bridge", "fdb", "append", _MACS[there], "dev", OVERLAY, "dst", way.ends[there])
    run("ip", "neighbour", "add", end, "lladdr", _MACS[there], "dev", OVERLAY)
    run(*to_range, "via", end, "dev", OVERLAY, "onlink")


# -- What is measured ------------------------------------------------------------------------------

WAYS: Final[Sequence[Way]] = (PLAIN, ROUTED, ENCAPSULATED)


def _measured(sites: Sites, seconds: float) -> Samples:
    ways = WAYS if sites.turn.round % 2 else WAYS[::-1]
    return {f"pods_{way.name}": sites.gigabits(way, seconds) for way in ways}


PODS: Final = Setting(
    "pods",
    _sites,
    (
        Row(
            "pods",
            "TCP from pod to pod",
            (
                Measure("pods_plain", "pod to pod, VXLAN without a tunnel", "Gbit/s", more_is_better=True),
                Measure(
                    "pods_routed", "pod to pod, routed", "Gbit/s", more_is_better=True, beside="pods_plain"
                ),
                Measure(
                    "pods_vxlan", "pod to pod, VXLAN", "Gbit/s", more_is_better=True, beside="pods_routed"
                ),
            ),
            _measured,
            Plan.FULL,
            streams=3,
            seconds=3 * STARTING + 1,
            rulers=False,
        ),
    ),
    seconds=4,
)
