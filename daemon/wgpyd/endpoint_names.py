"""Follows the endpoints that `wgpy up` was given by name, beside an interface without a mesh."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from wgpy.driver.interface import Interface
from wgpy.endpoint_names import Names, read_names
from wgpy.host import user_mode
from wgpy.lazy_log import LOG
from wgpy.loop.running import running_loop
from wgpy.loop.small import SmallLoop

from .part import Part

if TYPE_CHECKING:
    from wgpy.tunnel.names import NameFollower


@asynccontextmanager
async def follow_names(interface: Interface) -> AsyncIterator[Part]:
    """Read the names now, and again after each `set`."""
    if way := user_mode.find_interface():
        LOG.warning(
            "%s; give peers a PersistentKeepalive of %d s", user_mode.explain(way), user_mode.KEEPALIVE
        )
    following = _Following(interface)
    following.read()
    try:
        yield Part(on_set=following.read)
    finally:
        following.end()


class _Following:
    """names: as they were read last."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface
        self._names: Names = {}
        self._follower: NameFollower | None = None

    def read(self) -> None:
        names = read_names(self._interface.name)
        if names != self._names:
            self.end()
            self._begin(names)

    def _begin(self, names: Names) -> None:
        self._names = names
        if names:
            loop = running_loop()
            if isinstance(loop, SmallLoop):
                loop.use_asyncio()
                LOG.begin()  # asyncio writes to it, too
            from wgpy.tunnel.endpoints import look_up  # noqa: PLC0415 - no cost without names
            from wgpy.tunnel.names import NameFollower  # noqa: PLC0415

            self._follower = NameFollower(self._interface, names, look_up)
            self._follower.start()

    def end(self) -> None:
        if self._follower:
            self._follower.close()
            self._follower = None
