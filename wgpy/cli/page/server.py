"""The page's server: to whoever came by the printed link it gives what the node knows, and to nobody else.

Invariants: it listens where it was told and nowhere else; a request for another host's name (DNS rebinding),
from another site's page or without the login gets nothing, not even a file; no answer changes anything.
"""

import asyncio
import hmac
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http.cookies import CookieError, SimpleCookie
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from wgpy.contract.errors import WgpyError
from wgpy.node.http import Answer, Connections, Request

_MAX_CONNECTIONS: Final = 64
_LOGIN: Final = "/login"
_KINDS: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FILES: Final = {
    "/": "index.html",
    "/favicon.ico": "icon.svg",
    **{f"/{name}": name for name in ("page.css", "page.js", "map.js", "cytoscape.min.js", "icon.svg")},
}
# What a browser is told about every answer. Script, style and data come from here alone, and nothing inline.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    ("Content-Security-Policy", _POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)
_OTHER_SITES: Final = ("cross-site", "same-site")

Reader = Callable[[Mapping[str, str]], Awaitable[Any]]


class PageServer:
    """readers: what answers GET, by its path, with a value for JSON; it may raise WgpyError, a sentence."""

    def __init__(self, readers: Mapping[str, Reader]) -> None:
        self._readers = readers
        self._token = secrets.token_urlsafe(32)
        self._session = secrets.token_urlsafe(32)
        self._connections = Connections(self._answer, _MAX_CONNECTIONS)
        self._hosts: tuple[str, ...] = ()
        self._cookie = ""

    @asynccontextmanager
    async def listening(self, address: str, port: int) -> AsyncIterator[str]:
        """Listen at a TCP port, 0 for any that is free, and give the link to the page. Raises OSError."""
        server = await asyncio.start_server(self._connections.take, address, port)
        port = server.sockets[0].getsockname()[1]
        host = f"[{address}]" if ":" in address else address
        self._hosts = tuple(f"{name}:{port}" for name in (host, "localhost"))
        self._cookie = f"wgpy-{port}"  # cookies are for all ports of a host
        try:
            yield f"http://{host}:{port}{_LOGIN}?token={self._token}"
        finally:
            server.close()
            await self._connections.end()

    async def _answer(self, request: Request) -> Answer:
        answer = await self._checked(request)
        return Answer(answer.status, answer.content, answer.kind, (*answer.headers, *_HEADERS))

    async def _checked(self, request: Request) -> Answer:
        target = urlsplit(request.target)
        if request.headers.get("host", "").lower() not in self._hosts:
            return _plain(421, f"This page is at http://{self._hosts[0]} alone.")
        if request.method != "GET":
            return _plain(405, "This page changes nothing: it has GET alone.")
        if target.path == _LOGIN:
            return self._log_in(target.query)
        if request.headers.get("sec-fetch-site") in _OTHER_SITES or not self._is_logged_in(request):
            return _plain(403, "This needs the link that `wgpy mesh page` has printed.")
        if name := _FILES.get(target.path):
            return Answer(200, _content(name), _KINDS[name.rpartition(".")[2]])
        return await self._read(target.path, target.query)

    def _log_in(self, query: str) -> Answer:
        given = parse_qs(query).get("token", [""])[0]
        if not _same(given, self._token):
            return _plain(403, "This is not the link that `wgpy mesh page` has printed.")
        cookie = f"{self._cookie}={self._session}; Path=/; HttpOnly; SameSite=Strict"
        # A redirection would still count as begun by the page that the link was on, and be sent no cookie.
        refresh = b'<!doctype html><meta http-equiv="refresh" content="0;url=/"><title>wgpy</title>'
        return Answer(200, refresh, _KINDS["html"], [("Set-Cookie", cookie)])

    def _is_logged_in(self, request: Request) -> bool:
        try:
            cookies = SimpleCookie(request.headers.get("cookie", ""))
        except CookieError:
            return False
        found = cookies.get(self._cookie)
        return found is not None and _same(found.value, self._session)

    async def _read(self, path: str, query: str) -> Answer:
        if (reader := self._readers.get(path)) is None:
            return _plain(404, "There is nothing here.")
        arguments = {name: values[0] for name, values in parse_qs(query).items()}
        try:
            return Answer(200, json.dumps(await reader(arguments)).encode())
        except WgpyError as error:
            return Answer(503, json.dumps({"detail": str(error)}).encode())


def _content(name: str) -> bytes:
    return files("wgpy.cli.page").joinpath("static", name).read_bytes()


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(), secret.encode())


def _plain(status: int, sentence: str) -> Answer:
    return Answer(status, f"{sentence}\n".encode(), "text/plain; charset=utf-8")
