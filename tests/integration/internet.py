"""Hosts of a mesh in several places of one public network: some with an address of it, some behind routers.

web 192.168.10.2 ── lan │ web-nat  203.0.113.10 ── net (a bridge) ── hub 203.0.113.2
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.integration.hosts import Host, Lab, add_addresses, connect
from tests.integration.meshlab import Node
from tests.integration.topologies import masquerade

_MAPPING_SECONDS = 30

Plug = Callable[[Host, str, int], str]


@dataclass(frozen=True, slots=True)
class Internet:
    """prefix: of the public network, a /24."""

    lab: Lab
    bridge: Host
    prefix: str

    @classmethod
    def build(cls, lab: Lab, prefix: str = "203.0.113") -> "Internet":
        bridge = lab.host("net")
        add_bridge(bridge, "bridge")
        return cls(lab, bridge, prefix)

    def plug(self, host: Host, card: str, number: int) -> str:
        """Give a host's card an address of the public network; return that."""
        attach(host, card, self.bridge, "bridge")
        address = f"{self.prefix}.{number}"
        add_addresses(host, card, f"{address}/24")
        return address

    def plug6(self, host: Host, card: str, number: int) -> str:
        """The same with IPv6."""
        attach(host, card, self.bridge, "bridge")
        address = f"2001:db8::{number}"
        add_addresses(host, card, f"{address}/64")
        return address

    def public(self, name: str, number: int) -> Node:
        """Return a host with a public address."""
        host = self.lab.host(name)
        address = self.plug(host, "eth0", number)
        return Node(name, host, address, address)

    def behind_router(self, name: str, number: int, plug: Plug | None = None) -> tuple[Node, Host]:
        """Return a host and the router before it, which translates nothing yet.

        plug: connects the router to what it is behind, and returns its address; None for this network.
        """
        router = self.lab.host(f"{name}-nat")
        outside = (plug or self.plug)(router, "wan", number)
        add_bridge(router, "lan")
        add_addresses(router, "lan", f"192.168.{number}.1/24")
        return self.inside(name, router, number, 2, outside), router

    def inside(self, name: str, router: Host, number: int, last: int, outside: str = "") -> Node:
        """Return one more host behind a router. number: the router's; last: of the host's address."""
        host = self.lab.host(name)
        attach(host, "eth0", router, "lan")
        add_addresses(host, "eth0", f"192.168.{number}.{last}/24")
        host.run("ip", "route", "add", "default", "via", f"192.168.{number}.1")
        return Node(name, host, f"192.168.{number}.{last}", outside)

    def behind_nat(self, name: str, number: int, plug: Plug | None = None) -> tuple[Node, Host]:
        """Return a host and its router, which translates as Linux does and lets nothing in by itself."""
        node, router = self.behind_router(name, number, plug)
        masquerade(router, "wan", _MAPPING_SECONDS)
        router.run("nft", "add chain ip nat in { type filter hook input priority 0; policy drop; }")
        return node, router


def add_bridge(host: Host, name: str) -> None:
    host.run("ip", "link", "add", name, "type", "bridge")
    host.run("ip", "link", "set", name, "up")


def attach(host: Host, card: str, hub: Host, bridge: str) -> None:
    """Connect a host's card to a bridge of another one."""
    port = f"{host.name}-{card}"[-15:]
    connect(host, card, hub, port)
    hub.run("ip", "link", "set", port, "master", bridge)


def forward_nothing(router: Host, of: str = "") -> None:
    """Let a router forward nothing, or nothing of what nftables calls so, until its table `shut` is gone."""
    chain = "{ type filter hook forward priority 0; }"
    router.run("nft", f"add table ip shut; add chain ip shut f {chain}; add rule ip shut f {of} drop")
