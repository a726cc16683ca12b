"""Has the host ask this node for the network's names, and takes that back. See `wgpy.host.split_dns`.

Invariant: what others write over it is made again, once each time that they do.
"""

import asyncio
import os
from collections.abc import Callable

from wgpy.host import inotify, resolv_conf, split_dns
from wgpy.host.split_dns import Manager, SplitDns

_REPLACED = inotify.ATTRIB | inotify.CLOSE_WRITE | inotify.DELETE_SELF | inotify.MOVE_SELF


class HostResolver:
    """Of one network.

    manager: by what the host was told, None while it is not; is_told: whether it may be, by an earlier life.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        """on_change: called when the host is to be compared again."""
        self.manager: Manager | None = None
        self.is_told = True
        self._on_change = on_change
        self._applied: SplitDns | None = None
        self._watch: int | None = None
        self._working: asyncio.Future[Manager] | None = None

    async def apply(self, wanted: SplitDns) -> None:
        """Raises ResolverFailed."""
        if self._applied == wanted:
            return
        self._applied = wanted  # what fails is tried again after the next change of either
        self._stop_watching()
        self.manager, self.is_told = None, True
        self._working = asyncio.ensure_future(asyncio.to_thread(split_dns.apply, wanted))
        try:
            self.manager = await asyncio.shield(self._working)
        finally:
            self._start_watching()

    async def undo(self, network: str, interface: str) -> None:
        """Take back what this life and earlier ones told the host. Raises ResolverFailed."""
        self._stop_watching()
        self._applied = self.manager = None
        if self._working is not None:  # it goes on although who waited for it is cancelled
            await asyncio.wait((self._working,))
        await asyncio.to_thread(split_dns.undo, network, interface)
        self.is_told = False

    def close(self) -> None:
        """Look no longer; what the host was told stays."""
        self._stop_watching()
        self._applied = None

    def _start_watching(self) -> None:
        if self._applied is None:  # it was taken back meanwhile
            return
        try:
            self._watch = inotify.watch(resolv_conf.PATH, _REPLACED)
        except OSError:  # there is none
            return
        asyncio.get_running_loop().add_reader(self._watch, self._on_notice)

    def _on_notice(self) -> None:
        self._stop_watching()
        self._applied = None
        self._on_change()

    def _stop_watching(self) -> None:
        if self._watch is not None:
            asyncio.get_running_loop().remove_reader(self._watch)
            os.close(self._watch)
            self._watch = None
