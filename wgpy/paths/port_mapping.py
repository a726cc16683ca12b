"""Port mappings that a router grants: what is believed of one, and when the router is asked again. Pure.

Invariant: the router is asked at most once in MIN_PAUSE, and what it granted counts until its lifetime ends.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from typing import Final

from wgpy.address import Address
from wgpy.contract.constants import SECOND
from wgpy.contract.endpoint import Endpoint

LIFETIME: Final = 7200  # seconds that a router is asked for, as RFC 6886 recommends
MIN_LIFETIME: Final = 60  # seconds; a mapping that ends sooner would keep this host awake
MAX_LIFETIME: Final = 86_400  # seconds; what is granted for longer is asked for again all the same
MIN_PAUSE: Final = 10 * SECOND  # between two attempts, whatever the router says
RETRY_PAUSE: Final = 30 * SECOND  # at least, until a renewal that failed is tried again
FIRST_PAUSE: Final = 60 * SECOND  # until a router that granted nothing is asked again, then twice as long
LAST_PAUSE: Final = 3600 * SECOND
_MAX_PORT: Final = 65535
_TOLERANCE: Final = (
    2  # seconds, and an eighth of the time, by which a router's clock may differ. RFC 6886, 3.6
)


class Protocol(Enum):
    """By which a router is asked, in this order."""

    PCP = "PCP"
    NAT_PMP = "NAT-PMP"
    UPNP = "UPnP"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a router says that it has mapped.

    address, port: outside; lifetime: seconds; epoch: seconds since the router last lost all mappings, None
    if it does not say.
    """

    address: Address
    port: int
    lifetime: int
    epoch: int | None = None

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(str(self.address), self.port)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a router maps nothing. is_unsupported: whether it does not speak the protocol at all."""

    reason: str
    is_unsupported: bool = False


def trouble_of(grant: Grant, seen: Iterable[str]) -> str:
    """Return why a grant is of no use, "" if it is.

    seen: addresses at which others saw this host, which count more than the router's word.
    """
    address = grant.address
    others = [one for one in map(ip_address, seen) if _is_public(one) or one == address]
    if not 0 < grant.port <= _MAX_PORT:
        return f"it maps to port {grant.port}"
    if grant.lifetime < MIN_LIFETIME:
        return f"it maps for {grant.lifetime} s, which is too short"
    if address in others:
        return ""
    if not _is_public(address):
        return f"it maps to {address}, which is no public address: it is behind a NAT itself"
    return f"it maps to {address}, but others see this host at {others[0]}" if others else ""


def _is_public(address: Address) -> bool:
    return address.is_global and not address.is_multicast


class EpochClock:
    """Of one router: the seconds since it lost all mappings, which it tells with each answer."""

    def __init__(self) -> None:
        self._last: tuple[int, int] | None = None

    def note(self, epoch: int, now: int) -> bool:
        """Return whether the router has lost its mappings since the last note. now: boottime ns."""
        last, self._last = self._last, (epoch, now)
        if last is None:
            return False
        here, there = (now - last[1]) / SECOND, epoch - last[0]
        return there < here * 7 / 8 - _TOLERANCE or here < there * 7 / 8 - _TOLERANCE


class Renewal:
    """When the router of one node is to be asked for a mapping.

    grant: what counts now, None for nothing; until: when it ends, boottime ns; due: when to ask, boottime ns,
    None for never. All times are boottime, ns.
    """

    def __init__(self) -> None:
        self.grant: Grant | None = None
        self.until = 0
        self.due: int | None = None
        self._asked: int | None = None
        self._pause = FIRST_PAUSE

    def begin(self, now: int) -> None:
        """Ask, as this host may be somewhere else; what was granted counts until the answer."""
        self.until, self._pause = now, FIRST_PAUSE
        self._ask_at(now)

    def end(self) -> None:
        """Ask no more."""
        self.grant = self.due = None

    def on_lost(self, now: int) -> None:
        """Ask, as the router seems to have lost the mapping, which counts until the answer says so."""
        if self.grant:
            self.until = now
            self._ask_at(now)

    def on_asked(self, now: int) -> None:
        self._asked, self.due = now, None

    def on_granted(self, grant: Grant, now: int) -> None:
        lifetime = min(grant.lifetime, MAX_LIFETIME) * SECOND
        self.grant, self.until, self._pause = grant, now + lifetime, FIRST_PAUSE
        self._ask_at(now + lifetime // 2)

    def on_failed(self, now: int) -> None:
        """Keep what was granted before until it ends, and ask again half-way to that."""
        if self.grant and now < self.until:
            self._ask_at(min(now + max((self.until - now) // 2, RETRY_PAUSE), self.until))
        else:
            self.grant = None
            self._ask_at(now + self._pause)
            self._pause = min(2 * self._pause, LAST_PAUSE)

    def _ask_at(self, when: int) -> None:
        self.due = when if self._asked is None else max(when, self._asked + MIN_PAUSE)
