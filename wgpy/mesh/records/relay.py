"""A relay: a node that passes on what others send each other, sealed, where they cannot reach each other.

Only the administrator makes one, as a relay learns which nodes send each other how much, and when.
"""

from dataclasses import dataclass
from typing import Final

from wgpy.mesh.signing import VerifyKey

from .base import Audience, Author, Kind, NameOf, check_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """Whether a node, or each node that a token admits, is a relay; of the two, the newer record counts.

    key: the identity of the node, or the key of the token.
    """

    network: bytes
    signer: VerifyKey
    sequence: int
    time: int
    key: VerifyKey
    allowed: bool

    def __post_init__(self) -> None:
        check_record(self)


def _audit(relay: Relay, before: Relay | None, name_of: NameOf) -> str:
    return f"{'relay' if relay.allowed else 'no more relay'}: {name_of(relay.key)}"


KIND: Final[Kind[Relay]] = Kind(
    name="relay",
    version=1,
    record=Relay,
    author=Author.ADMINISTRATOR,
    audience=Audience.EVERYBODY,
    limit=100_000,
    subject=lambda relay: bytes(relay.key),
    describe=lambda relay: f"relay {relay.sequence}",
    audit=_audit,
)
