"""The end of a token."""

from dataclasses import dataclass
from typing import Final

from wgpy.mesh.signing import VerifyKey

from .base import Audience, Author, Kind, NameOf, check_record, count_of_nodes, short


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """A token admits no node any more. keep: the identities that stay, of those that it admitted.

    They are listed, since the holder of a token's private half can date an admission back.
    """

    network: bytes
    signer: VerifyKey
    sequence: int
    time: int
    token: VerifyKey
    keep: tuple[VerifyKey, ...]

    def __post_init__(self) -> None:
        check_record(self)


def _audit(revocation: Revocation, before: Revocation | None, name_of: NameOf) -> str:
    stay = count_of_nodes(len(revocation.keep))
    return f"revocation of token {short(revocation.token)}, {stay} to stay"


KIND: Final[Kind[Revocation]] = Kind(
    name="revocation",
    version=1,
    record=Revocation,
    author=Author.ADMINISTRATOR,
    audience=Audience.EVERYBODY,
    limit=200_000,
    subject=lambda revocation: bytes(revocation.token),
    describe=lambda revocation: f"revocation {revocation.sequence}",
    audit=_audit,
)
