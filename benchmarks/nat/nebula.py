"""Nebula's nodes: a lighthouse, two relays, and hosts that keep their NATs' mappings alive."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.integration.meshlab import Node

_FOLDER: Final = "/run/nebula"
_PORT: Final = 4242
_ANYBODY: Final = [{"port": "any", "proto": "any", "host": "any"}]


@dataclass(slots=True)
class Nebula:
    """program: of a node; cert: that signs certificates."""

    program: str
    cert: str
    _members: list[Node] = field(default_factory=list)  # the hub, the relays, and all others
    _relays: list[str] = field(default_factory=list)

    def found(self, hub: Node, relays: Sequence[Node]) -> None:
        hub.host.run("mkdir", "-p", _FOLDER)
        hub.host.run(
            self.cert, "ca", "-name", "lab", "-out-crt", f"{_FOLDER}/ca.crt", "-out-key", f"{_FOLDER}/ca.key"
        )
        self._relays = [f"10.42.0.{number}" for number in range(2, 2 + len(relays))]
        for node in (hub, *relays):
            self.join(node)

    def join(self, node: Node) -> None:
        self._members.append(node)
        self._certify(node)
        node.host.write(f"{_FOLDER}/config.yml", json.dumps(self._config(node)))
        node.host.start(self.program, "-config", f"{_FOLDER}/config.yml")

    def is_ready(self, node: Node, others: Sequence[Node]) -> bool:
        """Whether it reaches the lighthouse, which tells it of others when it asks."""
        lighthouse = self.address(self._members[0])
        return node.host.attempt("ping", "-n", "-c", "1", "-W", "1", lighthouse).status == 0

    def address(self, node: Node) -> str:
        return f"10.42.0.{1 + self._members.index(node)}"

    def relaying(self, relay: Node) -> list[int]:
        return relay.host.processes(self.program)

    def _certify(self, node: Node) -> None:
        hub = self._members[0].host
        names = {kind: f"{_FOLDER}/{node.name}.{kind}" for kind in ("crt", "key")}
        hub.run(
            self.cert, "sign", "-name", node.name, "-ip", f"{self.address(node)}/24",
            "-ca-crt", f"{_FOLDER}/ca.crt", "-ca-key", f"{_FOLDER}/ca.key",
            "-out-crt", names["crt"], "-out-key", names["key"],
        )  # fmt: skip
        for name, source in (
            ("ca.crt", f"{_FOLDER}/ca.crt"),
            ("host.crt", names["crt"]),
            ("host.key", names["key"]),
        ):
            node.host.write(f"{_FOLDER}/{name}", hub.path(source).read_text())

    def _config(self, node: Node) -> dict[str, Any]:
        """Return what its example says, with all that helps through NATs."""
        lighthouse, own = self.address(self._members[0]), self.address(node)
        is_lighthouse, is_relay = own == lighthouse, own in self._relays
        return {
            "pki": {
                key: f"{_FOLDER}/{file}"
                for key, file in (("ca", "ca.crt"), ("cert", "host.crt"), ("key", "host.key"))
            },
            "static_host_map": {} if is_lighthouse else {lighthouse: [f"{self._members[0].outside}:{_PORT}"]},
            "lighthouse": {"am_lighthouse": is_lighthouse, "hosts": [] if is_lighthouse else [lighthouse]},
            "listen": {"host": "0.0.0.0", "port": _PORT},
            "punchy": {"punch": True, "respond": True},
            "relay": {"am_relay": is_relay, "use_relays": True, "relays": [] if is_relay else self._relays},
            "tun": {"dev": "nebula1"},
            "firewall": {"outbound": _ANYBODY, "inbound": _ANYBODY},
        }
