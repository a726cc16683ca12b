"""The direct paths to a peer: those that it told, those where it was heard, and which of them answer.

Invariant: there are at most MAX_PATHS, whatever the peer tells.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from wgpy.contract.constants import MILLISECOND, SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.lazy_dataclass import dataclass

from .exchange import MAX_CANDIDATES, Candidate, PathKind

MAX_PATHS: Final = 2 * MAX_CANDIDATES
FIRST_DISTRUST: Final = 2 * SECOND
LAST_DISTRUST: Final = 1800 * SECOND
FORGIVEN_TIME: Final = 300 * SECOND  # in which a path carries what it should
FRESH_TIME: Final = 20 * SECOND  # that an answer counts
_MARGIN: Final = (
    MILLISECOND  # what a better kind is worth, and by which a path must be better, besides a fifth
)


@dataclass(slots=True)
class DirectPath:
    """answered_at: None if it did not since it last failed; round_trip: ns.

    distrusted_until: it is not used before, as it passes questions and no data.
    """

    endpoint: Endpoint
    kind: PathKind
    round_trip: int = 0
    answered_at: int | None = None
    distrusted_until: int = 0
    _distrust: int = 0

    def distrust(self, now: int) -> None:
        """It answers, and the peer hears nothing by it: once may be chance, then it counts for longer."""
        if now - self.distrusted_until > FORGIVEN_TIME:
            self._distrust = 0
        self.distrusted_until = now + self._distrust
        self._distrust = min(max(2 * self._distrust, FIRST_DISTRUST), LAST_DISTRUST)

    @property
    def cost(self) -> int:
        """By kind where round trips are about the same."""
        return self.round_trip + self.kind.value * _MARGIN

    def has_answered(self, since: int) -> bool:
        return self.answered_at is not None and self.answered_at >= since

    def is_fresh(self, now: int) -> bool:
        """Whether an answer counts still."""
        return self.has_answered(now - FRESH_TIME + 1)

    def is_better(self, current: "DirectPath") -> bool:
        """By enough that it is worth the change."""
        is_better_kind = self.kind.value < current.kind.value and self.cost < current.cost
        return is_better_kind or self.cost < current.cost * 4 // 5 - _MARGIN


class DirectPaths:
    """Of one peer, by endpoint."""

    def __init__(self) -> None:
        self._paths: dict[Endpoint, DirectPath] = {}

    def get(self, endpoint: Endpoint | None) -> DirectPath | None:
        return self._paths.get(endpoint) if endpoint else None

    def endpoints(self, kinds: Sequence[PathKind]) -> tuple[Endpoint, ...]:
        """Those of these kinds, in the order in which the peer told them."""
        return tuple(path.endpoint for path in self._paths.values() if path.kind in kinds)

    def mapped(self) -> tuple[Endpoint, ...]:
        """Where the peer is for this host, if its NAT shows everybody the same, or there is none."""
        counts = self.endpoints([PathKind.PREDICTED])
        return () if counts else self.endpoints([PathKind.PUBLIC, PathKind.REFLEXIVE])

    def best(self, now: int) -> DirectPath | None:
        """The best one that has answered in FRESH_TIME."""
        fresh = [path for path in self._paths.values() if path.is_fresh(now) and path.distrusted_until <= now]
        return min(fresh, key=lambda path: path.cost, default=None)

    def distrust(self, endpoint: Endpoint | None, now: int) -> None:
        """Do not use the path there for a while."""
        if path := self.get(endpoint):
            path.distrust(now)

    def first(self) -> DirectPath | None:
        """The one that is the most likely to answer."""
        return min(self._paths.values(), key=lambda path: path.kind.value, default=None)

    def forget_answers(self) -> None:
        for path in self._paths.values():
            path.answered_at = None

    def add(self, candidates: Iterable[Candidate]) -> None:
        for endpoint, kind in candidates:
            has_room = endpoint in self._paths or len(self._paths) < MAX_PATHS
            if kind is not PathKind.RELAYED and has_room:
                self._paths.setdefault(endpoint, DirectPath(endpoint, kind)).kind = kind

    def at(self, endpoint: Endpoint) -> DirectPath | None:
        """The one there, which may be new; None if there are too many."""
        if endpoint not in self._paths:
            self.add([Candidate(endpoint, PathKind.REFLEXIVE)])
        return self._paths.get(endpoint)

    def replace(
        self, told: Sequence[Candidate], local: Iterable[Candidate], current: Endpoint | None
    ) -> None:
        """The peer told another list: forget what is neither on it nor in use, nor answers.

        Addresses of its own network count if it may be the network of this host, too. local: of this host.
        """
        near = _may_be_near(told, local)
        told = [one for one in told if near or one.kind is not PathKind.LAN]
        kept = {one.endpoint for one in told} | {current}
        self._paths = {
            endpoint: path
            for endpoint, path in self._paths.items()
            if endpoint in kept or path.answered_at is not None
        }
        self.add(told)


def _may_be_near(there: Iterable[Candidate], here: Iterable[Candidate]) -> bool:
    """Whether both may be behind one NAT."""
    outer, own = _outer_addresses(there), _outer_addresses(here)
    return not outer or not own or not outer.isdisjoint(own)


def _outer_addresses(candidates: Iterable[Candidate]) -> set[str]:
    return {
        endpoint.address for endpoint, kind in candidates if kind is not PathKind.LAN and not endpoint.is_ipv6
    }
