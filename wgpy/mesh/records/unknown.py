"""Records of later versions of this program: kept and passed on, as hosts may be a version apart."""

from typing import Final

from wgpy.contract.lazy_dataclass import dataclass
from wgpy.mesh.signing import VerifyKey

from .base import Audience, Author, Kind


@dataclass(frozen=True, slots=True)
class Unknown:
    """A record of a type, or of a version, that this program does not know.

    subject: 32 bytes that stand for its signer, its type, its version and its subject; sequence, time: as in
    an admin record, 0 if there is none.
    """

    network: bytes
    signer: VerifyKey
    type: str
    version: int
    subject: bytes
    sequence: int
    time: int


_MAX_SHOWN: Final = 63  # characters of a type, as of a name


def _shown(unknown: Unknown) -> str:
    """Return its type as one line for people: any member may sign any type, of any length."""
    return repr(unknown.type[:_MAX_SHOWN])


# Its name and version are those of no body. The network's key may sign any number; the limit is for others.
UNKNOWN: Final[Kind[Unknown]] = Kind(
    name="",
    version=0,
    record=Unknown,
    author=Author.NODE,
    audience=Audience.EVERYBODY,
    limit=1_000,
    subject=lambda unknown: unknown.subject,
    describe=lambda unknown: f"a record of the type {_shown(unknown)}, version {unknown.version}",
    audit=lambda unknown, before, name_of: (
        f"a record of the type {_shown(unknown)}, version {unknown.version}, "
        "which this coordinator does not know"
    ),
)
