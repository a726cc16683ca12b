"""Serves a client of an HTTP proxy: CONNECT, and requests with a whole URL, one a connection. RFC 9110, 9112

Heads are read and written by h11; bodies pass as they are, so nothing of them is changed.
"""

from contextlib import closing
from typing import Final
from urllib.parse import urlsplit

import h11

from wgpy.address import HostPort
from wgpy.number import parse_port

from .account import Account
from .http_message import read_head, write_answer
from .joining import Connect, join, reason
from .stream import Stream

_HTTP: Final = 80
_ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
_AUTHORIZATION: Final = b"proxy-authorization"
_CHALLENGE: Final = ("Proxy-Authenticate", 'Basic realm="wgpy"')
# Of the connection between a client and its proxy, with those that Connection names. RFC 9110 7.6.1
_HOP_BY_HOP: Final = {b"connection", b"proxy-connection", b"keep-alive", b"te", b"upgrade", _AUTHORIZATION}


async def serve(client: Stream, connect: Connect, account: Account | None) -> None:
    """Serve one connection of a client until it ends. account: None for anybody.

    Raises OSError if the connection breaks.
    """
    with closing(client):
        try:
            request, rest = await read_head(client)
            if account and not account.admits_basic(dict(request.headers).get(_AUTHORIZATION, b"")):
                await _answer(client, 407, "this proxy wants a name and a password", _CHALLENGE)
                return
            target = _read_target(request)
            begin = b"" if request.method == b"CONNECT" else _write_head(request, target)
            there = await connect(*target)
        except (h11.ProtocolError, ValueError) as error:
            await _answer(client, 400, str(error))
        except OSError as error:
            await _answer(client, 502, reason(error))
        else:
            with closing(there):
                if request.method == b"CONNECT":
                    await client.write(_ESTABLISHED)
                await there.write(begin + rest)
                await join(client, there)


def _read_target(request: h11.Request) -> HostPort:
    """Raises ValueError."""
    target = request.target.decode("ascii")
    if request.method == b"CONNECT":
        host, _, port = target.rpartition(":")  # some clients leave out the brackets of IPv6
        return HostPort(host.removeprefix("[").removesuffix("]"), parse_port(port))
    url = urlsplit(target)
    if not url.hostname or url.scheme != "http":
        raise ValueError("this is a proxy: send CONNECT HOST:PORT, or the whole URL, as http://HOST/")
    return HostPort(url.hostname, url.port or _HTTP)


def _write_head(request: h11.Request, target: HostPort) -> bytes:
    """Return the head as the server wants it, for one request: its Host is that of the URL. RFC 9112 3.2.2"""
    url = urlsplit(request.target)
    path = (url.path or b"/") + (b"?" + url.query if url.query else b"")
    host = str(target).removesuffix(f":{_HTTP}").encode("ascii")
    named = b",".join(value for name, value in request.headers if name == b"connection").lower()
    dropped = _HOP_BY_HOP.union({b"host"}, map(bytes.strip, named.split(b",")))
    headers = [(name, value) for name, value in request.headers if name not in dropped]
    headers = [(b"Host", host), *headers, (b"Connection", b"close")]
    head = h11.Request(method=request.method, target=path, headers=headers)
    return h11.Connection(h11.CLIENT).send(head) or b""


async def _answer(client: Stream, status: int, why: str, *headers: tuple[str, str]) -> None:
    await client.write(write_answer(status, f"wgpy: {why}.\n".encode(), *headers))
