"""Nodes of a network to test with: what each has on its disk."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from tests.mesh.network import DAY, Administrator, key_of
from wgpy.address import Prefix
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PrivateKey
from wgpy.mesh.records import admit
from wgpy.mesh.signing import Signed, SigningKey
from wgpy.mesh.wire import Delta
from wgpy.node.files import Journal, NodeFile

TOKEN = key_of(9)
NOBODY = "https://127.0.0.1:1"  # a coordinator that is not there


@dataclass(slots=True)
class Network:
    """An administrator and nodes, who all know each other.

    token: admits all of them; coordinator: where it is, and the hash of its key.
    """

    administrator: Administrator
    token: SigningKey = TOKEN
    url: str = NOBODY
    key_hash: bytes = bytes(32)
    nodes: list[NodeFile] = field(default_factory=list)

    @classmethod
    def found(cls, now: int, **token: object) -> "Network":
        """Begin one. now: Unix seconds; token: as for `Administrator.invite`."""
        administrator = Administrator(now=now)
        administrator.found()
        administrator.invite(TOKEN, **token)
        return cls(administrator)

    @property
    def records(self) -> list[Signed]:
        return self.administrator.records

    def join(
        self, *endpoints: Endpoint, port: int = 0, routes: tuple[Prefix, ...] = (), name: str = ""
    ) -> NodeFile:
        """Add a node. endpoints: given by its operator."""
        number = len(self.nodes) + 1
        identity, administrator = key_of(100 + number), self.administrator
        admitted = administrator.now - DAY // 2 + number
        node, signed = NodeFile(
            network=administrator.key.verify_key(), url=self.url, key_hash=self.key_hash,
            interface="mesh0", listen_port=port, identity=identity, key=PrivateKey.generate(),
            token=self.token.verify_key(), admitted=admitted,
            admission=admit(self.token, administrator.network, identity.verify_key(), admitted),
            name=name or f"n{number}", address=IPv4Address("100.80.0.0") + number, routes=routes,
            endpoints=endpoints,
        ).signed(endpoints)  # fmt: skip
        self.nodes.append(node)
        self.records.append(signed)
        return node

    def store(self, node: NodeFile, folder: Path, revision: int = 1) -> Path:
        """Write what a node has on its disk, as if it had been told everything."""
        node.save(folder)
        Journal(folder).append(Delta(revision, tuple(self.records)))
        return folder
