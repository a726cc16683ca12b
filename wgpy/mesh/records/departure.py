"""The end of a node's membership, by the node itself."""

from dataclasses import dataclass
from typing import Final

from wgpy.mesh.signing import VerifyKey

from .base import Audience, Author, Kind, check_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """A node left for ever. Its signer is its identity."""

    network: bytes
    signer: VerifyKey

    def __post_init__(self) -> None:
        check_record(self)


KIND: Final[Kind[Departure]] = Kind(
    name="departure",
    version=1,
    record=Departure,
    author=Author.NODE,
    audience=Audience.EVERYBODY,
    limit=20_000,
    subject=lambda departure: bytes(departure.signer),
    describe=lambda departure: f"departure of {departure.signer}",
    audit=lambda departure, before, name_of: f"departure of {name_of(departure.signer)}",
)
