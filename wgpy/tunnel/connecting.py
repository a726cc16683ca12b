"""A TCP connection to the first address that answers."""

import asyncio
import socket
from collections.abc import Callable, Iterable
from socket import socket as Socket  # noqa: N812 - as elsewhere in this package

from .resolver import AddressInfo


async def connect(found: Iterable[AddressInfo], make_socket: Callable[[int, int], Socket]) -> Socket:
    """Try addresses in their order; return a socket that does not block. Raises OSError of the last one.

    make_socket: of a family and a type, not blocking.
    """
    failure: OSError = socket.gaierror(socket.EAI_NONAME, "the name has no address")
    for family, kind, _, _, address in found:
        connecting = make_socket(family, kind)
        try:
            await asyncio.get_running_loop().sock_connect(connecting, address)
        except OSError as error:
            connecting.close()
            failure = error
        except BaseException:
            connecting.close()
            raise
        else:
            return connecting
    raise failure
