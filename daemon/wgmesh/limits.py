"""What a source may take before it has proven a key, and what all sources together may.

A source is an IPv4 address or an IPv6 /64. Anybody may submit records, and verifying them takes time: 1 MiB
is about 1,500 signatures, 0.2 s.
"""

import asyncio
import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from math import ceil
from typing import Final
from weakref import WeakValueDictionary

from wgpy.mesh.signing import VerifyKey

MAX_BODY: Final = 8 << 20  # bytes: as many records as fit in a line, and how JSON writes them
MAX_BODIES: Final = 64 << 20  # bytes of all large bodies whose requests are not answered yet
SMALL_BODY: Final = 1 << 16  # bytes, which are never refused for others
_RATE: Final = 1 << 18  # bytes of bodies a second of each source
_BURST: Final = 2 * MAX_BODY
_REQUEST_RATE: Final = 64  # requests a second of each source
_REQUEST_BURST: Final = 4096  # a thousand nodes behind one NAT connect at once
_CHANGE: Final = 10  # seconds between changes of an identity's records, in the long run
_CHANGES: Final = 100  # at once
_LISTED_RATE: Final = 250  # records a second that are listed for a key; each takes some 20 µs of the loop
_LISTED_BURST: Final = 20_000
MAX_LISTED: Final = _LISTED_BURST // 8  # that a list counts as: a host that joins asks for up to seven
MAX_SUBSCRIPTIONS: Final = 32  # of a node; those of a host that is gone end within 90 s
_MAX_ADDRESSES: Final = 10_000
_ANSWERS: Final = 4  # requests of each source that are answered at once
_RESERVE: Final = 64  # descriptors for the database, for files, and for what is closed in a moment


def source_of(address: str) -> str:
    """Return the source that an address belongs to."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or ip_address(int(found) >> 64 << 64)
    return str(found)


class Allowance:
    """A token bucket for each source: rate units a second, burst at most."""

    def __init__(self, rate: int = _RATE, burst: int = _BURST) -> None:
        self._rate = rate
        self._burst = burst
        self._used: dict[str, tuple[float, float]] = {}  # units used, and at what time; the newest last

    def take(self, address: str, size: int, now: float) -> bool:
        """Return whether an address may take size units. now: seconds of any clock."""
        return self._take(source_of(address), size, now)

    def take_by_key(self, key: VerifyKey, size: int, now: float) -> bool:
        """Return whether a key, in place of a source, may take size units."""
        return self._take(str(key), size, now)

    def wait(self, address: str, size: int, now: float) -> int:
        """Return the seconds until an address may take size units, at least 1; 0 if it never may."""
        return self._wait(source_of(address), size, now)

    def wait_by_key(self, key: VerifyKey, size: int, now: float) -> int:
        """Return the same for a key."""
        return self._wait(str(key), size, now)

    def charge(self, address: str, size: int, now: float) -> None:
        """Take size units, also those that are still to come. now: seconds of any clock."""
        source = source_of(address)
        self._note(source, min(self._used_by(source, now), self._burst) + size, now)

    def _take(self, source: str, size: int, now: float) -> bool:
        used = self._used_by(source, now)
        is_granted = used + size <= self._burst
        self._note(source, used + size if is_granted else used, now)
        return is_granted

    def _wait(self, source: str, size: int, now: float) -> int:
        missing = self._used_by(source, now) + size - self._burst
        return max(1, ceil(missing / self._rate)) if self._rate and size <= self._burst else 0

    def _used_by(self, source: str, now: float) -> float:
        used, since = self._used.get(source, (0.0, now))
        return max(0.0, used - (now - since) * self._rate)

    def _note(self, source: str, used: float, now: float) -> None:
        self._used.pop(source, None)
        self._used[source] = (used, now)
        if len(self._used) > _MAX_ADDRESSES:
            del self._used[next(iter(self._used))]


class Changes:
    """How often an identity may change what it publishes, from whatever addresses: many are sent it."""

    def __init__(self) -> None:
        self._allowance = Allowance(1, _CHANGE * _CHANGES)

    def take(self, identity: VerifyKey, now: float) -> bool:
        """Return whether an identity may make a change. now: seconds of any clock."""
        return self._allowance.take_by_key(identity, _CHANGE, now)


class Lists:
    """How many records are listed for a key that asks for them, from whatever addresses."""

    def __init__(self, rate: int = _LISTED_RATE, burst: int = _LISTED_BURST) -> None:
        self._burst = burst
        self._allowance = Allowance(rate, burst)

    def take(self, key: VerifyKey, size: int, now: float) -> bool:
        """Return whether a key may have a list of so many records. now: seconds of any clock."""
        return self._allowance.take_by_key(key, self._units(size), now)

    def wait(self, key: VerifyKey, size: int, now: float) -> int:
        """Return the seconds until a key may have it."""
        return self._allowance.wait_by_key(key, self._units(size), now)

    def _units(self, size: int) -> int:
        return min(size, MAX_LISTED, self._burst)


class Bodies:
    """The large bodies of requests that are not answered yet, each known by the function that refuses it.

    While all are larger than the limit, the largest of those that are incomplete is refused. Those that are
    complete, whose requests are being answered, may take a quarter of the limit.
    """

    def __init__(self, limit: int = MAX_BODIES) -> None:
        self._limit = limit
        self._incomplete: dict[Callable[[], None], int] = {}
        self._complete: dict[Callable[[], None], int] = {}

    @property
    def total(self) -> int:
        """Bytes."""
        return sum(self._incomplete.values()) + sum(self._complete.values())

    def grow(self, refuse: Callable[[], None], size: int) -> None:
        """Add bytes to a body."""
        self._incomplete[refuse] = self._incomplete.get(refuse, 0) + size
        while self.total > self._limit:
            largest = max(self._incomplete, key=self._incomplete.__getitem__)
            self.remove(largest)
            largest()

    def complete(self, refuse: Callable[[], None]) -> bool:
        """Note that a body is complete; return whether there is room to answer its request now."""
        size = self._incomplete.get(refuse, 0)
        if size and sum(self._complete.values()) + size > self._limit // 4:
            return False
        self._complete[refuse] = self._incomplete.pop(refuse, 0)
        return True

    def remove(self, refuse: Callable[[], None]) -> None:
        self._incomplete.pop(refuse, None)
        self._complete.pop(refuse, None)


class Slots:
    """At most so many requests of each source are answered at once; the others wait in order."""

    def __init__(self, limit: int = _ANSWERS) -> None:
        self._limit = limit
        self._by_source: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def of(self, source: str) -> asyncio.Semaphore:
        """Return the slots of a source, which are forgotten when nobody uses them."""
        slots = self._by_source.get(source)
        if slots is None:
            slots = self._by_source[source] = asyncio.Semaphore(self._limit)
        return slots


def _most_connections() -> int:
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, descriptors - _RESERVE)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one server. A connection waits until its request is complete.

    connections: at once; waiting: of clients that have proven no key, of all sources and of one; timeouts: in
    seconds, until a client that has proven no key has sent the head of a request, until one that has done so
    sends the next, and for the whole body; received, requests: bytes of bodies, and requests.
    """

    connections: int = field(default_factory=_most_connections)
    waiting: int = 1024
    waiting_of_source: int = 128
    first_timeout: float = 10.0
    idle_timeout: float = 60.0
    body_timeout: float = 30.0
    received: Allowance = field(default_factory=Allowance)
    requests: Allowance = field(default_factory=lambda: Allowance(_REQUEST_RATE, _REQUEST_BURST))
    bodies: Bodies = field(default_factory=Bodies)
    slots: Slots = field(default_factory=Slots)
