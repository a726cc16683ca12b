"""Which gateway of a site a node uses: the first by priority that answers, judged while traffic flows. Pure.

A gateway in use to which this node sends, and from which nothing authentic comes for a second, is probed; if
the probe is not answered either, the next one is used. A gateway that failed is probed after a pause, and is
used again if it answers; the pause doubles as long as the gateway keeps failing.

Invariant: a site has one gateway at a time; while nothing is sent to it, and no gateway that failed speaks,
there is no deadline and no probe.
Times are boottime ns.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from wgpy.contract.constants import MILLISECOND, SECOND
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.mesh.signing import VerifyKey

SILENCE: Final = SECOND  # after which a gateway is probed
ANSWER_TIME: Final = 1200 * MILLISECOND  # in which a probe is answered
FIRST_PAUSE: Final = 10 * SECOND  # until a gateway that failed is probed
LAST_PAUSE: Final = 320 * SECOND
_FORGIVEN_AFTER: Final = 10  # pauses without a failure


class Traffic(NamedTuple):
    """With a gateway, 0 for never.

    received: when data last came; unanswered: when the oldest was sent that nothing authentic followed.
    """

    received: int
    unanswered: int


@dataclass(slots=True)
class _Failure:
    """Of a gateway. since: when it failed last; until: when it is probed; is_over: it has answered since."""

    since: int
    pause: int
    until: int
    is_over: bool = False


class Failover:
    """Of one node."""

    def __init__(self, traffic: Callable[[VerifyKey], Traffic]) -> None:
        """traffic: what passed between this node and a gateway."""
        self._traffic = traffic
        self._sites: tuple[tuple[VerifyKey, ...], ...] = ()
        self._failures: dict[VerifyKey, _Failure] = {}
        self._checks: dict[VerifyKey, int] = {}  # when to look at a gateway in use
        self._probed: dict[VerifyKey, int] = {}  # of these: what was unanswered when they were probed
        self._returns: dict[VerifyKey, int] = {}  # when to look at a gateway that fails
        self._asked: dict[VerifyKey, int] = {}  # of these: when they were probed

    @property
    def gateways(self) -> frozenset[VerifyKey]:
        """Those of sites that have several: what is sent to them is to be told."""
        return frozenset(gateway for site in self._sites for gateway in site)

    def configure(self, sites: Iterable[Sequence[VerifyKey]], now: int) -> None:
        """sites: for each the gateways that are peers, by priority."""
        before = self._used()
        self._sites = tuple(tuple(site) for site in sites if len(site) > 1)
        known = self.gateways
        for table in (self._failures, self._checks, self._probed, self._returns, self._asked):
            for gateway in table.keys() - known:
                del table[gateway]
        for gateway in self._used() - before:  # nobody tells again of what was sent before
            if self._traffic(gateway).unanswered:
                self.sent(gateway, now)

    def choose(self, gateways: Sequence[VerifyKey]) -> VerifyKey:
        """Return the one to use; while all fail, the one that has not failed for the longest time."""
        working = (gateway for gateway in gateways if not self.is_failing(gateway))
        return next(working, None) or min(gateways, key=lambda gateway: self._failures[gateway].since)

    def is_failing(self, gateway: VerifyKey) -> bool:
        failure = self._failures.get(gateway)
        return failure is not None and not failure.is_over

    # -- Input ---------------------------------------------------------------------------------------

    def sent(self, gateway: VerifyKey, now: int) -> None:
        """Something was sent to it that is not answered yet."""
        if not self._is_used(gateway):
            return
        self._checks.setdefault(gateway, now)
        for preferred in self._preferred_to(gateway):
            self._returns.setdefault(preferred, max(self._failures[preferred].until, now))

    def heard(self, gateway: VerifyKey, now: int) -> None:
        """It began a session, or answered as this node did."""
        if self.is_failing(gateway):
            self._returns.setdefault(gateway, max(self._failures[gateway].until, now))

    def expire(self, now: int) -> tuple[list[VerifyKey], bool]:
        """Return whom to probe now, and whether the choice has changed."""
        before = list(map(self.choose, self._sites))
        probes = [gateway for gateway in _due(self._checks, now) if self._check(gateway, now)]
        probes += [gateway for gateway in _due(self._returns, now) if self._check_return(gateway, now)]
        after = list(map(self.choose, self._sites))
        for old, new in zip(before, after, strict=True):
            if old != new:
                self._checks.setdefault(new, now + SILENCE)
        return probes, before != after

    def next_deadline(self) -> int | None:
        """When to call `expire`, None while there is nothing to do."""
        return min((*self._checks.values(), *self._returns.values()), default=None)

    # -- A gateway in use ----------------------------------------------------------------------------

    def _check(self, gateway: VerifyKey, now: int) -> bool:
        """Return whether to probe it."""
        received, unanswered = self._traffic(gateway)
        probed = self._probed.pop(gateway, 0)
        if self.is_failing(gateway) and received > self._failures[gateway].since:
            self._failures[gateway].is_over = True  # it was used as all failed
        if not unanswered or not self._is_used(gateway):
            return False
        if unanswered == probed:
            self._fail(gateway, now)
            return False
        has_been_silent = now - unanswered >= SILENCE
        if has_been_silent:
            self._probed[gateway] = unanswered
        self._checks[gateway] = now + ANSWER_TIME if has_been_silent else unanswered + SILENCE
        return has_been_silent

    def _fail(self, gateway: VerifyKey, now: int) -> None:
        before = self._failures.get(gateway)
        is_again = before is not None and now - before.since < _FORGIVEN_AFTER * before.pause
        pause = min(2 * before.pause, LAST_PAUSE) if before and is_again else FIRST_PAUSE
        self._failures[gateway] = _Failure(now, pause, now + pause)

    def _is_used(self, gateway: VerifyKey) -> bool:
        return gateway in self._used()

    def _used(self) -> frozenset[VerifyKey]:
        return frozenset(map(self.choose, self._sites))

    # -- A gateway that fails ------------------------------------------------------------------------

    def _check_return(self, gateway: VerifyKey, now: int) -> bool:
        """Return whether to probe it."""
        failure, asked = self._failures[gateway], self._asked.pop(gateway, 0)
        if failure.is_over:
            return False
        if not asked:
            self._asked[gateway] = now
            self._returns[gateway] = now + ANSWER_TIME
            return True
        failure.is_over = self._traffic(gateway).received >= asked
        failure.until = now + failure.pause
        return False

    def _preferred_to(self, gateway: VerifyKey) -> Iterator[VerifyKey]:
        """Give those that would be used instead if they did not fail."""
        for site in self._sites:
            if self.choose(site) == gateway:
                yield from (other for other in site[: site.index(gateway)] if self.is_failing(other))


def _due(deadlines: dict[VerifyKey, int], now: int) -> list[VerifyKey]:
    """Take those that are due."""
    due = [gateway for gateway, deadline in deadlines.items() if deadline <= now]
    for gateway in due:
        del deadlines[gateway]
    return due
