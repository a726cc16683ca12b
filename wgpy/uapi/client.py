"""Ask and configure a running daemon over its UAPI socket, blocking; for commands and scripts.

Works with every daemon that serves UAPI: wgpyd, wireguard-go and others. `aio` is the same for asyncio.
"""

import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from typing import Final

from wgpy.contract.errors import WgpyError
from wgpy.keys import PublicKey
from wgpy.model import DeviceStatus, DeviceUpdate, PeerStatus

from .answers import decode_counters, decode_errno, decode_status
from .errors import UapiError
from .requests import COUNTERS_REQUEST, GET_REQUEST, encode_set

SOCKET_DIRECTORY: Final = Path("/var/run/wireguard")
TIMEOUT: Final = 60.0  # seconds in which the daemon must say something, also on a busy host
READ_SIZE: Final = 2**16
_MAX_ANSWER: Final = 2**28

Handshakes = Mapping[PublicKey, int]  # ns since 1970, of the last one of each peer


class InterfaceError(WgpyError):
    """The interface cannot be asked or configured; the message is a sentence that says why."""


class NoSuchInterfaceError(InterfaceError):
    """No daemon serves this interface."""


def interfaces(directory: Path = SOCKET_DIRECTORY) -> list[str]:
    """The interfaces that a daemon serves, sorted; a socket that a dead daemon left behind does not count."""
    try:
        entries = sorted(directory.iterdir())
    except FileNotFoundError:
        return []
    except PermissionError:
        raise InterfaceError(f"{directory} may not be read; run this as root") from None
    return [entry.stem for entry in entries if entry.suffix == ".sock" and _is_served(entry)]


def get(interface: str, directory: Path = SOCKET_DIRECTORY) -> DeviceStatus:
    """The state of an interface. Raises InterfaceError."""
    return read_status(interface, _exchange(interface, directory, GET_REQUEST))


def counters(interface: str, directory: Path = SOCKET_DIRECTORY) -> dict[str, int]:
    """What an interface dropped, by reason. Raises InterfaceError, also for a daemon that is not wgpyd."""
    return read_counters(interface, _exchange(interface, directory, COUNTERS_REQUEST))


def set_(interface: str, update: DeviceUpdate, directory: Path = SOCKET_DIRECTORY) -> None:
    """Change an interface. Raises InterfaceError if the daemon refuses."""
    check_result(interface, _exchange(interface, directory, encode_set(update)))


def handshakes(
    interface: str, directory: Path = SOCKET_DIRECTORY, seconds: float = 1.0
) -> Iterator[PeerStatus]:
    """Give a peer soon after each handshake with it, for ever. seconds: the pause between two looks.

    Raises InterfaceError, also once the interface is gone.
    """
    known = last_handshakes(get(interface, directory))
    while True:
        time.sleep(seconds)
        status = get(interface, directory)
        yield from newer_handshakes(status, known)
        known = last_handshakes(status)


# -- What an answer says, for this client and that of asyncio --------------------------------------


def read_status(interface: str, answer: bytes) -> DeviceStatus:
    """Raises InterfaceError."""
    try:
        return decode_status(answer)
    except UapiError as error:
        raise _nonsense(interface, error) from None


def read_counters(interface: str, answer: bytes) -> dict[str, int]:
    """Raises InterfaceError."""
    try:
        return decode_counters(answer)
    except UapiError:
        raise InterfaceError(f"the daemon of {interface} does not count what it drops; wgpyd does") from None


def check_result(interface: str, answer: bytes) -> None:
    """Raises InterfaceError if it is a refusal."""
    try:
        number = decode_errno(answer)
    except UapiError as error:
        raise _nonsense(interface, error) from None
    if number:
        why = os.strerror(abs(number))
        raise InterfaceError(
            f"the daemon of {interface} refused the settings: {why}; its log says which: the system's log "
            f"(`journalctl --identifier='wgpyd({interface})'`), or the file of `wgpyd --log`"
        )


def is_complete(answer: bytes | bytearray) -> bool:
    """Whether no more is to be read: it is whole, or too long to be an answer."""
    return answer.endswith(b"\n\n") or len(answer) >= _MAX_ANSWER


def last_handshakes(status: DeviceStatus) -> Handshakes:
    return {peer.public_key: peer.last_handshake_time for peer in status.peers}


def newer_handshakes(status: DeviceStatus, known: Handshakes) -> list[PeerStatus]:
    """The peers with another handshake than the one that is known."""
    return [peer for peer in status.peers if peer.last_handshake_time != known.get(peer.public_key, 0)]


def _nonsense(interface: str, error: UapiError) -> InterfaceError:
    return InterfaceError(f"the daemon of {interface} gave an answer that makes no sense: {error}")


def no_connection(interface: str, error: OSError) -> InterfaceError:
    """Say why there is none."""
    match error:
        case FileNotFoundError() | ConnectionRefusedError():
            return NoSuchInterfaceError(f"there is no interface {interface} that a daemon serves")
        case PermissionError():
            return InterfaceError(f"no permission to talk to the daemon of {interface}; run this as root")
        case TimeoutError():
            return no_answer(interface, error)
    return InterfaceError(f"the daemon of {interface} cannot be reached: {error}")


def no_answer(interface: str, error: OSError) -> InterfaceError:
    """Say why it has not come."""
    if isinstance(error, TimeoutError):
        return InterfaceError(f"the daemon of {interface} does not answer")
    return InterfaceError(f"the daemon of {interface} broke off: {error.strerror}")


# -- The connection --------------------------------------------------------------------------------


def _exchange(interface: str, directory: Path, request: bytes) -> bytes:
    with _connect(interface, directory) as connection:
        answer = bytearray()
        try:
            # A daemon may answer and hang up before it has read all.
            with suppress(BrokenPipeError):
                connection.sendall(request)
            while not is_complete(answer) and (chunk := connection.recv(READ_SIZE)):
                answer += chunk
        except OSError as error:
            raise no_answer(interface, error) from None
        return bytes(answer)


@contextmanager
def _connect(interface: str, directory: Path) -> Iterator[socket]:
    with socket(AF_UNIX, SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT)
        try:
            connection.connect(socket_path(interface, directory))
        except OSError as error:
            raise no_connection(interface, error) from None
        yield connection


def socket_path(interface: str, directory: Path) -> str:
    return os.fspath(directory / f"{interface}.sock")


def _is_served(path: Path) -> bool:
    """A socket that may not be dialled counts as served, so that asking it says why."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return False
        with socket(AF_UNIX, SOCK_STREAM) as connection:
            connection.settimeout(1)
            connection.connect(os.fspath(path))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except OSError:
        return True
    return True
