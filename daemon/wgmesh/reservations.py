"""What was proposed for sites a moment ago, and is reserved until it is announced.

Invariant: members that ask at one moment are proposed different prefixes of the pool, so that each announces
its own at the first attempt. A reservation takes nothing: where nothing else is free it is disregarded, and
what is announced is judged without it. Each coordinator knows its own reservations only.
"""

from dataclasses import dataclass
from typing import Final

from wgpy.address import Prefix
from wgpy.mesh.mapping import Proposal, WantedSite
from wgpy.mesh.records import RecordKey, sites
from wgpy.mesh.signing import VerifyKey

from .sites import propose_to
from .snapshot import Snapshot

_SECONDS: Final = 30.0  # a busy host announces what it was proposed within a few
_MAX: Final = 256  # the oldest of more is forgotten: who asked for that may have to ask again


@dataclass(frozen=True, slots=True)
class _Reservation:
    """mapped: what was proposed; until: seconds of any clock; revision: of the member's sites by then."""

    mapped: tuple[Prefix, ...]
    until: float
    revision: int


_Reservations = dict[tuple[VerifyKey, str], _Reservation]  # by member and site, the oldest first


class Reservations:
    """Of one coordinator."""

    def __init__(self) -> None:
        self._all: _Reservations = {}

    def propose(self, snapshot: Snapshot, identity: VerifyKey, wanted: WantedSite, now: float) -> Proposal:
        """Return what a member may announce, which is reserved for it. now: seconds. Raises SiteRefused."""
        key = (identity, wanted.name)
        kept = {
            other: one
            for other, one in self._all.items()
            if other != key and _is_awaited(one, snapshot, other[0], now)
        }
        proposal = propose_to(snapshot, identity, wanted, _reserved(kept, wanted.name))
        if proposal.mapped != wanted.prefixes:
            kept[key] = _Reservation(proposal.mapped, now + _SECONDS, _revision(snapshot, identity))
        self._all = dict(list(kept.items())[-_MAX:])
        return proposal


def _reserved(kept: _Reservations, name: str) -> list[Prefix]:
    """Return what is reserved for sites of other names: gateways of one site announce the same."""
    return [prefix for (_, other), one in kept.items() if other != name for prefix in one.mapped]


def _is_awaited(reservation: _Reservation, snapshot: Snapshot, identity: VerifyKey, now: float) -> bool:
    """Return whether a member has announced nothing since it was proposed something, and may still do so."""
    return now < reservation.until and _revision(snapshot, identity) == reservation.revision


def _revision(snapshot: Snapshot, identity: VerifyKey) -> int:
    """Return the revision of what a member announces, 0 for nothing."""
    entry = snapshot.entries.get(RecordKey(sites.KIND.name, bytes(identity)))
    return entry.revision if entry else 0
