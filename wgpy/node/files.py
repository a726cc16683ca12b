"""The files of a node: its keys and settings, and the records that it has. A reboot needs nothing else.

Invariant: a file is replaced in one step or appended to, so that a killed process, a power cut or a full disk
leaves the old state or the new one. Only their owner may read them.
"""

import asyncio
import fcntl
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from errno import ENOSPC
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit
from zlib import crc32

from wgpy.address import Address as IPAddress
from wgpy.address import Prefix, parse_host_port
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import WgpyError
from wgpy.host.disk import sync_folder
from wgpy.keys import PrivateKey
from wgpy.mesh import codec
from wgpy.mesh.invitation import check_url
from wgpy.mesh.ledger import Ledger, RecordRejected
from wgpy.mesh.records import (
    AnnouncedSite,
    Departure,
    Node,
    Paths,
    RegisteredRelay,
    Sites,
    encode,
    network_id,
)
from wgpy.mesh.signing import Signed, SigningKey, VerifyKey
from wgpy.mesh.wire import Delta, decode_line, deltas, encode_line, undamaged_records
from wgpy.node.coordinator_client import DEFAULT_PORT, Address
from wgpy.node.text import printable
from wgpy.node.underlay import MARK, clients_table_of, exit_table_of, return_table_of, table_of
from wgpy.number import parse_number

NODES: Final = Path("/var/lib/wgpyd/mesh")  # a folder for each network that this host is in
COORDINATORS: Final = Path("/var/lib/wgmesh")  # a folder for each network that this host coordinates
SOCKETS: Final = Path("/var/run/wgpyd")  # of agents
KEEPALIVE_AUTO: Final = "auto"  # keepalives if this host is behind a NAT
KEEPALIVE_OFF: Final = "off"
_COMPACT_FROM: Final = 1 << 20  # bytes
_LOCK_PAUSE: Final = 0.02  # seconds between attempts
_LOCK_TIMEOUT: Final = 60.0  # seconds: another command ends before

_T = TypeVar("_T")


class StorageError(WgpyError):
    """A file cannot be read or written; one sentence with a remedy."""


def gateway_note(network: str) -> Path:
    """Return the file that says which settings of the kernel a node changed for its sites."""
    return SOCKETS / f"{network}.gateway"


def parse_keepalive(text: str) -> str:
    """`auto`, `off` or seconds, 1 to 65535. Raises ValueError."""
    if text in (KEEPALIVE_AUTO, KEEPALIVE_OFF):
        return text
    return str(parse_number(text, 1, 65535))


def write_file(path: Path, data: bytes) -> None:
    """Replace a file in one step, and return once that is on disk. Raises StorageError."""
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        new.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        raise StorageError(f"{path} cannot be written: {error.strerror}") from None


def load(kind: type[_T], path: Path) -> _T:
    """Read what `save` wrote. Raises StorageError."""
    try:
        return codec.read(kind, json.loads(path.read_bytes()))
    except FileNotFoundError:
        raise StorageError(f"{path} is not there") from None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise StorageError(f"{path} is damaged ({error}): restore it from a backup, or begin anew") from None


def save(value: Any, path: Path) -> None:
    """Write a dataclass as JSON. Raises StorageError."""
    write_file(path, json.dumps(codec.write(value), indent=1).encode() + b"\n")


@asynccontextmanager
async def locked(folder: Path) -> AsyncIterator[None]:
    """Hold the lock of a folder, for which other processes wait. Raises StorageError.

    Of the folder, since its files are replaced.
    """
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError(f"{folder} cannot be read: {error.strerror}") from None
    try:
        await _lock(fd, folder)
        yield
    finally:
        os.close(fd)


async def _lock(fd: int, folder: Path) -> None:
    """Raises StorageError."""
    try:
        async with asyncio.timeout(_LOCK_TIMEOUT):
            while not _try_to_lock(fd):  # noqa: ASYNC110 - no event tells that a lock is free
                await asyncio.sleep(_LOCK_PAUSE)
    except TimeoutError:
        raise StorageError(f"another command uses {folder} for more than {_LOCK_TIMEOUT:.0f} s") from None
    except OSError as error:
        raise StorageError(f"{folder} cannot be locked: {error.strerror}") from None


def _try_to_lock(fd: int) -> bool:
    """Raises OSError."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class NodeFile:
    """A host's keys and settings in a network.

    network: the network's key; url, key_hash, near: its coordinator; interface, listen_port: of the tunnel;
    hosts: the endpoints that the operator gave, each HOST:PORT; endpoints: their addresses when they were
    last resolved, which come before those that are found; keepalive: `auto`, `off` or seconds; table,
    fwmark: of the host's routing, 0 for `table_of` the network and for `MARK`; paused: whether the agent is
    not to run; sites: those that the node announces; sites_sequence: of the last record of them that was
    signed; firewall: the names of sites for which the host's firewall is to be opened; dns: whether the host
    asks the node for the network's names; exit: name of the site by which the host sends what no other route
    has, "" for none; proxy: URL of the HTTP proxy by which it joined, "" for none; return_site,
    return_gateways: of which site the host is one, "" for none, and addresses of a gateway of it in networks
    of the host; paths_sequence: of the last record of the paths to it that was signed; port_mapping: whether
    the router before the host is asked to map the port; pod_ranges: those of its routes that Kubernetes gave
    it; pod_node: as the Node of this name, "" for none; kubernetes_sites: those whose prefixes are a
    cluster's, as they were announced first; the rest as in `records.Node`, where sequence is that of the last
    record signed.
    """

    network: VerifyKey
    url: str
    key_hash: bytes
    interface: str
    listen_port: int
    identity: SigningKey = field(repr=False)
    key: PrivateKey = field(repr=False)
    token: VerifyKey
    admitted: int
    admission: bytes
    name: str
    address: IPv4Address
    routes: tuple[Prefix, ...]
    endpoints: tuple[Endpoint, ...]
    near: str = ""
    sequence: int = 0
    keepalive: str = KEEPALIVE_AUTO
    hosts: tuple[str, ...] = ()
    table: int = 0
    fwmark: int = 0
    paused: bool = False
    sites: tuple[AnnouncedSite, ...] = ()
    sites_sequence: int = 0
    firewall: tuple[str, ...] = ()
    dns: bool = True
    exit: str = ""
    proxy: str = ""
    return_site: str = ""
    return_gateways: tuple[IPAddress, ...] = ()
    paths_sequence: int = 0
    port_mapping: bool = True
    pod_ranges: tuple[Prefix, ...] = ()
    pod_node: str = ""
    kubernetes_sites: tuple[AnnouncedSite, ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError."""
        for url in filter(None, (self.url, self.near)):
            check_url(url)
        parse_keepalive(self.keepalive)
        for host in self.hosts:
            parse_host_port(host)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises StorageError."""
        return load(cls, folder / "node.json")

    def save(self, folder: Path) -> None:
        """Raises StorageError."""
        save(self, folder / "node.json")

    @property
    def coordinator(self) -> Address:
        return Address(self.url, self.key_hash, self.near, self.mark, self.proxy)

    @property
    def underlay_names(self) -> frozenset[str]:
        """The hosts that the mesh itself looks up, which no site may lead elsewhere, in lower case."""
        hosts = (urlsplit(self.url).hostname or "", *(parse_host_port(host).host for host in self.hosts))
        return frozenset(host.lower().removesuffix(".") for host in hosts)

    @property
    def routing_table(self) -> int:
        """The number of the table that has the routes into the interface."""
        return self.table or table_of(self.network)

    @property
    def exit_table(self) -> int:
        """The number of the table that has the default routes of an exit."""
        return exit_table_of(self.routing_table)

    @property
    def clients_table(self) -> int:
        """The number of the table that has the default routes of an exit of clients."""
        return clients_table_of(self.routing_table)

    @property
    def return_table(self) -> int:
        """The number of the table that has the return route of a host of a site."""
        return return_table_of(self.routing_table)

    @property
    def mark(self) -> int:
        """What is not routed by that table."""
        return self.fwmark or MARK

    def local_coordinator_port(self, network: str) -> int:
        """Return the TCP port of the coordinator if it is on this host, or else 0. network: its name."""
        is_here = self.near or (COORDINATORS / network).exists()
        return urlsplit(self.near or self.url).port or DEFAULT_PORT if is_here else 0

    def signed(self, endpoints: Sequence[Endpoint]) -> tuple[Self, Signed]:
        """Return the file with the next sequence, to be saved first, and the record to publish then."""
        file = replace(self, sequence=self.sequence + 1)
        record = Node(
            network=network_id(self.network),
            signer=self.identity.verify_key(),
            sequence=file.sequence,
            admitted=self.admitted,
            token=self.token,
            admission=self.admission,
            name=self.name,
            key=self.key.public_key(),
            address=self.address,
            routes=self.routes,
            endpoints=tuple(endpoints),
        )
        return file, self.identity.sign(encode(record))

    def signed_sites(self) -> tuple[Self, Signed]:
        """Return the file with the next sequence of sites, to be saved first, and the record of them."""
        file = replace(self, sites_sequence=self.sites_sequence + 1)
        record = Sites(
            network=network_id(self.network),
            signer=self.identity.verify_key(),
            sequence=file.sites_sequence,
            sites=self.sites,
        )
        return file, self.identity.sign(encode(record))

    def signed_paths(
        self, endpoints: tuple[Endpoint, ...], relays: tuple[RegisteredRelay, ...], nat: str
    ) -> tuple[Self, Signed]:
        """Return the file with the next sequence of paths, to be saved first, and the record of them."""
        file = replace(self, paths_sequence=self.paths_sequence + 1)
        record = Paths(
            network=network_id(self.network),
            signer=self.identity.verify_key(),
            sequence=file.paths_sequence,
            endpoints=endpoints,
            relays=relays,
            nat=nat,
        )
        return file, self.identity.sign(encode(record))

    def departure(self) -> Signed:
        record = Departure(network=network_id(self.network), signer=self.identity.verify_key())
        return self.identity.sign(encode(record))


@dataclass(frozen=True, slots=True)
class NetworkKeyFile:
    """The network's key, with what is needed to use it on any host.

    sequence: of the last admin record that was signed with it here; used: when, Unix seconds.
    """

    key: SigningKey = field(repr=False)
    url: str
    key_hash: bytes
    sequence: int
    used: int

    def __post_init__(self) -> None:
        """Raises ValueError."""
        check_url(self.url)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises StorageError."""
        return load(cls, path)

    def save(self, path: Path) -> None:
        """Raises StorageError."""
        save(self, path)


class Journal:
    """The lines of the coordinator and of neighbours, each with a checksum, which are read after a reboot.

    The records in it are verified again, so it can be damaged but not forged. A torn end is cut off.
    damage: what the last reading found, in a few words, "" for nothing.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "records.jsonl"
        self._size: int | None = None  # of its whole lines, in bytes; None until the file was seen
        self._compact_size = 0
        self.damage = ""

    def load(self, ledger: Ledger) -> int:
        """Add the good records to a ledger; return the revision to follow from. Raises StorageError.

        What is behind damage is kept, but does not count as known: who follows from before it is sent again
        what was lost.
        """
        data = self._read()
        self._size = data.rfind(b"\n") + 1
        revision, damage = 0, list[str]()
        for line in data[: self._size].splitlines(keepends=True):
            reached, trouble = _read_line(line, ledger)
            damage += trouble
            if not damage:
                revision = max(revision, reached)
        if self._size < len(data):
            self._cut()
        if damage:
            self.damage = damage[0] if len(damage) == 1 else f"{damage[0]}, and {len(damage) - 1} more"
            with suppress(StorageError):  # else the next start finds it again
                self._rewrite(ledger, revision)
        return revision

    def read(self, ledger: Ledger) -> None:
        """Add the good records to a ledger, and leave the file alone, which a running node writes to.

        Raises StorageError.
        """
        for line in self._read().splitlines(keepends=True):
            _read_line(line, ledger)

    def _read(self) -> bytes:
        """Raises StorageError."""
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise StorageError(f"{self._path} cannot be read: {error.strerror}") from None

    def append(self, delta: Delta) -> None:
        """Return once it is on disk. Raises StorageError, and then the journal is as it was."""
        try:
            self._write(_with_checksum(encode_line(delta)))
        except OSError as error:
            self._cut()
            raise StorageError(f"{self._path} cannot be written: {error.strerror}") from None

    def _write(self, line: bytes) -> None:
        """Raises OSError, and then there may be a torn end."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb", buffering=0) as file:
            present = os.fstat(fd).st_size
            self._size = present if self._size is None else min(present, self._size)
            if present > self._size:
                os.ftruncate(fd, self._size)  # an end that could not be cut off before
            if file.write(line) < len(line):
                raise OSError(ENOSPC, os.strerror(ENOSPC))
            os.fsync(fd)
        if self._size == 0:
            sync_folder(self._path.parent)
        self._size += len(line)

    def compact(self, ledger: Ledger, revision: int) -> None:
        """Rewrite the file with the records that count, once half of it does not. Raises StorageError."""
        if (self._size or 0) < max(_COMPACT_FROM, 2 * self._compact_size):
            return
        self._rewrite(ledger, revision)

    def _rewrite(self, ledger: Ledger, revision: int) -> None:
        """Raises StorageError."""
        lines = map(encode_line, deltas(0, revision, list(ledger)))
        data = b"".join(map(_with_checksum, lines))
        write_file(self._path, data)
        self._size = self._compact_size = len(data)

    def _cut(self) -> None:
        """Cut off what follows the good lines; if that fails, it is done before the next append."""
        if self._size is not None:
            with suppress(OSError):
                os.truncate(self._path, self._size)


def _with_checksum(line: bytes) -> bytes:
    return b"%08x " % crc32(line) + line


def _read_line(line: bytes, ledger: Ledger) -> tuple[int, list[str]]:
    """Add the records of a journal's line; return its revision, and what is damaged in it.

    Records have signatures, so what is good of a damaged line is used. Older versions wrote no checksum.
    """
    checksum, brace, rest = line.partition(b"{")
    damage = [] if checksum in (b"", b"%08x " % crc32(brace + rest)) else ["a line is damaged"]
    try:
        delta = decode_line(brace + rest)
    except ValueError as error:
        damage, delta = [str(error)], Delta(0, tuple(undamaged_records(brace + rest)))
    if not isinstance(delta, Delta):
        return 0, ["a line has no records"]
    for signed in delta.records:
        try:
            ledger.add(signed)
        except RecordRejected as error:
            damage.insert(0, f"{printable(error.description)}: {error}")
    return delta.revision, damage
