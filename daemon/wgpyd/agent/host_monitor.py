"""Reports that links, addresses, routes or rules have changed, and where the host is once it has settled.

What this node's own programs change is no news: it is what was wanted, and nothing else came with it.
Invariant: without a change nothing wakes, and however many come, looking at the host costs one part of the
time in so many: until it is time to look again the kernel's notices wait unread.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from typing import Final

from wgpy.driver.interface import Interface
from wgpy.host.iproute import IpFailed, ask_ip
from wgpy.host.netlink import NetworkMonitor
from wgpy.host.own_programs import is_own
from wgpy.host.user_mode import is_contained, is_rootless

from .host_networks import NOWHERE, read_host_networks

_BATCHING_TIME: Final = 0.2  # seconds, in which more of the same change may come
_SETTLING_TIME: Final = 0.8  # seconds, in which a host changes more than one thing about its networks
_SHARE: Final = 10
_LONGEST_REST: Final = 1.0  # seconds: a host whose reading takes longer is slow anyhow


class HostMonitor:
    """Of the namespace of one interface. networks: where the host was when it was last asked."""

    def __init__(self, interface: Interface, on_change: Callable[[], None]) -> None:
        """on_change: called soon after a change, and once more when the host has settled."""
        self.networks = NOWHERE
        self._interface = interface
        self._on_change = on_change
        self._has_settled = True
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._not_before = 0.0

    def start(self) -> None:
        """Begin on the running loop. Raises OSError."""
        self._loop = asyncio.get_running_loop()
        self._monitor = NetworkMonitor()
        self._listen()

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._loop.remove_reader(self._monitor.fileno())
        self._monitor.close()

    async def read_networks(self) -> bool:
        """Find out where this host is, if it has settled since; whether others reach it elsewhere now."""
        if not self._has_settled:
            return False
        self._has_settled, before = False, self.networks
        with suppress(IpFailed):  # then it is where it was
            links, *routes = await asyncio.gather(
                ask_ip("-details", "address"),
                *(ask_ip("-N", family, "route", "show") for family in ("-4", "-6")),
            )
            self.networks = read_host_networks(
                links,
                self._interface.name,
                [*chain.from_iterable(routes)],
                is_contained=is_contained(),
                is_rootless=is_rootless(),
            )
        return before is not NOWHERE and before.addresses != self.networks.addresses

    def rest(self, worked: float) -> None:
        """Report nothing for a while. worked: seconds that the last change cost."""
        self._not_before = self._loop.time() + min(_SHARE * worked, _LONGEST_REST)

    def _listen(self) -> None:
        self._loop.add_reader(self._monitor.fileno(), self._on_notice)

    def _on_notice(self) -> None:
        self._loop.remove_reader(self._monitor.fileno())
        when = max(self._loop.time() + _BATCHING_TIME, self._not_before)
        self._timers["batch"] = self._loop.call_at(when, self._on_batch)

    def _on_batch(self) -> None:
        changed_by = self._monitor.acknowledge()
        self._listen()
        if all(map(is_own, changed_by)):
            return
        if "settling" not in self._timers:
            self._timers["settling"] = self._loop.call_later(_SETTLING_TIME, self._on_settled)
        self._on_change()

    def _on_settled(self) -> None:
        del self._timers["settling"]
        self._has_settled = True
        self._on_change()
