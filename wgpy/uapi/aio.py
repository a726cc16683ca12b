"""Ask and configure a running daemon over its UAPI socket, with asyncio: see `client`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket

from wgpy.model import DeviceStatus, DeviceUpdate, PeerStatus

from . import client
from .client import SOCKET_DIRECTORY
from .requests import COUNTERS_REQUEST, GET_REQUEST, encode_set


async def get(interface: str, directory: Path = SOCKET_DIRECTORY) -> DeviceStatus:
    """The state of an interface. Raises InterfaceError."""
    return client.read_status(interface, await _exchange(interface, directory, GET_REQUEST))


async def counters(interface: str, directory: Path = SOCKET_DIRECTORY) -> dict[str, int]:
    """What an interface dropped, by reason. Raises InterfaceError, also for a daemon that is not wgpyd."""
    return client.read_counters(interface, await _exchange(interface, directory, COUNTERS_REQUEST))


async def set_(interface: str, update: DeviceUpdate, directory: Path = SOCKET_DIRECTORY) -> None:
    """Change an interface. Raises InterfaceError if the daemon refuses."""
    client.check_result(interface, await _exchange(interface, directory, encode_set(update)))


async def handshakes(
    interface: str, directory: Path = SOCKET_DIRECTORY, seconds: float = 1.0
) -> AsyncIterator[PeerStatus]:
    """Give a peer soon after each handshake with it, for ever. seconds: the pause between two looks.

    Raises InterfaceError, also once the interface is gone.
    """
    known = client.last_handshakes(await get(interface, directory))
    while True:
        await asyncio.sleep(seconds)
        status = await get(interface, directory)
        for peer in client.newer_handshakes(status, known):
            yield peer
        known = client.last_handshakes(status)


async def _exchange(interface: str, directory: Path, request: bytes) -> bytes:
    with socket(AF_UNIX, SOCK_STREAM) as connection:
        connection.setblocking(False)
        await _connect(connection, interface, directory)
        try:
            return await _ask(connection, request)
        except OSError as error:
            raise client.no_answer(interface, error) from None


async def _connect(connection: socket, interface: str, directory: Path) -> None:
    """Raises InterfaceError."""
    try:
        async with asyncio.timeout(client.TIMEOUT):
            await asyncio.get_running_loop().sock_connect(
                connection, client.socket_path(interface, directory)
            )
    except OSError as error:
        raise client.no_connection(interface, error) from None


async def _ask(connection: socket, request: bytes) -> bytes:
    """Raises OSError."""
    loop, answer = asyncio.get_running_loop(), bytearray()
    # A daemon may answer and hang up before it has read all.
    with suppress(BrokenPipeError):
        async with asyncio.timeout(client.TIMEOUT):
            await loop.sock_sendall(connection, request)
    while not client.is_complete(answer):
        async with asyncio.timeout(client.TIMEOUT):
            chunk = await loop.sock_recv(connection, client.READ_SIZE)
        if not chunk:
            break
        answer += chunk
    return bytes(answer)
