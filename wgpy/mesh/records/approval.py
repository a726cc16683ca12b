"""Routes that the administrator lets a node announce."""

from dataclasses import dataclass
from typing import Final

from wgpy.address import Prefix
from wgpy.mesh.signing import VerifyKey

from .base import Audience, Author, Kind, NameOf, check_count, check_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Which routes a node may announce beside those of its token: all, and no other."""

    network: bytes
    signer: VerifyKey
    sequence: int
    time: int
    identity: VerifyKey
    routes: tuple[Prefix, ...]

    def __post_init__(self) -> None:
        check_record(self)
        check_count(self.routes, "routes")


def _audit(approval: Approval, before: Approval | None, name_of: NameOf) -> str:
    routes = ", ".join(map(str, approval.routes)) or "nothing"
    return f"approval of {routes} for {name_of(approval.identity)}"


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
