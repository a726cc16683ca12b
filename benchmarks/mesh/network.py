"""Networks of any number of nodes, with signed records."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PublicKey
from wgpy.mesh.addressing import choose_range6
from wgpy.mesh.records import (
    AdminRecord,
    Network,
    Node,
    Record,
    Removal,
    Rule,
    Token,
    admit,
    encode,
    network_id,
)
from wgpy.mesh.signing import Signed, SigningKey

DAY = 86_400  # seconds
GROUP = 10  # nodes that reach each other, if there are groups


@dataclass(slots=True)
class Model:
    """The keys and records of a network.

    tokens: one for each group; identities: of nodes, in the order in which they joined.
    """

    key: SigningKey = field(default_factory=SigningKey.generate)
    now: int = field(default_factory=lambda: int(time.time()))
    sequence: int = 0
    tokens: list[SigningKey] = field(default_factory=list)
    identities: list[SigningKey] = field(default_factory=list)
    records: list[Signed] = field(default_factory=list)

    @property
    def network(self) -> bytes:
        return network_id(self.key.verify_key())

    def sign(self, kind: Callable[..., AdminRecord], **fields: Any) -> Signed:
        self.sequence += 1
        signer = self.key.verify_key()
        record = kind(network=self.network, signer=signer, sequence=self.sequence, time=self.now, **fields)
        return self._add(self.key, record)

    def join(self) -> Signed:
        """Add a node."""
        self.identities.append(SigningKey.generate())
        return self._sign_node(len(self.identities) - 1, 1)

    def move(self, number: int) -> Signed:
        """Change the endpoints of a node."""
        return self._sign_node(number, 2)

    def remove(self, number: int) -> Signed:
        return self.sign(Removal, identity=self.identities[number].verify_key())

    def rule(self, source: str, destination: str) -> Signed:
        return self.sign(Rule, source=source, destination=destination, allowed=True)

    def _sign_node(self, number: int, sequence: int) -> Signed:
        identity, token = self.identities[number], self.tokens[number // GROUP % len(self.tokens)]
        record = Node(
            network=self.network, signer=identity.verify_key(), sequence=sequence, admitted=self.now,
            token=token.verify_key(),
            admission=admit(token, self.network, identity.verify_key(), self.now),
            name=f"node-{number}", key=PublicKey(bytes(identity.verify_key())),
            address=_ADDRESSES.network_address + 1 + number, routes=(),
            endpoints=(Endpoint("192.0.2.1", 1024 + number % 60000), Endpoint(f"10.0.{sequence}.7", 51820)),
        )  # fmt: skip
        return self._add(identity, record)

    def _add(self, key: SigningKey, record: Record) -> Signed:
        self.records.append(key.sign(encode(record)))
        return self.records[-1]


_ADDRESSES = IPv4Network("100.64.0.0/16")


def make(nodes: int, *, grouped: bool) -> Model:
    """Return a network of so many nodes. grouped: whether rules let each reach its group alone."""
    model = Model()
    model.sign(
        Network, name="prod", addresses=_ADDRESSES, addresses6=choose_range6(b"abc"),
        pool=IPv4Network("100.80.0.0/12"), mtu=1380,
    )  # fmt: skip
    for tags in _tags(nodes, grouped=grouped):
        model.tokens.append(SigningKey.generate())
        model.sign(
            Token, key=model.tokens[-1].verify_key(), expires=model.now + DAY, uses=nodes + 1, lifetime=0,
            tags=tags, routes=(),
        )  # fmt: skip
    for _ in range(nodes):
        model.join()
    if grouped:
        for (tag,) in _tags(nodes, grouped=True):
            model.rule(f"tag:{tag}", f"tag:{tag}")
    return model


def _tags(nodes: int, *, grouped: bool) -> Sequence[tuple[str, ...]]:
    return [(f"office-{number}",) for number in range(max(1, nodes // GROUP))] if grouped else [()]
