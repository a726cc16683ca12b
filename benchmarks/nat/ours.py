"""wgpy's mesh, of this installation."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.integration.meshlab import NETWORK, Node


@dataclass(slots=True)
class Wgpy:
    """The hub is the coordinator and relays by default; the relays do beside it."""

    _token: str = ""

    def found(self, hub: Node, relays: Sequence[Node]) -> None:
        hub.mesh("init", NETWORK, "--public", hub.outside, "--name", hub.name, "--no-dns")
        for relay in relays:
            relay.join(hub.token("--relay"), "--no-dns")
        self._token = hub.token("--uses", "100")

    def join(self, node: Node) -> None:
        node.join(self._token, "--no-dns")

    def is_ready(self, node: Node, others: Sequence[Node]) -> bool:
        if not node.is_ready():
            return False
        peers = {peer.name: peer for peer in node.status().peers}
        known = [peers.get(other.name) for other in others]
        return all(peer is not None and (peer.endpoints or peer.relays) for peer in known)

    def address(self, node: Node) -> str:
        return node.address()

    def relaying(self, relay: Node) -> list[int]:
        return relay.agents()
