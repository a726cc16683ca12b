"""Tags that the administrator gives a node after it joined."""

from dataclasses import dataclass
from typing import Final

from wgpy.mesh.signing import VerifyKey

from .base import Audience, Author, Kind, NameOf, check_record, check_tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """Which tags a node has: all, and no other, unless its token is newer."""

    network: bytes
    signer: VerifyKey
    sequence: int
    time: int
    identity: VerifyKey
    tags: tuple[str, ...]

    def __post_init__(self) -> None:
        check_record(self)
        check_tags(self.tags)


def _audit(tags: Tags, before: Tags | None, name_of: NameOf) -> str:
    return f"tags of {name_of(tags.identity)}: {', '.join(tags.tags) or 'none'}"


KIND: Final[Kind[Tags]] = Kind(
    name="tags",
    version=1,
    record=Tags,
    author=Author.ADMINISTRATOR,
    audience=Audience.EVERYBODY,
    limit=100_000,
    subject=lambda tags: bytes(tags.identity),
    describe=lambda tags: f"tags {tags.sequence}",
    audit=_audit,
)
