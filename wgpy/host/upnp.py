"""Asks a router for a port mapping by UPnP: a program, as the library for it is large and rarely needed.

    python -I upnp.py SECONDS find   URL ROUTER HOST
    python -I upnp.py SECONDS map    URL ROUTER HOST PORT LIFETIME WANTED
    python -I upnp.py SECONDS delete URL ROUTER HOST PORT

It ends within SECONDS. URL is that of the router's description; ROUTER and HOST are IPv4 addresses, HOST this
one's; PORT is of this host, or outside where a mapping is deleted; LIFETIME is in seconds. It prints a JSON
object: `address`, `port` and `lifetime`, or `trouble`, a sentence.

Invariant: only ROUTER is asked, whatever it says; its answers have a limit, and so has the time.
"""

import asyncio
import json
import random
import signal
import sys
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

from async_upnp_client.client import UpnpRequester, UpnpService
from async_upnp_client.client_factory import UpnpFactory
from async_upnp_client.const import HttpRequest, HttpResponse
from async_upnp_client.exceptions import UpnpActionError, UpnpError

from wgpy.contract.errors import WgpyError

_SERVICES: Final = ("WANIPConnection:2", "WANIPConnection:1", "WANPPPConnection:1")
_HTTP_TIMEOUT: Final = 3.0  # seconds
_MAX_ANSWER: Final = 1 << 18  # bytes
_MAX_REQUESTS: Final = 32
_TRIES: Final = 3  # ports outside
_DYNAMIC: Final = range(49152, 65536)
_CONFLICT: Final = 718  # errors of AddPortMapping
_ONLY_PERMANENT: Final = 725


class UpnpFailed(WgpyError):
    """The message is a sentence."""


async def _run(command: str, url: str, router: str, host: str, *numbers: str) -> dict[str, Any]:
    """Raises UpnpFailed, and what library and network raise."""
    service = await service_at(url, router, host)
    match command, [int(number) for number in numbers]:
        case "map", [port, lifetime, wanted]:
            return await map_port(service, host, port, lifetime, wanted)
        case "delete", [port]:
            await service.action("DeletePortMapping").async_call(**_outside(port))
    return {}


async def map_port(service: UpnpService, host: str, port: int, lifetime: int, wanted: int) -> dict[str, Any]:
    """Return what is printed. Raises UpnpFailed, and what library and network raise."""
    for tried in (wanted, *random.sample(_DYNAMIC, _TRIES - 1)):
        if await _add(service, host, port, tried, lifetime):
            break
    else:
        raise UpnpFailed("the ports are used by other hosts")
    entry = await service.action("GetSpecificPortMappingEntry").async_call(**_outside(tried))
    if (entry["NewInternalClient"], entry["NewInternalPort"]) != (host, port):
        raise UpnpFailed("it mapped the port to another host")
    found = await service.action("GetExternalIPAddress").async_call()
    left = entry["NewLeaseDuration"] or lifetime  # 0 for ever
    return {"address": found["NewExternalIPAddress"], "port": tried, "lifetime": left}


async def _add(service: UpnpService, host: str, port: int, tried: int, lifetime: int) -> bool:
    """Return whether a port is ours now. Raises UpnpActionError."""
    mapping = {
        **_outside(tried), "NewInternalPort": port, "NewInternalClient": host, "NewEnabled": True,
        "NewPortMappingDescription": "wgpy",
    }  # fmt: skip
    for lease in (lifetime, 0):
        try:
            await service.action("AddPortMapping").async_call(**mapping, NewLeaseDuration=lease)
        except UpnpActionError as error:
            if error.error_code == _CONFLICT:
                return False
            if error.error_code != _ONLY_PERMANENT or not lease:
                raise
        else:
            return True
    return False


def _outside(port: int) -> dict[str, Any]:
    return {"NewRemoteHost": "", "NewExternalPort": port, "NewProtocol": "UDP"}


async def service_at(url: str, router: str, host: str) -> UpnpService:
    """Return the service that maps ports. Raises UpnpFailed, and what library and network raise."""
    factory = UpnpFactory(_Requester(router, host), non_strict=True)
    device = await factory.async_create_device(url)
    for kind in _SERVICES:
        if service := device.find_service(f"urn:schemas-upnp-org:service:{kind}"):
            return service
    raise UpnpFailed("it maps no ports")


class _Requester(UpnpRequester):
    """It connects to the router alone, and may block: there is nothing else to do here."""

    def __init__(self, router: str, host: str) -> None:
        self._router = router
        self._host = host
        self._left = _MAX_REQUESTS

    async def async_http_request(self, http_request: HttpRequest) -> HttpResponse:
        """Raises OSError, HTTPException, ValueError and UpnpFailed."""
        self._left -= 1
        if self._left < 0:
            raise UpnpFailed("it has too much to read")
        parts = urlsplit(http_request.url)
        connection = HTTPConnection(
            self._router, parts.port or 80, timeout=_HTTP_TIMEOUT, source_address=(self._host, 0)
        )
        with closing(connection):
            return _exchange(connection, parts._replace(scheme="", netloc="").geturl(), http_request)


def _exchange(connection: HTTPConnection, target: str, request: HttpRequest) -> HttpResponse:
    """Raises OSError, HTTPException and UpnpFailed."""
    body = request.body.encode() if request.body else None
    connection.request(request.method, target or "/", body, dict(request.headers))
    with connection.getresponse() as answer:
        text = answer.read(_MAX_ANSWER + 1)
    if len(text) > _MAX_ANSWER:
        raise UpnpFailed("it answers too much")
    return HttpResponse(answer.status, dict(answer.headers), text.decode(errors="replace"))


def main() -> None:
    signal.alarm(int(sys.argv[1]))
    sys.stdout.write(json.dumps(asyncio.run(_answer(*sys.argv[2:]))))


async def _answer(command: str, *arguments: str) -> dict[str, Any]:
    """Return what is printed."""
    try:
        return await _run(command, *arguments)
    except UpnpFailed as error:
        return {"trouble": str(error)}
    except (OSError, HTTPException):
        return {"trouble": "it ends the connection"}
    except UpnpActionError as error:
        return {"trouble": f"it refuses for reason {error.error_code}"}
    except (UpnpError, LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
        return {"trouble": f"it answers otherwise than expected ({type(error).__name__})"}


if __name__ == "__main__":
    main()
