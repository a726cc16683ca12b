"""How a node is reached beyond its endpoints, as the node found out itself."""

from dataclasses import dataclass
from typing import Final

from wgpy.contract.endpoint import Endpoint
from wgpy.mesh.signing import VerifyKey

from .base import NAME, Audience, Author, Kind, NameOf, check_record, count_of_nodes

MAX_ENDPOINTS: Final = 16
MAX_REGISTERED: Final = 4  # relays of a node
MAX_LATENCY: Final = 60_000  # milliseconds


@dataclass(frozen=True, slots=True)
class RegisteredRelay:
    """A relay with which a node keeps a session. latency: the round trip to it, milliseconds, coarse."""

    identity: VerifyKey
    latency: int

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if not 0 <= self.latency <= MAX_LATENCY:
            raise ValueError(f"a latency is 0 to {MAX_LATENCY} ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """What leads to a node beside the endpoints of its own record.

    sequence: the highest of an identity counts; endpoints: where else it may be, such as what NATs made of
    its address; relays: the nearest first, none if others can dial it; nat: what the NAT before it does, in a
    word, "" if there is none or nothing is known of it.
    """

    network: bytes
    signer: VerifyKey
    sequence: int
    endpoints: tuple[Endpoint, ...]
    relays: tuple[RegisteredRelay, ...]
    nat: str

    def __post_init__(self) -> None:
        """Raises ValueError."""
        check_record(self)
        if len(self.endpoints) > MAX_ENDPOINTS:
            raise ValueError(f"more than {MAX_ENDPOINTS} endpoints")
        if len(self.relays) > MAX_REGISTERED:
            raise ValueError(f"more than {MAX_REGISTERED} relays")
        if len({relay.identity for relay in self.relays}) < len(self.relays):
            raise ValueError("a node registers with a relay once")
        if self.nat and not NAME.fullmatch(self.nat):
            raise ValueError(f"{self.nat!r} is no word for a NAT: want 1 to 63 of a-z, 0-9 and -")


def _audit(paths: Paths, before: Paths | None, name_of: NameOf) -> str:
    relays = ", ".join(name_of(relay.identity) for relay in paths.relays)
    by_relays = f" by {count_of_nodes(len(paths.relays))} as relays: {relays}" if relays else ""
    behind = f", behind a NAT: {paths.nat}" if paths.nat else ""
    return f"paths to {name_of(paths.signer)}{by_relays}{behind}"


KIND: Final[Kind[Paths]] = Kind(
    name="paths",
    version=1,
    record=Paths,
    author=Author.NODE,
    audience=Audience.REACHABLE,
    limit=100_000,
    subject=lambda paths: bytes(paths.signer),
    describe=lambda paths: f"paths of {paths.signer}",
    audit=_audit,
)
