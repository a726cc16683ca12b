"""The coordinator's key and certificate.

Nodes verify the hash of the public key, so the name and the dates of a self-signed certificate do not
matter. The certificate of an authority is the operator's, and nodes verify it by name.
"""

import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from wgpy.node.coordinator_client import key_hash
from wgpy.node.files import write_file

from .errors import MeshError

_LOG = logging.getLogger("wgmesh")

# Of a record that is not whole yet 16 KiB may wait, RFC 8446 section 5.1; 20 KiB of messages that change keys
# take 25 ms.
_MAX_OVERHEAD: Final = 20 << 10  # bytes
_FOREVER: Final = datetime(9999, 12, 31, tzinfo=UTC)  # RFC 5280 section 4.1.2.5


def make_key(key_file: Path, certificate_file: Path, name: str) -> bytes:
    """Write a new key and its certificate; return the hash by which nodes verify it. Raises StorageError."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(1970, 1, 1, tzinfo=UTC))
        .not_valid_after(_FOREVER)
        .sign(key, SHA256())
    )
    write_file(key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write_file(certificate_file, certificate.public_bytes(Encoding.PEM))
    return key_hash(certificate.public_bytes(Encoding.DER))


class TooMuchOverhead(ssl.SSLError):
    """A client sends TLS records that carry little or nothing: their cost is in no allowance."""


class _Connection(ssl.SSLObject):
    """The TLS of a connection, which fails when twice what was read is 20 KiB less than what came for it."""

    incoming: ssl.MemoryBIO
    _overhead = 0  # bytes

    def read(self, *args: Any, **kwargs: Any) -> Any:
        """Raises TooMuchOverhead."""
        pending, size = self.incoming.pending, 0
        try:
            found: Any = super().read(*args, **kwargs)
            size = found if isinstance(found, int) else len(found)
        finally:
            self._count(pending - self.incoming.pending, size)
        return found

    def _count(self, consumed: int, size: int) -> None:
        """Raises TooMuchOverhead."""
        self._overhead = max(0, self._overhead + consumed - 2 * size)
        if self._overhead > _MAX_OVERHEAD:
            raise TooMuchOverhead("its TLS records carry too little")


class _Context(ssl.SSLContext):
    """Makes connections that know how much came for them."""

    sslobject_class = _Connection

    def wrap_bio(self, incoming: ssl.MemoryBIO, *args: Any, **kwargs: Any) -> _Connection:
        connection = super().wrap_bio(incoming, *args, **kwargs)
        assert isinstance(connection, _Connection)
        connection.incoming = incoming
        return connection


def load_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Raises MeshError."""
    context = _Context(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # A node connects once and stays connected, so it never resumes a session: no tickets.
    context.num_tickets = 0
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise MeshError(
            f"{certificate} and {key} are not a certificate and its key: {error.reason}"
        ) from None
    except OSError as error:
        raise MeshError(f"{certificate} or {key} cannot be read: {error.strerror}") from None
    return context


class Certificate:
    """A certificate and its key, which are read again when their files change.

    While the files are no pair, as when one of them is written and the other is not yet, the former pair
    stays in force.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises MeshError."""
        self._files = certificate, key
        self._state = self._state_of_files()
        self._context = load_context(certificate, key)

    def context(self) -> ssl.SSLContext:
        """Return the context for a new connection."""
        if self._state_of_files() != self._state:
            self.renew()
        return self._context

    def renew(self) -> None:
        """Read the files again."""
        self._state = self._state_of_files()
        try:
            self._context = load_context(*self._files)
            _LOG.info("the certificate was read again")
        except MeshError as error:
            _LOG.error("the former certificate stays in force: %s", error)

    def _state_of_files(self) -> list[tuple[int, int, int]]:
        return list(map(_state_of, self._files))


def _state_of(file: Path) -> tuple[int, int, int]:
    """Return what differs when a file was written or replaced."""
    try:
        found = file.stat()
    except OSError:
        return 0, 0, 0
    return found.st_ino, found.st_size, found.st_mtime_ns
