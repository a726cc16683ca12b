"""Follows the names of endpoints: looks them up again while a peer is silent, and when the network changes.

Invariant: a peer that answers keeps its endpoint, which may be one that it moved to itself, as long as its
name means what it meant before.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from wgpy.address import HostPort
from wgpy.contract.constants import SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import DataSent
from wgpy.device import DeviceEvent
from wgpy.driver.interface import Interface
from wgpy.endpoint_names import Names
from wgpy.host import lookup
from wgpy.host.bootclock import boottime
from wgpy.keys import PublicKey
from wgpy.model import DeviceUpdate, PeerPath, PeerTraffic, PeerUpdate

from .errors import TunnelError

LookUp = Callable[[HostPort], Awaitable[Sequence[Endpoint]]]  # at least one. Raises TunnelError, OSError

# Whitepaper 6.5: by then a new handshake has begun, as nothing has come back.
SILENCE: Final = 15.0  # seconds
_LONGEST_PAUSE: Final = 240.0  # seconds, between two look-ups while a peer stays silent
_SETTLING_TIME: Final = 1.0  # seconds: a change of the network is many changes


@dataclass(slots=True)
class _Name:
    """pause: seconds from the next look-up to the one after; found: what it meant last, () for unknown.

    check: when the peer is looked at again.
    """

    target: HostPort
    pause: float
    found: Sequence[Endpoint] = ()
    check: asyncio.TimerHandle | None = None
    looking_up: asyncio.Task[None] | None = None


class NameFollower:
    """Of one interface, on the running loop. Without names it costs nothing."""

    def __init__(self, interface: Interface, names: Names, look_up: LookUp) -> None:
        self._interface = interface
        self._look_up = look_up
        self._room = asyncio.Semaphore(lookup.AT_ONCE)
        self._names = {key: _Name(target, SILENCE) for key, target in names.items()}
        self._unsubscribe: list[Callable[[], None]] = []
        self._settling: asyncio.TimerHandle | None = None

    def start(self, found: Mapping[HostPort, Sequence[Endpoint]] | None = None) -> None:
        """Begin. found: what names mean so far; None where that is not known.

        Then the endpoint of a peer that has never answered is what its name means: it has not moved.
        """
        if self._names:
            self._interface.watch_sending(self, self._names)
            self._unsubscribe = [
                self._interface.subscribe(self._on_event),
                self._interface.watch_network(self._on_network_change),
            ]
        for key, name in self._names.items():
            name.found = (found or {}).get(name.target) or first_meaning(self._interface.path(key))
            self._check(key, name)  # it may be silent already

    def close(self) -> None:
        self._interface.watch_sending(self, ())
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        for handle in (self._settling, *(name.check for name in self._names.values())):
            if handle:
                handle.cancel()
        for name in self._names.values():
            if name.looking_up:
                name.looking_up.cancel()

    # -- While a peer does not answer ------------------------------------------------------------

    def _on_event(self, key: PublicKey, event: DeviceEvent) -> None:
        name = self._names.get(key)
        if isinstance(event, DataSent) and name and not name.check:
            self._check_after(SILENCE, key, name)

    def _check_after(self, seconds: float, key: PublicKey, name: _Name) -> None:
        name.check = asyncio.get_running_loop().call_later(seconds, self._check, key, name)

    def _check(self, key: PublicKey, name: _Name) -> None:
        """Look the name up, and come back, while something is unanswered for too long."""
        name.check = None
        unanswered = self._interface.traffic(key).unanswered
        if not unanswered:
            name.pause = SILENCE
            return
        left = SILENCE - (boottime() - unanswered) / SECOND
        if left <= 0:
            self._begin(key, name)
            name.pause, left = min(2 * name.pause, _LONGEST_PAUSE), name.pause
        self._check_after(left, key, name)

    # -- When the network changes ----------------------------------------------------------------

    def _on_network_change(self) -> None:
        if self._settling is None:
            self._settling = asyncio.get_running_loop().call_later(_SETTLING_TIME, self._look_all_up)

    def _look_all_up(self) -> None:
        self._settling = None
        for key, name in self._names.items():
            self._begin(key, name)

    # -- Looking up ------------------------------------------------------------------------------

    def _begin(self, key: PublicKey, name: _Name) -> None:
        if name.looking_up is None or name.looking_up.done():
            name.looking_up = asyncio.get_running_loop().create_task(self._renew(key, name))

    async def _renew(self, key: PublicKey, name: _Name) -> None:
        with suppress(TunnelError, OSError):  # the name stays what it was, or the interface is closed
            async with self._room:
                found = await self._look_up(name.target)
            path, traffic = self._interface.path(key), self._interface.traffic(key)
            silent = is_silent(traffic, path, boottime())
            chosen = choose(found, name.found, path.endpoint, is_silent=silent)
            name.found = found
            if chosen:
                update = PeerUpdate(key, update_only=True, endpoint=chosen, handshake=True)
                await self._interface.configure(DeviceUpdate(peers=(update,)))


def first_meaning(path: PeerPath) -> Sequence[Endpoint]:
    """Return what a peer's name means, () for unknown: the peer may have moved once it has answered."""
    return (path.endpoint,) if path.endpoint and not path.handshake else ()


def is_silent(traffic: PeerTraffic, path: PeerPath, now: int) -> bool:
    """Return whether a peer leaves something unanswered for too long, or has never answered.

    now: boottime ns.
    """
    has_waited = now - traffic.unanswered >= SILENCE * SECOND
    return traffic.unanswered > 0 and (has_waited or not path.handshake)


def choose(
    found: Sequence[Endpoint], before: Sequence[Endpoint], present: Endpoint | None, *, is_silent: bool
) -> Endpoint | None:
    """Return the endpoint to try instead of the present one, None to stay.

    found, before: what the name means now, and what it meant, () for unknown. While a peer is silent, each is
    tried in turn.
    """
    if present not in found:
        has_moved = bool(before) and set(found) != set(before)
        return found[0] if is_silent or has_moved or present is None else None
    after = found.index(present) + 1
    return found[after % len(found)] if is_silent and len(found) > 1 else None
