"""A TCP connection to the first address that answers."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from socket import socket as Socket  # noqa: N812 - as elsewhere in this package
from typing import TypeVar

from .resolver import AddressInfo, MakeSocket

_T = TypeVar("_T")


def read_address(host: str, port: int) -> AddressInfo | None:
    """Return what getaddrinfo finds of an address, None for a name."""
    for family, rest in ((socket.AF_INET, ()), (socket.AF_INET6, (0, 0))):
        with suppress(OSError):
            socket.inet_pton(family, host)
            return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, *rest)
    return None


async def connect_first(found: Iterable[AddressInfo], connect: Callable[[AddressInfo], Awaitable[_T]]) -> _T:
    """Try addresses in their order. connect: raises OSError. Raises OSError of the last one."""
    failure: OSError = socket.gaierror(socket.EAI_NONAME, "the name has no address")
    for each in found:
        try:
            return await connect(each)
        except OSError as error:
            failure = error
    raise failure


async def connect(to: AddressInfo, make_socket: MakeSocket) -> Socket:
    """Return a socket that is connected. make_socket: one that does not block. Raises OSError."""
    family, kind, _, _, address = to
    connecting = make_socket(family, kind)
    try:
        await asyncio.get_running_loop().sock_connect(connecting, address)
    except BaseException:
        connecting.close()
        raise
    return connecting
