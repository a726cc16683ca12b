"""Ask and configure a running daemon over its UAPI socket, blocking; for commands and scripts.

Works with every daemon that serves UAPI: wgpyd, wireguard-go and others.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from typing import Final

from wgpy.contract.errors import WgpyError
from wgpy.model import DeviceStatus, DeviceUpdate

from .answers import decode_counters, decode_errno, decode_status
from .errors import UapiError
from .requests import COUNTERS_REQUEST, GET_REQUEST, encode_set

SOCKET_DIRECTORY: Final = Path("/var/run/wireguard")
_TIMEOUT: Final = 10.0  # seconds in which the daemon must say something
_READ_SIZE: Final = 2**16
_MAX_ANSWER: Final = 2**28


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
    answer = _exchange(interface, directory, GET_REQUEST)
    try:
        return decode_status(answer)
    except UapiError as error:
        raise _nonsense(interface, error) from None


def counters(interface: str, directory: Path = SOCKET_DIRECTORY) -> dict[str, int]:
    """What an interface dropped, by reason. Raises InterfaceError, also for a daemon that is not wgpyd."""
    try:
        return decode_counters(_exchange(interface, directory, COUNTERS_REQUEST))
    except UapiError:
        raise InterfaceError(f"the daemon of {interface} does not count what it drops; wgpyd does") from None


def set_(interface: str, update: DeviceUpdate, directory: Path = SOCKET_DIRECTORY) -> None:
    """Change an interface. Raises InterfaceError if the daemon refuses."""
    answer = _exchange(interface, directory, encode_set(update))
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


def _exchange(interface: str, directory: Path, request: bytes) -> bytes:
    with _connect(interface, directory) as connection:
        answer = bytearray()
        try:
            # A daemon may answer and hang up before it has read all.
            with suppress(BrokenPipeError):
                connection.sendall(request)
            while not answer.endswith(b"\n\n") and len(answer) < _MAX_ANSWER:
                chunk = connection.recv(_READ_SIZE)
                if not chunk:
                    break
                answer += chunk
        except TimeoutError:
            raise InterfaceError(f"the daemon of {interface} does not answer") from None
        except OSError as error:
            raise InterfaceError(f"the daemon of {interface} broke off: {error.strerror}") from None
        return bytes(answer)


@contextmanager
def _connect(interface: str, directory: Path) -> Iterator[socket]:
    with socket(AF_UNIX, SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT)
        try:
            connection.connect(os.fspath(directory / f"{interface}.sock"))
        except (FileNotFoundError, ConnectionRefusedError):
            raise NoSuchInterfaceError(f"there is no interface {interface} that a daemon serves") from None
        except PermissionError:
            raise InterfaceError(
                f"no permission to talk to the daemon of {interface}; run this as root"
            ) from None
        except TimeoutError:
            raise InterfaceError(f"the daemon of {interface} does not answer") from None
        except OSError as error:
            raise InterfaceError(f"the daemon of {interface} cannot be reached: {error}") from None
        yield connection


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


def _nonsense(interface: str, error: UapiError) -> InterfaceError:
    return InterfaceError(f"the daemon of {interface} gave an answer that makes no sense: {error}")
