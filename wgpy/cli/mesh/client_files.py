"""The files and QR codes of a client. wg-quick(8)

Invariant: a file that holds a private key is its owner's alone, and replaces no other file.
"""

import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path
from typing import Final, NamedTuple

from wgpy.address import parse_host_port
from wgpy.cli.errors import CommandError, UsageError
from wgpy.config import Config, PeerConfig, write
from wgpy.contract.orders import AllowedIP
from wgpy.keys import PrivateKey
from wgpy.mesh.records import Client, Ingress, Network

_KEEPALIVE: Final = 25  # seconds: NATs forget what was silent for longer. WireGuard's own advice
_PNG_SCALE: Final = 4  # dots of a module
_QUIET_ZONE: Final = 2  # modules around it, on a terminal: half of what the standard asks for is read, too
_NO_KEY: Final = "# PrivateKey = the private key of {key}, which is on the device\n"


@dataclass(frozen=True, slots=True)
class ClientFile:
    """What a client has for one of its gateways. gateway: its name; text: of the file."""

    gateway: str
    ingress: Ingress
    text: str


class Dns(NamedTuple):
    """Addresses of servers of names, and domains in which names are searched."""

    servers: tuple[str, ...]
    domains: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Output:
    """Where files go. png, out: paths, "" for none."""

    qr: bool
    png: str
    out: str

    @classmethod
    def of(cls, arguments: Namespace) -> "Output":
        """Raises CommandError for what cannot be had."""
        output = cls(arguments.qr, arguments.png or "", arguments.out or "")
        if (output.qr or output.png) and arguments.public_key:
            raise UsageError("a QR code holds the private key, which stays on the device with --public-key")
        if (output.qr or output.png) and find_spec("segno") is None:
            raise CommandError(
                "a QR code needs segno: install wgpy with its extra, as in `pip install 'wgpy[clients]'`; "
                "--out FILE needs nothing"
            )
        return output

    @property
    def shows_text(self) -> bool:
        return not (self.qr or self.png or self.out)

    @contextmanager
    def written(self, files: Sequence[ClientFile]) -> Iterator[dict[str, list[str]]]:
        """Write the files, and give their paths by gateway; they go if the body fails.

        Raises CommandError.
        """
        made: list[str] = []
        paths: dict[str, list[str]] = {}
        try:
            for file in files:
                for path, data in self._data(file, len(files) > 1):
                    _create(path, data)
                    made.append(path)
                    paths.setdefault(file.gateway, []).append(path)
            yield paths
        except BaseException:
            for path in made:
                with suppress(OSError):
                    Path(path).unlink()
            raise

    def _data(self, file: ClientFile, is_one_of_several: bool) -> Iterator[tuple[str, bytes]]:
        gateway = file.gateway if is_one_of_several else ""
        if self.out:
            yield _path(self.out, gateway), file.text.encode()
        if self.png:
            yield _path(self.png, gateway), _png(file.text)

    def show(self, file: ClientFile) -> None:
        """Print the QR code, if it is wanted."""
        if self.qr:
            import segno

            segno.make(file.text, error="l").terminal(sys.stdout, border=_QUIET_ZONE, compact=True)


def file_of(
    network: Network,
    client: Client,
    ingress: Ingress,
    private: PrivateKey | None,
    dns: Dns,
    *,
    is_called: bool,
) -> str:
    """Return the text of a file. is_called: whether anybody begins to the client."""
    prefixes = (AllowedIP(prefix.network_address.packed, prefix.prefixlen) for prefix in ingress.prefixes)
    peer = PeerConfig(
        ingress.key,
        allowed_ips=tuple(prefixes),
        endpoint=parse_host_port(ingress.endpoint),
        persistent_keepalive=_KEEPALIVE if is_called else None,
    )
    config = Config(
        private_key=private,
        addresses=(IPv4Interface(ingress.address), IPv6Interface(ingress.address6)),
        dns=dns.servers,
        dns_search=dns.domains,
        mtu=network.mtu,
        peers=(peer,),
    )
    text = write(config)
    return text if private else text.replace("\n\n", f"\n{_NO_KEY.format(key=client.key)}\n", 1)


def _path(given: str, gateway: str) -> str:
    """Return the path of one of several files: alice.conf becomes alice-GATEWAY.conf."""
    path = Path(given)
    return str(path.with_name(f"{path.stem}-{gateway}{path.suffix}")) if gateway else given


def _png(text: str) -> bytes:
    import segno

    picture = BytesIO()
    segno.make(text, error="l").save(picture, kind="png", scale=_PNG_SCALE)
    return picture.getvalue()


def _create(path: str, data: bytes) -> None:
    """Raises CommandError."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
    except FileExistsError:
        raise CommandError(f"{path} is there already: give another name, or remove it") from None
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None
