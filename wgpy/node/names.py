"""Host names of the mesh's own connections, also where a route of the mesh covers a name server. resolver(5)

The sockets of the C library have no mark. So where that makes a difference to the way to a name server, the
question is asked by sockets that have it. The C library answers what is in /etc/hosts, or no server knows.
"""

import asyncio
import socket
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final

from wgpy.address import HostPort, is_address
from wgpy.contract.endpoint import Endpoint
from wgpy.host import resolv_conf
from wgpy.host.netlink import RouteLookup
from wgpy.node.underlay import set_mark

_HOSTS: Final = Path("/etc/hosts")
_RESOLV_CONF: Final = Path("/etc/resolv.conf")
_BEHIND_STUB: Final = Path("/run/systemd/resolve/resolv.conf")  # systemd-resolved's servers, see its manual
_STUB: Final = "127.0.0.53"
_PORT: Final = 53
_TIMEOUT: Final = 4.0  # seconds, for all name servers together
_LONGEST: Final = 10.0  # seconds, for one name, by whatever the C library asks


async def addresses_of(host: HostPort, mark: int) -> list[str]:
    """Return the addresses of a host, after some seconds at most. mark: of the sockets. Raises OSError."""
    async with asyncio.timeout(_LONGEST):
        found = await look_up(host.host, host.port, mark)
    return [str(address[0]).partition("%")[0] for _, address in found]


async def look_up(host: str, port: int, mark: int) -> list[tuple[int, Any]]:
    """Return families and addresses, as a socket's `connect` takes them. Raises OSError."""
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
        return list(resolver.resolve_name(host, lifetime=_TIMEOUT).addresses())
    except (dns.exception.DNSException, OSError):
        return []


def _marked_socket(mark: int, *arguments: Any, **named: Any) -> socket.socket:
    made = socket.socket(*arguments, **named)
    set_mark(made, mark)
    return made
