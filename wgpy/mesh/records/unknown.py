"""Records of later versions of this program: kept and passed on, as hosts may be a version apart."""

from dataclasses import dataclass
from typing import Final

from wgpy.mesh.signing import VerifyKey

from .base import Audience, Author, Kind


@dataclass(frozen=True, slots=True)
class Unknown:
    """A record of a type, or of a version, that this program does not know. digest: that of its body."""

    network: bytes
    signer: VerifyKey
    type: str
    version: int
    digest: bytes


# Its name and version are those of no body. Its subject is unknown, so each record is its own.
UNKNOWN: Final[Kind[Unknown]] = Kind(
    name="",
    version=0,
    record=Unknown,
    author=Author.NODE,
    audience=Audience.EVERYBODY,
    limit=1_000,
    subject=lambda unknown: unknown.digest,
    describe=lambda unknown: f"a record of the type {unknown.type!r}, version {unknown.version}",
    audit=lambda unknown, before, name_of: (
        f"{unknown.type} (version {unknown.version}), which this coordinator does not know"
    ),
)
