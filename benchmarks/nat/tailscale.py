"""Tailscale's nodes, with the control server of its own tests and its relays (DERP)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.integration.hosts import eventually
from tests.integration.meshlab import Node

_SOCKET: Final = "/run/tailscale.sock"
PATHS: Final = ("--state=mem:", "--statedir=/run", f"--socket={_SOCKET}", "--no-logs-no-support")
_PEER_RELAY_PORT: Final = 40000
_STARTING: Final = 60.0  # seconds
_JOINING: Final = 120.0  # seconds


def peers_with_relay(status: Any) -> set[str]:
    """Return the names of the peers that can be reached. status: of `tailscale status --json`."""
    return {peer["HostName"] for peer in (status["Peer"] or {}).values() if peer["Relay"]}


@dataclass(slots=True)
class Tailscale:
    """daemon: the program of a node, which has the command too; lab: control server and relay.

    by_peer: the relays are nodes that relay for their peers by UDP, beside DERP.
    """

    daemon: str
    lab: str
    by_peer: bool = False
    _control: str = ""

    def found(self, hub: Node, relays: Sequence[Node]) -> None:
        relays = relays or [hub]  # no node joins without one
        self._control = f"http://{hub.outside}"
        addresses = [relay.outside for relay in relays]
        hub.host.start(self.lab, "control", hub.outside, *addresses)
        for relay in relays:
            relay.host.start(self.lab, "relay")
        for node, port in ((hub, 80), *((relay, 443) for relay in relays)):
            listens = ("ss", "-Hltn", f"sport = :{port}")
            eventually(lambda node=node, listens=listens: node.host.run(*listens) != "", "it listens")  # type: ignore[misc]
        for relay in relays if self.by_peer else ():
            self.join(relay)
            self._tailscale(relay, "set", f"--relay-server-port={_PEER_RELAY_PORT}")

    def join(self, node: Node) -> None:
        node.host.start(self.daemon, *PATHS)
        self.enter(node)

    def enter(self, node: Node) -> None:
        """Make a host a node whose daemon is started."""
        eventually(lambda: self._status(node) is not None, "tailscaled answers", _STARTING)
        self._tailscale(
            node, "up", f"--login-server={self._control}", f"--hostname={node.name}", "--accept-dns=false",
            "--netfilter-mode=off", f"--timeout={_JOINING:.0f}s",
        )  # fmt: skip

    def is_ready(self, node: Node, others: Sequence[Node]) -> bool:
        status = self._status(node)
        if status is None or not status["Self"]["Relay"]:
            return False
        return {other.name for other in others} <= peers_with_relay(status)

    def address(self, node: Node) -> str:
        return self._tailscale(node, "ip", "-4").strip()

    def relaying(self, relay: Node) -> list[int]:
        return relay.host.processes(self.daemon if self.by_peer else self.lab)

    def _status(self, node: Node) -> Any:
        said = node.host.attempt(*self._command("status", "--json"))
        return json.loads(said.output) if said.status == 0 else None

    def _tailscale(self, node: Node, *arguments: str) -> str:
        return node.host.run(*self._command(*arguments), timeout=2 * _JOINING)

    def _command(self, *arguments: str) -> tuple[str, ...]:
        return ("env", "TS_BE_CLI=1", self.daemon, f"--socket={_SOCKET}", *arguments)
