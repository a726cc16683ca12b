"""`wgpy proxy`: a tunnel for programs that know nothing of it, without root."""

import argparse
import asyncio
import resource
import signal
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from wgpy.address import HostPort, parse_host_port
from wgpy.cli.errors import CommandError, UsageError
from wgpy.cli.execute import read_config, warn_of_user_mode
from wgpy.cli.files import warn_if_others_can_read
from wgpy.cli.program import failure
from wgpy.config import Config

if TYPE_CHECKING:
    from wgpy.proxy.account import Account
    from wgpy.proxy.proxy import Listeners, PortForward

_T = TypeVar("_T")
_UDP: Final = "udp:"
_WANTED: Final = (
    "want ADDRESS:PORT=HOST:PORT, as in 127.0.0.1:5432=db.internal:5432, after `udp:` for datagrams"
)


def proxy(arguments: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM. Raises CommandError, ConfigError."""
    from wgpy.proxy.proxy import Listeners

    wanted = Listeners(
        _parsed("--socks5", arguments.socks5, _read_address),
        _parsed("--http", arguments.http, _read_address),
        _parsed("--forward", arguments.forward, _read_port_forward),
        _parsed("--expose", arguments.expose, _read_port_forward),
        _parsed("--metrics", arguments.metrics, _read_address),
        _read_account(arguments.account),
    )
    if not any((wanted.socks5, wanted.http, wanted.forward, wanted.expose)):
        raise UsageError("say what to serve: --socks5, --http, --forward or --expose")
    config = read_config(arguments.config)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each connection has two descriptors
    asyncio.run(_serve(config, wanted))


def _parsed(option: str, texts: Iterable[str], read: Callable[[str], _T]) -> tuple[_T, ...]:
    """Raises UsageError."""
    try:
        return tuple(map(read, texts))
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def _read_account(file: str | None) -> "Account | None":
    """Raises CommandError."""
    if file is None:
        return None
    from wgpy.proxy.account import read_account

    warn_if_others_can_read(Path(file))
    try:
        return read_account(Path(file).read_text())
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandError(f"{file} is not UTF-8 text: save it as UTF-8") from None
    except ValueError as error:
        raise CommandError(f"{file}: {error}") from None


def _read_address(text: str) -> HostPort:
    return parse_host_port(text, lowest_port=0)


def _read_port_forward(text: str) -> "PortForward":
    from wgpy.proxy.proxy import PortForward

    listen, equals, target = text.removeprefix(_UDP).partition("=")
    if not equals:
        raise ValueError(_WANTED)
    return PortForward(_read_address(listen), parse_host_port(target), text.startswith(_UDP))


async def _serve(config: Config, wanted: "Listeners") -> None:
    from wgpy.proxy.proxy import start
    from wgpy.tunnel.errors import TunnelError
    from wgpy.tunnel.tunnel import Tunnel

    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    try:
        async with Tunnel(config) as tunnel, AsyncExitStack() as opened:
            warn_of_user_mode(tunnel.user_mode_interface)
            for line in await start(tunnel, wanted, opened):
                print(line, flush=True)
            gone = asyncio.ensure_future(tunnel.wait_closed())
            await asyncio.wait({gone, asyncio.ensure_future(ended.wait())}, return_when="FIRST_COMPLETED")
            if gone.done():
                raise TunnelError("the tunnel has ended, as a process of it was killed")
    except (TunnelError, ValueError, OSError) as error:
        raise failure(error) from None
