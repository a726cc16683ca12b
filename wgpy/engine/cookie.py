"""The macs at the end of handshake messages, and cookies, in both roles. Whitepaper 5.3, 5.4.4, 5.4.7.

Invariant: mac1 shows that the sender knows whom it speaks to; mac2, under load, that it receives where it
says it is. A cookie covers address and port, and is answered to at once, never kept by who gives it.
"""

from collections.abc import Callable

from wgpy.contract.constants import (
    COOKIE_LENGTH,
    COOKIE_NONCE_LENGTH,
    COOKIE_SECRET_LATENCY,
    COOKIE_SECRET_MAX_AGE,
    KEY_LENGTH,
    LABEL_COOKIE,
    LABEL_MAC1,
    MAC_LENGTH,
)
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import DatagramError
from wgpy.contract.messages import CookieReply, HandshakeInitiation, HandshakeResponse

from .crypto import InvalidTag, compare_digest, hash_, mac, xaead_open, xaead_seal

_ZERO_MAC = bytes(MAC_LENGTH)


def _mac1_body(datagram: bytes) -> bytes:
    return datagram[: -2 * MAC_LENGTH]


def _mac2_body(datagram: bytes) -> bytes:
    return datagram[:-MAC_LENGTH]


def has_valid_mac2(datagram: bytes, cookie: bytes) -> bool:
    """datagram: a whole initiation or response; cookie: that of its source."""
    return compare_digest(mac(cookie, _mac2_body(datagram)), datagram[-MAC_LENGTH:])


class CookieChecker:
    """The receiving role: checks macs and gives cookies, for one identity."""

    __slots__ = ("_cookie_key", "_mac1_key", "_new_secret", "_random", "_secret", "_secret_expires")

    def __init__(self, public_key: bytes, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._mac1_key = hash_(LABEL_MAC1, public_key)
        self._cookie_key = hash_(LABEL_COOKIE, public_key)
        self._secret = b""
        self._new_secret: bytes | None = None
        self._secret_expires = 0

    def has_valid_mac1(self, datagram: bytes) -> bool:
        """datagram: a whole initiation or response."""
        expected = mac(self._mac1_key, _mac1_body(datagram))
        return compare_digest(expected, datagram[-2 * MAC_LENGTH : -MAC_LENGTH])

    def cookie(self, source: Endpoint, now: int) -> bytes:
        """What only who receives at this address and port gets to know."""
        if now >= self._secret_expires:
            self._secret = self._new_secret = self._random(KEY_LENGTH)
            self._secret_expires = now + COOKIE_SECRET_MAX_AGE
        return mac(self._secret, source.packed())

    def create_reply(self, datagram: bytes, sender_index: int, cookie: bytes) -> CookieReply:
        """The cookie for the sender of this message, readable only by who saw its mac1."""
        nonce = self._random(COOKIE_NONCE_LENGTH)
        mac1 = datagram[-2 * MAC_LENGTH : -MAC_LENGTH]
        return CookieReply(sender_index, nonce, xaead_seal(self._cookie_key, nonce, cookie, mac1))

    def take_new_secret(self) -> bytes | None:
        """The secret of the cookies, if another was made since the last call."""
        secret, self._new_secret = self._new_secret, None
        return secret


class CookieMaker:
    """The sending role, towards one peer: adds macs, and keeps the cookie the peer gave."""

    __slots__ = ("_cookie", "_cookie_expires", "_cookie_key", "_last_mac1", "_mac1_key")

    def __init__(self, remote_public_key: bytes) -> None:
        self._mac1_key = hash_(LABEL_MAC1, remote_public_key)
        self._cookie_key = hash_(LABEL_COOKIE, remote_public_key)
        self._last_mac1: bytes | None = None
        self._cookie = b""
        self._cookie_expires = 0

    def seal(self, message: HandshakeInitiation | HandshakeResponse, now: int) -> bytes:
        """The datagram of a message, with mac1, and mac2 while a cookie is fresh."""
        body = _mac1_body(message.encode())
        self._last_mac1 = mac(self._mac1_key, body)
        body += self._last_mac1
        return body + (mac(self._cookie, body) if now < self._cookie_expires else _ZERO_MAC)

    def consume_reply(self, reply: CookieReply, now: int) -> None:
        """Keep the cookie for our next message. Raises DatagramError; one reply per message is taken."""
        if self._last_mac1 is None:
            raise DatagramError(DropReason.UNEXPECTED_COOKIE)
        try:
            cookie = xaead_open(self._cookie_key, reply.nonce, reply.encrypted_cookie, self._last_mac1)
        except InvalidTag:
            raise DatagramError(DropReason.INVALID_COOKIE) from None
        self._cookie = cookie
        self._cookie_expires = now + COOKIE_SECRET_MAX_AGE - COOKIE_SECRET_LATENCY
        self._last_mac1 = None


assert COOKIE_LENGTH == MAC_LENGTH
