"""The public key of a certificate: found where the library finds it, and never anywhere else."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from wgpy.node.certificate import public_key_info

_KEYS = (
    ec.generate_private_key(ec.SECP256R1()),
    ec.generate_private_key(ec.SECP521R1()),
    ed25519.Ed25519PrivateKey.generate(),
    rsa.generate_private_key(65537, 4096),
)
_Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def _certificate(key: _Key, name: str, serial: int) -> bytes:
    subject, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    builder = x509.CertificateBuilder(
        subject, subject, key.public_key(), serial, now, now + timedelta(days=1)
    )
    names = x509.SubjectAlternativeName([x509.DNSName("x" * 63)] * len(name))
    signed = builder.add_extension(names, critical=False).sign(
        key, None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256()
    )
    return signed.public_bytes(Encoding.DER)


_CERTIFICATES = st.builds(
    _certificate,
    st.sampled_from(_KEYS),
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=64),
    st.integers(1, (1 << 159) - 1),
)


@given(_CERTIFICATES)
def test_it_is_what_the_library_finds(certificate: bytes) -> None:
    key = x509.load_der_x509_certificate(certificate).public_key()

    assert public_key_info(certificate) == key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@given(_CERTIFICATES, st.data())
def test_of_a_damaged_certificate_it_is_another_one_or_none(certificate: bytes, data: st.DataObject) -> None:
    """Who changes anything before the key or in it does not get away with the key of before."""
    genuine = public_key_info(certificate)
    place = data.draw(st.integers(0, certificate.index(genuine) + len(genuine) - 1))
    damaged = bytearray(certificate)
    damaged[place] ^= data.draw(st.integers(1, 255))

    try:
        found = public_key_info(bytes(damaged))
    except ValueError:
        return
    try:
        key = x509.load_der_x509_certificate(bytes(damaged)).public_key()
    except Exception:  # noqa: BLE001 - the library cannot read it either, in one of many ways
        return
    assert found == key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@given(st.binary(max_size=200))
def test_of_anything_else_it_is_bytes_or_a_value_error(data: bytes) -> None:
    with suppress(ValueError):
        assert public_key_info(data) in data


@pytest.mark.parametrize(
    "spelling",
    [b"\x30\x80", b"\x30\x84\x00\x00\x00\x03", b"\x30\x81\x03", b"\x30\x82\x00\xff", b"\x30\x85", b"\x30"],
)
def test_a_length_has_one_spelling(spelling: bytes) -> None:
    with pytest.raises(ValueError, match="that is no certificate: "):
        public_key_info(spelling + bytes(300))
