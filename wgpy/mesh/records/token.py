"""A token: a key to which the administrator delegates the admission of nodes."""

from dataclasses import dataclass
from typing import Final

from wgpy.address import Prefix
from wgpy.mesh.signing import VerifyKey

from .base import Audience, Author, Kind, NameOf, check_count, check_record, check_tags, count_of_nodes, short


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """The holder of the private half of `key` may admit nodes.

    expires: Unix seconds; uses: the number of nodes, which the coordinator counts; lifetime: of a node's
    membership, in seconds, 0 for ever; tags: of its nodes, unless a newer Tags gives them others; routes: its
    nodes may announce these and parts of them.
    """

    network: bytes
    signer: VerifyKey
    sequence: int
    time: int
    key: VerifyKey
    expires: int
    uses: int
    lifetime: int
    tags: tuple[str, ...]
    routes: tuple[Prefix, ...]

    def __post_init__(self) -> None:
        check_record(self)
        check_tags(self.tags)
        check_count(self.routes, "routes")


def _audit(token: Token, before: Token | None, name_of: NameOf) -> str:
    tagged = f" with tags {', '.join(token.tags)}" if token.tags else ""
    routed = f", which may announce {', '.join(map(str, token.routes))}" if token.routes else ""
    return f"token {short(token.key)} for {count_of_nodes(token.uses)}{tagged}{routed}"


KIND: Final[Kind[Token]] = Kind(
    name="token",
    version=1,
    record=Token,
    author=Author.ADMINISTRATOR,
    audience=Audience.EVERYBODY,
    limit=200_000,
    subject=lambda token: bytes(token.key),
    describe=lambda token: f"token {token.sequence}",
    audit=_audit,
)
