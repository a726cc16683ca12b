"""The relays by which a peer can be reached, and which of them to use."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from wgpy.contract.endpoint import Endpoint

from .outputs import Relay

ASKED_RELAYS: Final = 2  # at once


class RelayedPaths:
    """Of one peer. Times are boottime ns."""

    def __init__(self) -> None:
        self._relays: dict[Endpoint, Relay] = {}  # the best first
        self._answered: dict[Endpoint, int] = {}
        self._failed: dict[Endpoint, int] = {}

    def set(self, relays: Iterable[Relay]) -> None:
        self._relays = {relay.endpoint: relay for relay in relays}
        self._answered = {one: at for one, at in self._answered.items() if one in self._relays}
        self._failed = {one: at for one, at in self._failed.items() if one in self._relays}

    def __bool__(self) -> bool:
        return bool(self._relays)

    def __iter__(self) -> Iterator[Relay]:
        return iter(self._relays.values())

    def get(self, endpoint: Endpoint | None) -> Relay | None:
        return self._relays.get(endpoint) if endpoint else None

    def first(self) -> Iterator[Relay]:
        """Give those that are asked at once."""
        return islice(self, ASKED_RELAYS)

    def best(self) -> Relay:
        """The first that did not fail, else the one that failed longest ago. Raises ValueError if none is."""
        return min(self._relays.values(), key=lambda relay: self._failed.get(relay.endpoint, 0))

    def note_answer(self, endpoint: Endpoint, now: int) -> None:
        self._answered[endpoint] = now
        self._failed.pop(endpoint, None)

    def note_failure(self, endpoint: Endpoint, now: int) -> None:
        """It did not answer, or the peer did not answer by it."""
        if endpoint in self._relays:
            self._failed[endpoint] = now

    def forget_failures(self) -> None:
        self._failed.clear()

    def has_answered(self, endpoint: Endpoint, since: int) -> bool:
        return self._answered.get(endpoint, -1) >= since
