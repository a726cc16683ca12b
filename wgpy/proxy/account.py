"""Who may use a proxy: one name and its password, as SOCKS5 and HTTP carry them. RFC 1929, RFC 7617"""

import binascii
import hmac
from base64 import b64decode
from dataclasses import dataclass, field

_BASIC = b"basic "


@dataclass(frozen=True, slots=True)
class Account:
    name: bytes
    password: bytes = field(repr=False)

    def admits(self, name: bytes, password: bytes) -> bool:
        """Take as long for any password that is wrong."""
        return hmac.compare_digest(self.password, password) & hmac.compare_digest(self.name, name)

    def admits_basic(self, header: bytes) -> bool:
        """header: what Proxy-Authorization says, b"" for none."""
        if not header.lower().startswith(_BASIC):
            return False
        try:
            name, _, password = b64decode(header[len(_BASIC) :], validate=True).partition(b":")
        except binascii.Error:
            return False
        return self.admits(name, password)


def read_account(text: str) -> Account:
    """`NAME:PASSWORD`, with a line's end or without. Raises ValueError."""
    name, colon, password = text.removesuffix("\n").partition(":")
    if not name or not colon or "\n" in password or max(map(len, (name.encode(), password.encode()))) > 255:
        raise ValueError("want one line, NAME:PASSWORD, with at most 255 bytes each")
    return Account(name.encode(), password.encode())
