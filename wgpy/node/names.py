"""Host names of the mesh's own connections, also where a route of the mesh covers a name server. resolver(5)

The sockets of the C library have no mark. So where that makes a difference to the way to a name server, the
question is asked by sockets that have it. The C library answers what is in /etc/hosts, or no server knows.
"""

import asyncio
import socket
from contextlib import closing, suppress
from functools import partial
from ipaddress import IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Any, Final

from wgpy.address import HostPort, is_address
from wgpy.contract.endpoint import Endpoint
from wgpy.host import resolv_conf
from wgpy.host.netlink import RouteLookup
from wgpy.node.underlay import set_mark
from wgpy.paths.nat64 import WELL_KNOWN_NAME, prefix_of, reached, without_synthesized

_HOSTS: Final = Path("/etc/hosts")
_RESOLV_CONF: Final = Path("/etc/resolv.conf")
_BEHIND_STUB: Final = Path("/run/systemd/resolve/resolv.conf")  # systemd-resolved's servers, see its manual
_STUB: Final = "127.0.0.53"
_PORT: Final = 53
_GLOBAL: Final = Endpoint("2000::", _PORT)  # where the default route of IPv6 leads
_TIMEOUT: Final = 4.0  # seconds, for all name servers together
_RECORDS: Final = ("AAAA", "A")
_LONGEST: Final = 10.0  # seconds, for one name, by whatever the C library asks


async def addresses_of(host: HostPort, mark: int) -> list[str]:
    """Return the addresses of a host, as all others know them. mark: of the sockets. Raises OSError.

    After some seconds at most.
    """
    async with asyncio.timeout(_LONGEST):
        found = await _found(host.host, host.port, mark)
    addresses = (ip_address(str(address[0]).partition("%")[0]) for _, address in found)
    return [*map(str, without_synthesized(addresses))]


async def look_up(host: str, port: int, mark: int) -> list[tuple[int, Any]]:
    """Return families and addresses, as a socket's `connect` takes them. Raises OSError.

    Where this host has no way by IPv4, an IPv4 address is given as a NAT64 has it, if there is one.
    """
    found = await _found(host, port, mark)
    if host == WELL_KNOWN_NAME or not _needs_nat64(found, mark):
        return found
    with suppress(OSError):
        if prefix := await nat64_prefix(mark):
            return [_reached(address[0], port, prefix) for _, address in found]
    return found


async def nat64_prefix(mark: int) -> IPv6Network | None:
    """Ask the DNS for the prefix of a NAT64; None if there is none. RFC 7050. Raises OSError."""
    async with asyncio.timeout(_LONGEST):
        found = await _found(WELL_KNOWN_NAME, 0, mark)
    return prefix_of(IPv6Address(address[0]) for family, address in found if family == socket.AF_INET6)


def _needs_nat64(found: list[tuple[int, Any]], mark: int) -> bool:
    """Whether there is a way to none of these addresses of IPv4, and one by IPv6."""
    if any(family != socket.AF_INET for family, _ in found):
        return False
    ends = (Endpoint(*address) for _, address in found)
    with closing(RouteLookup()) as routes:
        is_there = (routes.interface_towards(end, mark) is not None for end in ends)
        return not any(is_there) and routes.interface_towards(_GLOBAL, mark) is not None


def _reached(address: str, port: int, prefix: IPv6Network) -> tuple[int, Any]:
    return socket.AF_INET6, (reached(Endpoint(address, port), prefix).address, port)


async def _found(host: str, port: int, mark: int) -> list[tuple[int, Any]]:
    """Raises OSError."""
    loop = asyncio.get_running_loop()
    found = []
    try:
        for name in await asyncio.to_thread(_addresses, host, mark) or [host]:
            found += await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError("that is no host name") from None
    return list(dict.fromkeys((family, address) for family, *_, address in found))


def describe(error: OSError) -> str:
    """Return why a name has no addresses."""
    return error.strerror or str(error) or "no answer"


def _addresses(host: str, mark: int) -> list[str]:
    """Ask with the mark where that makes a difference; none, if it makes none or nobody knows the name."""
    if is_address(host) or _is_in_hosts(host):
        return []
    path = _resolv_conf()
    if not any(_is_covered(server, mark) for server in _name_servers(path)):
        return []
    return _ask(host, path, mark)


def _is_in_hosts(host: str) -> bool:
    lines = (line.partition("#")[0].split() for line in _lines(_HOSTS))
    return any(host.lower() in map(str.lower, words[1:]) for words in lines)


def _resolv_conf() -> Path:
    return _BEHIND_STUB if _name_servers(_RESOLV_CONF) == [_STUB] and _BEHIND_STUB.exists() else _RESOLV_CONF


def _name_servers(path: Path) -> list[str]:
    """Return those that are no node of a mesh on this host: they would ask the others without the mark."""
    return [*filter(is_address, resolv_conf.foreign_servers(resolv_conf.read(path)))]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _is_covered(server: str, mark: int) -> bool:
    """Whether what has no mark takes another way to a name server than what has it."""
    endpoint = Endpoint(server, _PORT)
    with closing(RouteLookup()) as routes:
        return routes.interface_towards(endpoint, 0) != routes.interface_towards(endpoint, mark)


def _ask(host: str, path: Path, mark: int) -> list[str]:
    # Imported where it is needed: it is 14 MiB, and most hosts do without.
    import dns.exception  # noqa: PLC0415
    import dns.query  # noqa: PLC0415
    import dns.resolver  # noqa: PLC0415

    dns.query.socket_factory = partial(_marked_socket, mark)
    try:
        resolver = dns.resolver.Resolver(str(path))
        resolver.nameservers = _name_servers(path)
        resolver.lifetime = _TIMEOUT / len(_RECORDS)
        # Not `resolve_name`: dnspython has that from 2.4 on, and Debian 12 has 2.3.
        answers = [resolver.resolve(host, kind, raise_on_no_answer=False) for kind in _RECORDS]
    except (dns.exception.DNSException, OSError):
        return []
    return [record.address for answer in answers for record in answer]


def _marked_socket(mark: int, *arguments: Any, **named: Any) -> socket.socket:
    made = socket.socket(*arguments, **named)
    set_mark(made, mark)
    return made
