"""The end of a node's membership, by the administrator."""

from dataclasses import dataclass
from typing import Final

from wgpy.mesh.signing import VerifyKey

from .base import Audience, Author, Kind, check_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """A node is no member any more, and its identity can never be one again."""

    network: bytes
    signer: VerifyKey
    sequence: int
    time: int
    identity: VerifyKey

    def __post_init__(self) -> None:
        check_record(self)


KIND: Final[Kind[Removal]] = Kind(
    name="removal",
    version=1,
    record=Removal,
    author=Author.ADMINISTRATOR,
    audience=Audience.EVERYBODY,
    limit=400_000,
    subject=lambda removal: bytes(removal.identity),
    describe=lambda removal: f"removal {removal.sequence}",
    audit=lambda removal, before, name_of: f"removal of {name_of(removal.identity)}",
)
