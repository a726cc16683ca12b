"""Limits of a request: its size, its duration, and the rate of its source address.

Anybody may submit records, and verifying them takes time: 1 MiB is about 1,500 signatures, 0.2 s.
"""

import asyncio
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY: Final = 8 << 20  # bytes: as many records as fit in a line, and how JSON writes them
_BODY_TIMEOUT: Final = 30.0  # seconds, for the whole body
_RATE: Final = 1 << 18  # bytes a second of each address
_BURST: Final = 2 * MAX_BODY
_MAX_ADDRESSES: Final = 10_000


class Allowance:
    """A token bucket for each source address, an IPv6 /64 being one: _RATE bytes a second, _BURST at most."""

    def __init__(self) -> None:
        self._used: dict[str, tuple[float, float]] = {}  # bytes used, and at what time; the newest last

    def take(self, address: str, size: int, now: float) -> bool:
        """Return whether an address may send size bytes. now: seconds of any clock."""
        source = ip_address(address)
        if isinstance(source, IPv6Address):
            source = source.ipv4_mapped or ip_address(int(source) >> 64 << 64)
        used, since = self._used.pop(str(source), (0.0, now))
        used = max(0.0, used - (now - since) * _RATE)
        is_granted = used + size <= _BURST
        self._used[str(source)] = (used + size if is_granted else used, now)
        if len(self._used) > _MAX_ADDRESSES:
            del self._used[next(iter(self._used))]
        return is_granted


class LimitedBody:
    """Refuses a body that is too large or too slow, and an address that exceeds its rate."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._allowance = Allowance()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        clock = asyncio.get_running_loop().time
        deadline = clock() + _BODY_TIMEOUT
        address, _ = scope.get("client") or ("::", 0)
        size = 0
        complete = False

        async def receive_limited() -> Message:
            nonlocal size, complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "the request took too long") from None
            part = len(message.get("body", b""))
            if part and not self._allowance.take(address, part, clock()):
                detail = "too much comes from this address: try again in a minute"
                raise HTTPException(HTTPStatus.TOO_MANY_REQUESTS, detail)
            size += part
            complete = not message.get("more_body", False)
            if size > MAX_BODY:
                detail = f"the request is too large: submit at most {MAX_BODY} bytes at once"
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
            return message

        await self._app(scope, receive_limited, send)
