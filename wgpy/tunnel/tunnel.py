"""`wgpy.Tunnel`: opens a tunnel for one program, with asyncio or without."""

import os
from pathlib import Path

from wgpy import config as config_files
from wgpy.config import Config
from wgpy.driver.settings import Settings, read_settings
from wgpy.host.tun import PacketDevice

from .asynchronous import AsyncTunnel
from .blocking import BlockingTunnel


class Tunnel:
    """A tunnel within `async with`, or without asyncio within `with`."""

    def __init__(
        self,
        config: Config | str | os.PathLike[str],
        *,
        packets: PacketDevice | None = None,
        settings: Settings | None = None,
    ) -> None:
        """config: a wg-quick file's path, its text, or `wgpy.config`'s value; its hooks do not run.

        packets: a device that the caller made, and whose addresses and routes are the caller's to set; then
        there is no namespace, and sockets are those of the caller's network. settings: None for those of the
        environment. Raises ConfigError, and ValueError for settings of the environment that cannot be.
        """
        self._arguments = read_config(config), packets, settings or read_settings(os.environ)
        self._tunnel: AsyncTunnel | None = None
        self._blocking: BlockingTunnel | None = None

    async def __aenter__(self) -> AsyncTunnel:
        """Raises TunnelError, and OSError for a device that cannot be used; then nothing is left."""
        tunnel = AsyncTunnel(*self._arguments)
        await tunnel.open()
        self._tunnel = tunnel
        return tunnel

    async def __aexit__(self, *exception: object) -> None:
        if self._tunnel:
            self._tunnel.close()

    def __enter__(self) -> BlockingTunnel:
        """Raises TunnelError, and OSError for a device that cannot be used; then nothing is left."""
        tunnel = BlockingTunnel(AsyncTunnel(*self._arguments))
        tunnel.open()
        self._blocking = tunnel
        return tunnel

    def __exit__(self, *exception: object) -> None:
        if self._blocking:
            self._blocking.close()


def read_config(config: Config | str | os.PathLike[str]) -> Config:
    """Return the configuration: itself, of a file, or of a text, which has more than one line.

    Raises ConfigError.
    """
    if isinstance(config, Config):
        return config
    if isinstance(config, str) and "\n" in config:
        return config_files.parse(config)
    return config_files.load(Path(config))
