"""DNS zones that the administrator lets the sites of a node have.

A kind of its own beside approvals, so that a program that knows no zones keeps what is approved besides.
"""

from dataclasses import dataclass
from typing import Final

from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.zones import zone_trouble

from .base import Audience, Author, Kind, NameOf, check_count, check_record

MAX_ZONE_TEXT: Final = 32_768  # characters of all zones: they fit in a body


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneApproval:
    """Which zones the sites of a node may have, and zones below them: all, and no other."""

    network: bytes
    signer: VerifyKey
    sequence: int
    time: int
    identity: VerifyKey
    zones: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raises ValueError."""
        check_record(self)
        check_count(self.zones, "zones")
        if sum(map(len, self.zones)) > MAX_ZONE_TEXT:
            raise ValueError(f"more than {MAX_ZONE_TEXT} characters of zones")
        if trouble := next(filter(None, map(zone_trouble, self.zones)), ""):
            raise ValueError(trouble)


def _audit(approval: ZoneApproval, before: ZoneApproval | None, name_of: NameOf) -> str:
    zones = ", ".join(approval.zones) or "none"
    return f"zone-approval of {zones} for sites of {name_of(approval.identity)}"


KIND: Final[Kind[ZoneApproval]] = Kind(
    name="zone-approval",
    version=1,
    record=ZoneApproval,
    author=Author.ADMINISTRATOR,
    audience=Audience.EVERYBODY,
    limit=100_000,
    subject=lambda approval: bytes(approval.identity),
    describe=lambda approval: f"zone-approval {approval.sequence}",
    audit=_audit,
)
