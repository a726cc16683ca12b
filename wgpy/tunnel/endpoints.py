"""Where a configuration's peers are: their names as addresses, and the MTU that the ways to them leave."""

import asyncio
import socket
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from wgpy.address import HostPort
from wgpy.config import Config
from wgpy.contract.constants import DEFAULT_MTU
from wgpy.contract.endpoint import Endpoint
from wgpy.host import lookup

from .errors import TunnelError

_TIMEOUT: Final = 20.0  # seconds
_OVERHEAD: Final = 80  # IPv6 and UDP header, and WireGuard's own 32 bytes
_LOWEST: Final = 1280  # of IPv6
# linux/in.h, linux/in6.h
_IP_MTU: Final = 14
_IPV6_MTU: Final = 24


async def resolve(config: Config) -> dict[HostPort, list[Endpoint]]:
    """Look all names up at once, as the caller's host does. Raises TunnelError."""
    wanted = list({peer.endpoint for peer in config.peers if peer.endpoint})
    room = asyncio.Semaphore(lookup.AT_ONCE)

    async def look_up_with_room(target: HostPort) -> list[Endpoint]:
        async with room:
            return await look_up(target)

    return dict(zip(wanted, await asyncio.gather(*map(look_up_with_room, wanted)), strict=True))


async def look_up(target: HostPort) -> list[Endpoint]:
    """Return where the name leads, the best first. Raises TunnelError."""
    asked = partial(socket.getaddrinfo, *target, type=socket.SOCK_DGRAM)
    try:
        async with asyncio.timeout(_TIMEOUT):
            found = await asyncio.wrap_future(lookup.begin(asked))
    except TimeoutError:
        raise TunnelError(
            f"the endpoint {target} cannot be resolved: no answer in {_TIMEOUT:.0f} s"
        ) from None
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else "that is no host name"
        raise TunnelError(f"the endpoint {target} cannot be resolved: {reason}") from None
    return [_endpoint(address) for *_, address in found]


def _endpoint(address: tuple[Any, ...]) -> Endpoint:
    host, port, *rest = address  # IPv6 has flow information and a scope, too
    return Endpoint(str(host).partition("%")[0], port, rest[1] if rest else 0)


def mtu_towards(endpoints: Iterable[Endpoint]) -> int:
    """Return the largest MTU of a tunnel whose datagrams pass whole to all of these, as far as is known."""
    paths = [path for endpoint in endpoints if (path := _path_mtu(endpoint))]
    return max(_LOWEST, min(paths) - _OVERHEAD) if paths else DEFAULT_MTU


def _path_mtu(endpoint: Endpoint) -> int:
    """Return 0 where there is no way."""
    family, level, option = (
        (socket.AF_INET6, socket.IPPROTO_IPV6, _IPV6_MTU)
        if endpoint.is_ipv6
        else (socket.AF_INET, socket.IPPROTO_IP, _IP_MTU)
    )
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as asking:
        scope = (0, endpoint.scope_id) if endpoint.is_ipv6 else ()
        asking.connect((endpoint.address, endpoint.port, *scope))
        return asking.getsockopt(level, option)
    return 0
