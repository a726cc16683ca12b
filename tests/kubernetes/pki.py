"""Certificates of a cluster, and the kubeconfig files of those that call its API."""

import json
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = timedelta(days=30)
_PURPOSES = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
_CRITICAL = (x509.BasicConstraints, x509.KeyUsage)


@dataclass(frozen=True, slots=True)
class Authority:
    """The cluster's certificate authority, and the folder with everything that it issued."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls, folder: Path) -> "Authority":
        folder.mkdir()
        key = _new_key(folder / "ca.key")
        name = _name("ca")
        certificate = _certificate(name, name, key, key, *_authority_extensions(key))
        (folder / "ca.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
        return cls(folder, key, certificate)

    @property
    def file(self) -> Path:
        return self.folder / "ca.crt"

    def issue(self, name: str, user: str, group: str = "", *hosts: str) -> None:
        """Write NAME.crt and NAME.key, with which its holder is that user, or a server of those hosts."""
        key = _new_key(self.folder / f"{name}.key")
        extensions: list[x509.ExtensionType] = [
            x509.ExtendedKeyUsage(_PURPOSES),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
        ]
        if hosts:
            extensions.append(x509.SubjectAlternativeName([_host(host) for host in hosts]))
        certificate = _certificate(_name(user, group), self.certificate.subject, key, self.key, *extensions)
        (self.folder / f"{name}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue_signing_key(self, name: str) -> None:
        """Write NAME.key and NAME.pub: what service accounts' tokens are signed and verified with."""
        public = _new_key(self.folder / f"{name}.key").public_key()
        text = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (self.folder / f"{name}.pub").write_bytes(text)

    def kubeconfig(self, name: str, url: str) -> Path:
        """Write NAME.kubeconfig for who has NAME's certificate."""
        user = {
            "client-certificate-data": _base64(self.folder / f"{name}.crt"),
            "client-key-data": _base64(self.folder / f"{name}.key"),
        }
        cluster = {"server": url, "certificate-authority-data": _base64(self.file)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "cluster", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "context", "context": {"cluster": "cluster", "user": name}}],
            "current-context": "context",
        }
        file = self.folder / f"{name}.kubeconfig"
        file.write_text(json.dumps(document))
        return file


def _new_key(file: Path) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    file.touch(mode=0o600)
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def _name(user: str, group: str = "") -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _authority_extensions(key: ec.EllipticCurvePrivateKey) -> list[x509.ExtensionType]:
    """Return what Python's ssl asks of an authority since 3.13."""
    return [
        x509.BasicConstraints(ca=True, path_length=None),
        x509.KeyUsage(
            key_cert_sign=True,
            crl_sign=True,
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        ),
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
    ]


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *extensions: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, _CRITICAL))
    return builder.sign(signer, hashes.SHA256())


def _base64(file: Path) -> str:
    return b64encode(file.read_bytes()).decode()
