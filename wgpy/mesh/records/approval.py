"""Routes, and zones of sites, that the administrator lets a node announce."""

from dataclasses import dataclass, field
from typing import Final

from wgpy.address import Prefix
from wgpy.mesh.codec import SPARSE
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.zones import zone_trouble

from .base import Audience, Author, Kind, NameOf, check_count, check_record

MAX_ZONE_TEXT: Final = 32_768  # characters of all zones: with the routes they fit in a body


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Which routes a node may announce beside those of its token: all, and no other.

    zones: which DNS zones its sites may have, and zones below them; no token allows any.
    """

    network: bytes
    signer: VerifyKey
    sequence: int
    time: int
    identity: VerifyKey
    routes: tuple[Prefix, ...]
    zones: tuple[str, ...] = field(default=(), metadata={SPARSE: True})

    def __post_init__(self) -> None:
        """Raises ValueError."""
        check_record(self)
        check_count(self.routes, "routes")
        check_count(self.zones, "zones")
        if sum(map(len, self.zones)) > MAX_ZONE_TEXT:
            raise ValueError(f"more than {MAX_ZONE_TEXT} characters of zones")
        if trouble := next(filter(None, map(zone_trouble, self.zones)), ""):
            raise ValueError(trouble)


def _audit(approval: Approval, before: Approval | None, name_of: NameOf) -> str:
    routes = ", ".join(map(str, approval.routes)) or "nothing"
    zones = f" and the zones {', '.join(approval.zones)}" if approval.zones else ""
    return f"approval of {routes}{zones} for {name_of(approval.identity)}"


KIND: Final[Kind[Approval]] = Kind(
    name="approval",
    version=1,
    record=Approval,
    author=Author.ADMINISTRATOR,
    audience=Audience.EVERYBODY,
    limit=100_000,
    subject=lambda approval: bytes(approval.identity),
    describe=lambda approval: f"approval {approval.sequence}",
    audit=_audit,
)
