"""The text that a person copies to a new host: `wgpy1_` and all that the host needs for its first contact.

It has the private half of a token, so it is a secret; it has the keys of the network and of the coordinator,
so the first contact is authenticated.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import urlsplit

from wgpy.mesh.signing import SigningKey, VerifyKey

PREFIX: Final = "wgpy1_"
KEY_HASH_LENGTH: Final = 32
BY_NAME: Final = bytes(KEY_HASH_LENGTH)  # its certificate is judged by name and authority instead
MAX_URL: Final = 1024
_CHECK_LENGTH: Final = 4
_FIXED: Final = 32 + 32 + KEY_HASH_LENGTH


@dataclass(frozen=True, slots=True)
class Invitation:
    """token: admits; network: its key; coordinator: BLAKE2s of its public key in DER; url: where it is."""

    token: SigningKey = field(repr=False)
    network: VerifyKey
    coordinator: bytes
    url: str

    def __post_init__(self) -> None:
        if len(self.coordinator) != KEY_HASH_LENGTH:
            raise ValueError(f"the hash of a coordinator's key has {KEY_HASH_LENGTH} bytes")
        check_url(self.url)

    def text(self) -> str:
        """Return what is copied: letters, digits, `-` and `_`."""
        data = bytes(self.token) + bytes(self.network) + self.coordinator + self.url.encode()
        return PREFIX + _encoded(data + _check(data))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Raises ValueError with a sentence for the user, which shows nothing of the text."""
        text = text.strip()
        if not text.startswith(PREFIX):
            raise ValueError(f"a token begins with {PREFIX}")
        encoded = text.removeprefix(PREFIX)
        try:
            both = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            both = b""
        data, check = both[:-_CHECK_LENGTH], both[-_CHECK_LENGTH:]
        is_whole = _encoded(both) == encoded and hmac.compare_digest(_check(data), check)
        if len(data) < _FIXED or not is_whole:
            raise ValueError("the token is damaged: copy all of it, from `wgpy1_` to its end")
        token, network, coordinator, url = data[:32], data[32:64], data[64:_FIXED], data[_FIXED:]
        return cls(SigningKey(token), VerifyKey(network), coordinator, url.decode("ascii", "replace"))


def check_url(url: str) -> None:
    """Raises ValueError for what is no address of a coordinator."""
    if not url.startswith("https://") or not url.isascii() or len(url) > MAX_URL or not _has_host(url):
        raise ValueError(f"{url!r} is no address of a coordinator: want https://HOST[:PORT]")


def _has_host(url: str) -> bool:
    """Return whether it has a host, and perhaps a port, that can be one."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _encoded(data: bytes) -> str:
    """Return the only spelling that is read: a last character can have bits that no byte has."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _check(data: bytes) -> bytes:
    return hashlib.blake2s(data, digest_size=_CHECK_LENGTH).digest()
