"""The HTTP proxy that the environment names, for hosts that reach a coordinator by it alone.

It learns the coordinator's name and how much is sent, and nothing else: TLS goes through it.
"""

import asyncio
import base64
import os
from contextlib import suppress
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final, Self
from urllib.parse import unquote, urlsplit

import h11

from wgpy.address import HostPort
from wgpy.contract.lazy_dataclass import dataclass

_READ_SIZE: Final = 1 << 12
_MAX_HEAD: Final = 1 << 14  # bytes of its answer
_NAMES: Final = ("https_proxy", "HTTPS_PROXY")


@dataclass(frozen=True, slots=True)
class Proxy:
    """authorization: of the header that it wants, "" for none."""

    address: HostPort
    authorization: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read http://[USER:PASSWORD@]HOST[:PORT]. Raises ValueError."""
        parts, port = urlsplit(url if "://" in url else f"http://{url}"), None
        with suppress(ValueError):
            port = parts.port or 80
        if parts.scheme != "http" or not parts.hostname or port is None:
            raise ValueError(f"the proxy {_shown(url)} is no http://HOST:PORT")
        user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(user.encode()).decode()}" if parts.username else ""
        return cls(HostPort(parts.hostname, port), authorization)


def proxy_url(host: str, default: str = "") -> str:
    """Return the URL of the proxy by which a host is to be reached, "" for none.

    default: of the proxy where the environment names none.
    """
    url = next(filter(None, map(os.environ.get, _NAMES)), default)
    return "" if not url or _is_near(host) or _is_bypassed(host) else url


async def connect_through(
    proxy: Proxy, to: HostPort, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Have a connection to a proxy lead on to a host. Raises OSError. RFC 9110 section 9.3.6"""
    http = h11.Connection(h11.CLIENT)
    headers = [("Host", str(to))]
    if proxy.authorization:
        headers.append(("Proxy-Authorization", proxy.authorization))
    request = h11.Request(method="CONNECT", target=str(to), headers=headers)
    writer.write((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
    try:
        answer = await _response(http, reader)
    except h11.ProtocolError as error:
        raise ConnectionError(f"the proxy {proxy.address} cannot be understood: {error}") from None
    if not HTTPStatus.OK <= answer.status_code < HTTPStatus.MULTIPLE_CHOICES:
        raise ConnectionError(f"the proxy {proxy.address} answers {answer.status_code} for {to}")


async def _response(http: h11.Connection, reader: asyncio.StreamReader) -> h11.Response:
    """Raises OSError and h11.ProtocolError."""
    read = 0
    while not isinstance(event := http.next_event(), h11.Response):
        if event is h11.NEED_DATA:
            http.receive_data(data := await reader.read(min(_READ_SIZE, _MAX_HEAD - read)))
            read += len(data)
        elif not isinstance(event, h11.InformationalResponse):
            raise ConnectionError("the proxy closed the connection")
    return event


def _is_near(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def _is_bypassed(host: str) -> bool:
    # Imported where it is needed: hosts without a proxy, which most are, do without.
    from urllib.request import proxy_bypass  # noqa: PLC0415

    return bool(proxy_bypass(host))


def _shown(url: str) -> str:
    """Return a URL without its password."""
    return url.rpartition("@")[2]
