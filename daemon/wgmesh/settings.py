"""A coordinator's folder and the settings in it.

A folder holds `settings.json`; `records.sqlite` unless coordinators share another database; `tls.key` and
`tls.crt` unless the operator provides others; and `lock`, which the process that serves the folder holds.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from wgpy.address import HostPort, parse_host_port
from wgpy.mesh.invitation import BY_NAME
from wgpy.mesh.signing import VerifyKey
from wgpy.node.coordinator_client import DEFAULT_PORT, Address
from wgpy.node.files import COORDINATORS, StorageError, load, save

from .errors import MeshError
from .tls import load_context, make_key

SETTINGS: Final = "settings.json"
DATABASE: Final = "records.sqlite"
TLS_KEY: Final = "tls.key"
TLS_CERTIFICATE: Final = "tls.crt"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a coordinator.

    network: its key; public: HOST:PORT that nodes connect to; listen: ADDRESS:PORT; certificate, key: paths,
    relative to the folder or absolute; database: the URL of a shared database, "" for `records.sqlite`;
    relay: ADDRESS:PORT of the UDP port of a relay on this host, "" if there is none.
    """

    network: VerifyKey
    public: str
    listen: str
    certificate: str
    key: str
    database: str
    relay: str = ""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises MeshError."""
        try:
            return load(cls, _accessible(folder) / SETTINGS)
        except StorageError as error:
            raise MeshError(str(error)) from None


def _accessible(folder: Path) -> Path:
    """Raises MeshError if it is not there, or another user's, as after `serve --user`."""
    try:
        list(folder.iterdir())
    except FileNotFoundError:
        raise MeshError(
            f"{folder} is not there: `wgpy mesh init` makes a network and its coordinator"
        ) from None
    except PermissionError as error:
        advice = f"`sudo chown -R root {folder}` gives it back" if os.geteuid() == 0 else "try sudo"
        raise MeshError(f"{folder} cannot be used: {error.strerror}; {advice}") from None
    except OSError as error:
        raise MeshError(f"{folder} cannot be used: {error.strerror}") from None
    return folder


def create(
    folder: Path,
    network: VerifyKey,
    public: str,
    listen: str,
    certificate: Path | None = None,
    key: Path | None = None,
    relay: str = "",
) -> Address:
    """Make a coordinator's folder; return the address that nodes connect to. On errors there is no folder.

    public: HOST[:PORT]; listen, relay: ADDRESS:PORT; certificate, key: the operator's. Raises MeshError.
    """
    if (folder / SETTINGS).exists():
        raise MeshError(f"{folder} is a coordinator's folder already: use another name, or delete it")
    host, port = read_host_port(public)
    url = f"https://{HostPort(host, port)}".removesuffix(f":{DEFAULT_PORT}")
    for given in filter(None, (listen, relay)):
        read_host_port(given)
    try:
        if certificate is not None and key is not None:
            certificate, key = certificate.absolute(), key.absolute()
            load_context(certificate, key)
            known_by = BY_NAME
        else:
            certificate, key = Path(TLS_CERTIFICATE), Path(TLS_KEY)
            known_by = make_key(folder / key, folder / certificate, host)
        settings = Settings(network, str(HostPort(host, port)), listen, str(certificate), str(key), "", relay)
        save(settings, folder / SETTINGS)  # the last, so that a folder with settings is complete
    except StorageError as error:
        raise MeshError(str(error)) from None
    return Address(url, known_by)


def read_host_port(text: str) -> HostPort:
    """Read HOST[:PORT], where an IPv6 address stands in brackets. Raises MeshError."""
    try:
        return parse_host_port(text, DEFAULT_PORT, lowest_port=0)
    except ValueError as error:
        raise MeshError(f"{text!r} is no HOST:PORT: {error}") from None


def folder_of(name: str) -> Path:
    """Return the folder of a network. name: of the network, or a path."""
    return Path(name) if "/" in name else COORDINATORS / name


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which one process can. Raises MeshError."""
    try:
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise MeshError(f"{folder} cannot be used: {error.strerror}") from None
    with os.fdopen(fd):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MeshError(f"wgmesh serves {folder} already: stop it first") from None
        yield
