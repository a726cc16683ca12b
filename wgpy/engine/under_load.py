"""Which handshake messages are worth their work. Whitepaper 5.3.

Invariant: mac1 is always checked. Under load a sender shows by mac2 that it receives at its address, or gets
a cookie instead of an answer; and each address is answered at a bounded rate.
"""

from collections.abc import Callable

from wgpy.contract.constants import (
    RATE_LIMIT_BURST,
    RATE_LIMIT_MAX_SOURCES,
    RATE_LIMIT_PER_SECOND,
    UNDER_LOAD_DEPTH,
    UNDER_LOAD_HOLD,
)
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import DatagramError
from wgpy.contract.orders import SetCookieSecret
from wgpy.ratelimiter import RateLimiter

from .actions import Action, SendDatagram
from .cookie import CookieChecker, has_valid_mac2


class HandshakeChecker:
    """For one identity at a time."""

    def __init__(self, random: Callable[[int], bytes], actions: list[Action]) -> None:
        """actions: where to put what is to be done."""
        self._random = random
        self._actions = actions
        self._checker: CookieChecker | None = None
        self._rate_limiter = RateLimiter(
            per_second=RATE_LIMIT_PER_SECOND, burst=RATE_LIMIT_BURST, max_sources=RATE_LIMIT_MAX_SOURCES
        )
        self._under_load_until = 0

    def set_public_key(self, public_key: bytes | None) -> None:
        self._checker = CookieChecker(public_key, self._random) if public_key else None

    def note_load(self, queued: int, now: int) -> None:
        """queued: how many handshake messages wait."""
        if queued >= UNDER_LOAD_DEPTH:
            self._under_load_until = now + UNDER_LOAD_HOLD

    def check(self, datagram: bytes, sender_index: int, source: Endpoint, now: int) -> None:
        """Raises DatagramError for an initiation or response that is not to be looked at."""
        if self._checker is None:
            raise DatagramError(DropReason.NO_PRIVATE_KEY)
        if not self._checker.has_valid_mac1(datagram):
            raise DatagramError(DropReason.INVALID_MAC1)
        if now < self._under_load_until:
            self._check_source(self._checker, datagram, sender_index, source, now)

    def _check_source(
        self, checker: CookieChecker, datagram: bytes, sender_index: int, source: Endpoint, now: int
    ) -> None:
        cookie = checker.cookie(source, now)
        if secret := checker.take_new_secret():
            self._actions.append(SetCookieSecret(secret))
        if not has_valid_mac2(datagram, cookie):
            reply = checker.create_reply(datagram, sender_index, cookie)
            self._actions.append(SendDatagram(None, reply.encode(), source))
            raise DatagramError(DropReason.INVALID_MAC2)
        if not self._rate_limiter.allow(source.packed()[:-2], now):
            raise DatagramError(DropReason.RATE_LIMITED)
