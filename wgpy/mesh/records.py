"""What can be said in a network, and by whom.

A body is one JSON object in its only spelling: sorted keys, no spaces, ASCII, whole numbers. What does not
encode to the bytes that it was decoded from is refused, so a record cannot be said in two ways. Every body
says which network it is of, its type and the version of that type. What an older node does not know is an
`Unknown`: it is kept and passed on.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any, ClassVar, Final

from wgpy.address import Prefix
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PublicKey
from wgpy.mesh import codec
from wgpy.mesh.signing import SIGNATURE_LENGTH, SigningKey, VerifyKey

NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
MAX_ITEMS: Final = 256  # routes, say: what is compared with each other
MIN_MTU, MAX_MTU = 1280, 65535
NETWORK_ID_LENGTH: Final = 16


class RecordInvalid(ValueError):
    """A body is no record; the message says why."""


def network_id(key: VerifyKey) -> bytes:
    """Return the 16 bytes that name a network: who has another key is in another network."""
    return hashlib.blake2s(b"wgpy network" + bytes(key), digest_size=NETWORK_ID_LENGTH).digest()


# -- Records --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """network: the id of the network that it is of; signer: whose signature makes it genuine."""

    TYPE: ClassVar[str] = ""
    VERSION: ClassVar[int] = 1

    network: bytes
    signer: VerifyKey

    def __post_init__(self) -> None:
        for name in ("tags", "routes", "endpoints"):
            if len(getattr(self, name, ())) > MAX_ITEMS:
                raise ValueError(f"more than {MAX_ITEMS} {name}")
        self.check()

    def check(self) -> None:
        """Raises ValueError if the fields make no sense together."""
        _check_length(self.network, NETWORK_ID_LENGTH, "a network's id")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminRecord(Record):
    """What the administrator says. Its signer is the network's key.

    sequence: counts all decrees of a network from 1; time: of its making, Unix seconds.
    """

    sequence: int
    time: int

    @property
    def subject(self) -> bytes:
        """Which earlier decrees of its type it takes the place of."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Network(AdminRecord):
    """One mesh.

    addresses: of its nodes; addresses6: a /32 for nodes and sites; pool: for mapped sites; mtu: of its
    interfaces.
    """

    TYPE: ClassVar[str] = "network"

    name: str
    addresses: IPv4Network
    addresses6: IPv6Network
    pool: IPv4Network
    mtu: int

    def check(self) -> None:
        AdminRecord.check(self)
        _check_name(self.name)
        if self.network != network_id(self.signer):
            raise ValueError("a network's id is made from its key")
        if self.addresses6.prefixlen != 32:
            raise ValueError("a network's IPv6 prefix is a /32")
        if self.addresses.overlaps(self.pool):
            raise ValueError("a network's addresses and its pool overlap")
        if not MIN_MTU <= self.mtu <= MAX_MTU:
            raise ValueError(f"a network's MTU is {MIN_MTU} to {MAX_MTU}")

    @property
    def subject(self) -> bytes:
        return b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token(AdminRecord):
    """Who holds the private half of `key` may admit nodes.

    expires: when no longer, Unix seconds; uses: how many, which is for the coordinator to count; lifetime: of
    a node's membership, in seconds, 0 for ever; tags: that its nodes have; routes: they may announce these
    and parts of them.
    """

    TYPE: ClassVar[str] = "token"

    key: VerifyKey
    expires: int
    uses: int
    lifetime: int
    tags: tuple[str, ...]
    routes: tuple[Prefix, ...]

    def check(self) -> None:
        AdminRecord.check(self)
        _check_sorted(self.tags)
        for tag in self.tags:
            _check_name(tag)

    @property
    def subject(self) -> bytes:
        return bytes(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation(AdminRecord):
    """A token admits nobody any more. keep: the identities that stay of those whom it admitted.

    They are named, since who holds a token's private half can admit with whatever date it likes.
    """

    TYPE: ClassVar[str] = "revocation"

    token: VerifyKey
    keep: tuple[VerifyKey, ...]

    @property
    def subject(self) -> bytes:
        return bytes(self.token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal(AdminRecord):
    """A node is no member any more, and its identity will never be one."""

    TYPE: ClassVar[str] = "removal"

    identity: VerifyKey

    @property
    def subject(self) -> bytes:
        return bytes(self.identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval(AdminRecord):
    """Which routes a node may announce beside those of its token: all, and no other."""

    TYPE: ClassVar[str] = "approval"

    identity: VerifyKey
    routes: tuple[Prefix, ...]

    @property
    def subject(self) -> bytes:
        return bytes(self.identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(AdminRecord):
    """Who may reach whom.

    source, destination: `any`, `node:NAME` or `tag:NAME`; allowed: False takes the rule back.
    """

    TYPE: ClassVar[str] = "rule"

    source: str
    destination: str
    allowed: bool

    def check(self) -> None:
        AdminRecord.check(self)
        for selector in (self.source, self.destination):
            kind, _, name = selector.partition(":")
            if selector != "any" and not (kind in ("node", "tag") and NAME.fullmatch(name)):
                raise ValueError(f"{selector!r} is not any, node:NAME or tag:NAME")

    @property
    def subject(self) -> bytes:
        return f"{self.source} {self.destination}".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Node(Record):
    """A host says what it is. Its signer is its identity.

    sequence: the highest of an identity counts; admitted: when, by the clock of then, Unix seconds; token:
    who admitted it; admission: the token's signature, see `admission`; routes: prefixes behind it that it
    announces; endpoints: where it may be reached, the best first.
    """

    TYPE: ClassVar[str] = "node"

    sequence: int
    admitted: int
    token: VerifyKey
    admission: bytes
    name: str
    key: PublicKey
    address: IPv4Address
    routes: tuple[Prefix, ...]
    endpoints: tuple[Endpoint, ...]

    def check(self) -> None:
        Record.check(self)
        _check_name(self.name)
        _check_length(self.admission, SIGNATURE_LENGTH, "an admission")
        if not self.key:
            raise ValueError("a node has a WireGuard key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure(Record):
    """A node left for ever, and says so. Its signer is its identity."""

    TYPE: ClassVar[str] = "departure"


@dataclass(frozen=True, slots=True)
class Unknown:
    """A record of a type, or of a version, that this program does not know."""

    network: bytes
    signer: VerifyKey
    type: str
    version: int


def admission(network: bytes, identity: VerifyKey, admitted: int) -> bytes:
    """Return what a token signs to admit an identity. admitted: Unix seconds."""
    return b"wgpy admission 1" + network + bytes(identity) + admitted.to_bytes(8, "big")


def admit(token: SigningKey, network: bytes, identity: VerifyKey, admitted: int) -> bytes:
    """Return a token's signature for `Node.admission`."""
    return token.sign(admission(network, identity, admitted)).signature


# -- Bodies ---------------------------------------------------------------------------------------


def encode(record: Record) -> bytes:
    """Return the body of a record. Raises ValueError if it is too large for one."""
    kind = type(record)
    return _spelled({"type": kind.TYPE, "version": kind.VERSION, **codec.write(record)})


def decode(body: bytes) -> Record | Unknown:
    """Raises RecordInvalid."""
    try:
        found = json.loads(body)
        if not isinstance(found, dict) or _spelled(found) != body:
            raise ValueError("not in its only spelling")
        return _record(found, body)
    except RecordInvalid:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RecordInvalid(f"a record is damaged: {error}") from None


def _record(found: dict[str, Any], body: bytes) -> Record | Unknown:
    """Raises whatever Python does where something is missing or of another type."""
    name, version = codec.STRING.read(found["type"]), codec.NUMBER.read(found["version"])
    kind = _KINDS.get((name, version))
    if kind is None:
        network, signer = codec.BYTES.read(found["network"]), codec.VERIFY_KEY.read(found["signer"])
        return Unknown(network, signer, name, version)
    record = codec.read(kind, found)
    if encode(record) != body:
        raise ValueError("it says more than it should, or otherwise")
    return record


def _spelled(said: dict[str, Any]) -> bytes:
    return json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


_TYPES: Final = (Network, Token, Revocation, Removal, Approval, Rule, Node, Departure)
_KINDS: Final[dict[tuple[str, int], type[Record]]] = {(kind.TYPE, kind.VERSION): kind for kind in _TYPES}


def _check_length(data: bytes, length: int, what: str) -> None:
    if len(data) != length:
        raise ValueError(f"{what} has {length} bytes, not {len(data)}")


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: want 1 to 63 of a-z, 0-9 and -, none of them - at an end")


def _check_sorted(items: tuple[str, ...]) -> None:
    if list(items) != sorted(set(items)):
        raise ValueError("tags are sorted, each once")
