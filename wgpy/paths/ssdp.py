"""The search for a router that speaks UPnP: a datagram, and an answer with the URL of its description.

Invariant: an answer leads to the router itself or is None, whoever sent it; nothing raises.
UPnP Device Architecture 1.1, section 1.3.
"""

from contextlib import suppress
from ipaddress import IPv4Address
from typing import Final
from urllib.parse import urlsplit

GROUP: Final = "239.255.255.250"
PORT: Final = 1900
MAX_SIZE: Final = 2048  # bytes of an answer
SEARCH: Final = (
    b"M-SEARCH * HTTP/1.1\r\n"
    b"HOST: 239.255.255.250:1900\r\n"
    b'MAN: "ssdp:discover"\r\n'
    b"MX: 1\r\n"
    b"ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"  # what is newer answers, too
    b"\r\n"
)


def read_location(data: bytes, router: IPv4Address) -> str | None:
    """Return the URL of the router's description."""
    if len(data) > MAX_SIZE or not data.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
        return None
    for line in data.decode(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() == "location":
            url = value.strip()
            return url if url.isascii() and url.isprintable() and is_at(url, router) else None
    return None


def is_at(url: str, router: IPv4Address) -> bool:
    """Return whether a URL leads to the router, by HTTP."""
    with suppress(ValueError):
        parts = urlsplit(url)
        return parts.scheme == "http" and parts.hostname == str(router) and parts.port != 0
    return False
