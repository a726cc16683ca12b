"""The public key in a certificate, as it stands there. RFC 5280 section 4.1

Invariant: what is read is DER, whose lengths have one spelling (X.690 section 10.1), and has the tags that a
certificate has. So OpenSSL, which has proven that the other end has the key, found it at the same place.
"""

from typing import Final

_INTEGER: Final = 0x02
_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_BEFORE_THE_KEY: Final = (_INTEGER, *[_SEQUENCE] * 4)  # serial number, signature, issuer, validity, subject
_LONG: Final = 0x80  # a length of more bytes; their number is the rest
_MAX_LENGTH: Final = 3  # bytes of a length


def public_key_info(certificate: bytes) -> bytes:
    """Return its SubjectPublicKeyInfo, in DER as the certificate is. Raises ValueError."""
    place, _ = _contents(certificate, 0, _SEQUENCE)
    place, end = _contents(certificate, place, _SEQUENCE)
    if certificate[place : place + 1] == bytes((_VERSION,)):
        _, place = _contents(certificate, place, _VERSION)
    for tag in _BEFORE_THE_KEY:
        _, place = _contents(certificate, place, tag)
    _, after = _contents(certificate, place, _SEQUENCE)
    if after > end:
        raise ValueError("that is no certificate: its key is longer than it is")
    return certificate[place:after]


def _contents(data: bytes, place: int, tag: int) -> tuple[int, int]:
    """Return where the contents of an element begin and end. Raises ValueError unless it has this tag."""
    head = data[place : place + 2]
    if len(head) < 2 or head[0] != tag:
        raise ValueError(f"that is no certificate: at {place} is no element of the type {tag:#x}")
    begin, length = place + 2, head[1]
    if length & _LONG:
        size = length - _LONG
        begin, length = begin + size, int.from_bytes(data[begin : begin + size])
        if not 0 < size <= _MAX_LENGTH or length < max(_LONG, 1 << 8 * (size - 1)):
            raise ValueError(f"that is no certificate: the length at {place} is not one of DER")
    if begin + length > len(data):
        raise ValueError(f"that is no certificate: the element at {place} is longer than it is")
    return begin, begin + length
