"""Hosts of a mesh in several places of one public network: some with an address of it, some behind routers.

web 192.168.10.2 ── lan │ web-nat  203.0.113.10 ── net (a bridge) ── hub 203.0.113.2
"""

from dataclasses import dataclass

from tests.integration.hosts import Host, Lab, add_addresses, connect
from tests.integration.meshlab import Node
from tests.integration.topologies import masquerade

_MAPPING_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Internet:
    lab: Lab
    bridge: Host

    @classmethod
    def build(cls, lab: Lab) -> "Internet":
        bridge = lab.host("net")
        bridge.run("ip", "link", "add", "bridge", "type", "bridge")
        bridge.run("ip", "link", "set", "bridge", "up")
        return cls(lab, bridge)

    def plug(self, host: Host, card: str, number: int) -> str:
        """Give a host's card an address of the public network; return that."""
        connect(host, card, self.bridge, host.name)
        self.bridge.run("ip", "link", "set", host.name, "master", "bridge")
        address = f"203.0.113.{number}"
        add_addresses(host, card, f"{address}/24")
        return address

    def public(self, name: str, number: int) -> Node:
        """Return a host with a public address."""
        host = self.lab.host(name)
        address = self.plug(host, "eth0", number)
        return Node(name, host, address, address)

    def behind_router(self, name: str, number: int) -> tuple[Node, Host]:
        """Return a host and the router before it, which translates nothing yet."""
        host, router = self.lab.host(name), self.lab.host(f"{name}-nat")
        outside = self.plug(router, "wan", number)
        connect(host, "eth0", router, "lan")
        add_addresses(host, "eth0", f"192.168.{number}.2/24")
        add_addresses(router, "lan", f"192.168.{number}.1/24")
        host.run("ip", "route", "add", "default", "via", f"192.168.{number}.1")
        return Node(name, host, f"192.168.{number}.2", outside), router

    def behind_nat(self, name: str, number: int) -> tuple[Node, Host]:
        """Return a host and its router, which translates as Linux does and lets nothing in by itself."""
        node, router = self.behind_router(name, number)
        masquerade(router, "wan", _MAPPING_SECONDS)
        router.run("nft", "add chain ip nat in { type filter hook input priority 0; policy drop; }")
        return node, router
