"""The coordinator's key and certificate.

Nodes verify the hash of the public key, so the name and the dates of a self-signed certificate do not
matter. The certificate of an authority is the operator's, and nodes verify it by name.
"""

import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from wgpy.node.coordinator_client import key_hash
from wgpy.node.files import write_file

from .errors import MeshError

_LOG = logging.getLogger("wgmesh")

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


def load_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Raises MeshError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
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
