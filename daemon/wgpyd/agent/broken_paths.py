"""Peers that are reached by relays, although both ends can be dialled: no line leads from one to the other.

A peer is one if it does not answer for a moment, or if it is heard by a relay, as it does not hear this node
then. Invariant: without traffic nothing waits; who is reached directly again is none any more.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from wgpy.contract.constants import SECOND
from wgpy.contract.events import DataSent
from wgpy.device import DeviceEvent
from wgpy.driver.interface import Interface
from wgpy.host.bootclock import boottime
from wgpy.keys import PublicKey

PATIENCE: Final = 2 * SECOND


class BrokenPaths:
    """Of one node, on the running loop. keys: of those peers."""

    def __init__(self, interface: Interface, on_change: Callable[[], None], patience: int = PATIENCE) -> None:
        """on_change: called when there is another one; patience: ns that something sent is not answered."""
        self._interface = interface
        self._on_change = on_change
        self._patience = patience
        self._timers: dict[PublicKey, asyncio.TimerHandle] = {}
        self.watched: frozenset[PublicKey] = frozenset()
        self.keys: set[PublicKey] = set()

    def configure(self, watched: Collection[PublicKey]) -> None:
        """watched: peers that relays may lead to, and that need none."""
        before, self.watched = self.watched, frozenset(watched)
        self.keys &= self.watched
        for key in self._timers.keys() - self.watched:
            self._timers.pop(key).cancel()
        for key in self.watched - before:  # who was sent something before is told of no more
            self._look_in_time(key)

    def on_event(self, key: PublicKey, event: DeviceEvent) -> None:
        """A listener of the interface."""
        is_watched = key in self.watched and key not in self.keys
        if isinstance(event, DataSent) and is_watched and key not in self._timers:
            self._look_after(self._patience, key)

    def add(self, key: PublicKey) -> None:
        """It was heard by a relay, or does not answer."""
        if key in self.watched and key not in self.keys:
            self.keys.add(key)
            self._on_change()

    def discard(self, key: PublicKey) -> None:
        """It is reached without a relay."""
        if key in self.keys:
            self.keys.discard(key)
            self._on_change()

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    def _look_after(self, duration: int, key: PublicKey) -> None:
        loop = asyncio.get_running_loop()
        self._timers[key] = loop.call_later(duration / SECOND, self._look, key)

    def _look(self, key: PublicKey) -> None:
        del self._timers[key]
        unanswered = self._interface.traffic(key).unanswered
        if unanswered and unanswered + self._patience <= boottime():
            self.add(key)
        else:
            self._look_in_time(key)

    def _look_in_time(self, key: PublicKey) -> None:
        if unanswered := self._interface.traffic(key).unanswered:
            self._look_after(max(unanswered + self._patience - boottime(), 0), key)
