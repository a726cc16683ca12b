"""A node: a host of the network, with its admission."""

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from wgpy.address import Prefix
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PublicKey
from wgpy.mesh.signing import SIGNATURE_LENGTH, SigningKey, VerifyKey

from .base import Audience, Author, Kind, NameOf, check_count, check_length, check_name, check_record, short

_CHANGING: Final = ("name", "key", "address", "routes", "endpoints")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A host as it publishes itself. Its signer is its identity.

    sequence: the highest of an identity counts; admitted: the time of its admission, Unix seconds; token: the
    key that admitted it; admission: the token's signature, see `admission`; routes: prefixes behind it that
    it announces; endpoints: its addresses on the underlay, the best first.
    """

    network: bytes
    signer: VerifyKey
    sequence: int
    admitted: int
    token: VerifyKey
    admission: bytes
    name: str
    key: PublicKey
    address: IPv4Address
    routes: tuple[Prefix, ...]
    endpoints: tuple[Endpoint, ...]

    def __post_init__(self) -> None:
        check_record(self)
        check_name(self.name)
        check_count(self.routes, "routes")
        check_count(self.endpoints, "endpoints")
        check_length(self.admission, SIGNATURE_LENGTH, "an admission")
        if not self.key:
            raise ValueError("a node has a WireGuard key")

    @property
    def is_admitted(self) -> bool:
        """Whether the token that it names admitted it."""
        return self.token.verifies(admission(self.network, self.signer, self.admitted), self.admission)


def admission(network: bytes, identity: VerifyKey, admitted: int) -> bytes:
    """Return what a token signs to admit an identity. admitted: Unix seconds."""
    return b"wgpy admission 1" + network + bytes(identity) + admitted.to_bytes(8, "big")


def admit(token: SigningKey, network: bytes, identity: VerifyKey, admitted: int) -> bytes:
    """Return a token's signature for `Node.admission`."""
    return token.sign(admission(network, identity, admitted)).signature


def _audit(node: Node, before: Node | None, name_of: NameOf) -> str:
    if before is None:
        return f"{node.name} joined with {node.address} by token {short(node.token)}"
    changed = [name for name in _CHANGING if getattr(node, name) != getattr(before, name)]
    was = f", which was {before.name}" if node.name != before.name else ""
    return f"{node.name}{was}, changed: {', '.join(changed) or 'nothing'}"


KIND: Final[Kind[Node]] = Kind(
    name="node",
    version=1,
    record=Node,
    author=Author.NODE,
    audience=Audience.REACHABLE,
    limit=100_000,
    subject=lambda node: bytes(node.signer),
    describe=lambda node: f"node {node.name}",
    audit=_audit,
)
