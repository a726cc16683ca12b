"""wgpy's mesh."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.integration.meshlab import NETWORK, Node


@dataclass(slots=True)
class Wgpy:
    """The hub is the coordinator and relays by default; the relays do beside it. program: `wgpy`.

    What starts a daemon is run as a user runs it: a daemon of the tests is forked from a process that has
    imported it, so it starts sooner, and shares its memory.
    """

    program: str
    _token: str = ""

    def found(self, hub: Node, relays: Sequence[Node]) -> None:
        self._run(hub, "init", NETWORK, "--public", hub.outside, "--name", hub.name)
        for relay in relays:
            self._join(relay, hub.token("--relay"))
        self._token = hub.token("--uses", "1000")

    def join(self, node: Node) -> None:
        self._join(node, self._token)

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

    def _join(self, node: Node, token: str) -> None:
        self._run(node, "join", token, "--name", node.name)

    def _run(self, node: Node, *words: str) -> None:
        node.host.run(self.program, "mesh", *words, "--no-dns")
