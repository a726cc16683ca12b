"""Hosts of a mesh beside each other, the first of which is to coordinate.

hub (coordinator)          web                        desk
br0 10.10.0.1/24 ───────── eth0 10.10.0.2/24
   └────────────────────────────────────────────────── eth0 10.10.0.3/24
"""

from dataclasses import dataclass, field

from tests.integration.hosts import Lab, add_addresses, connect
from tests.integration.meshlab import NETWORK, Coordinator, Node


def wired_pair(lab: Lab) -> tuple[Node, Node]:
    """Return hub and web on one wire, without a bridge: its ends are their eth0."""
    hub, web = Node("hub", lab.host("hub"), "10.10.0.1", ""), Node("web", lab.host("web"), "10.10.0.2", "")
    connect(hub.host, "eth0", web.host, "eth0")
    for node in (hub, web):
        add_addresses(node.host, "eth0", f"{node.inside}/24")
    return hub, web


@dataclass(slots=True)
class Lan:
    """Hosts on one bridge."""

    lab: Lab
    nodes: list[Node] = field(default_factory=list)

    def add(self, name: str) -> Node:
        number = len(self.nodes) + 1
        node = Node(name, self.lab.host(name), f"10.10.0.{number}", "")
        if self.nodes:
            connect(self.hub.host, f"w{number}", node.host, "eth0")
            self.hub.host.run("ip", "link", "set", f"w{number}", "master", "br0")
            add_addresses(node.host, "eth0", f"{node.inside}/24")
        else:
            node.host.run("ip", "link", "add", "br0", "type", "bridge")
            add_addresses(node.host, "br0", f"{node.inside}/24")
            node.host.run("ip", "link", "set", "br0", "up")
        self.nodes.append(node)
        return node

    @property
    def hub(self) -> Node:
        return self.nodes[0]

    @property
    def coordinator(self) -> Coordinator:
        return Coordinator(self.hub.host)

    def init(self, *options: str) -> str:
        return self.hub.mesh("init", NETWORK, "--public", self.hub.inside, "--name", "hub", *options)

    def joined(self, name: str, *token_options: str) -> Node:
        """Add a host that is a node."""
        node = self.add(name)
        node.join(self.hub.token(*token_options))
        return node
