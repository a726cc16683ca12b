"""`wgpy exec --mesh`: a program that reaches a mesh and nothing else, by a node's membership, without root.

Its network is one of its own. What it sends leaves by sockets of this host that are bound to the mesh's
interface, so it has the rights of every program of the node.
"""

import asyncio
import os
import resource
import socket
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from errno import ENETUNREACH
from ipaddress import ip_address
from socket import socket as Socket  # noqa: N812 - as in the packages of tunnels
from typing import TYPE_CHECKING, Final

from wgpy.cli.errors import CommandError
from wgpy.cli.program import Signals, failure
from wgpy.contract.endpoint import Endpoint
from wgpy.dns.zone import domain_of
from wgpy.host.iproute import read_answer
from wgpy.host.links import find_owned, links, mesh_owner
from wgpy.host.netlink import RouteLookup
from wgpy.host.program import run_program

if TYPE_CHECKING:
    from wgpy.tunnel.namespace import Namespace

# The program's own: the mesh's address of this host leads to this host, as for every program of it. RFC 7335
_ADDRESSES: Final = {socket.AF_INET: ("192.0.0.2", 32), socket.AF_INET6: ("fd00::2", 128)}
_ALL: Final = {socket.AF_INET: "0.0.0.0/0", socket.AF_INET6: "::/0"}
_BACKLOG: Final = 1024
_TOO_OLD: Final = (
    "this kernel lets root alone bind sockets to an interface: run it as root, or with Linux 5.7 or newer"
)


@dataclass(frozen=True, slots=True)
class Membership:
    """addresses: that this node has in the network, as bytes."""

    network: str
    interface: str
    addresses: frozenset[bytes]

    def families(self) -> list[socket.AddressFamily]:
        sizes = {len(address) for address in self.addresses}
        return [family for size, family in ((4, socket.AF_INET), (16, socket.AF_INET6)) if size in sizes]

    def resolv_conf(self) -> str:
        """Return lines that have this node asked, IPv4 first."""
        servers = sorted(self.addresses, key=len)
        lines = [f"nameserver {ip_address(server)}\n" for server in servers]
        return "".join([*lines, f"search {domain_of(self.network)}\n"])


class _MeshSockets:
    """Sockets of this host by which the mesh alone is reached."""

    def __init__(self, membership: Membership) -> None:
        self._own = membership.addresses
        self._interface = membership.interface
        self._routes = RouteLookup()

    def close(self) -> None:
        self._routes.close()

    def open(self, family: int, kind: int, protocol: int, address: bytes) -> Socket:
        """Return one towards an address, that does not block. Raises OSError if the mesh has it not."""
        is_own = address in self._own  # which is reached by the loopback
        if not is_own:
            text = socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)
            way = self._routes.way(Endpoint(text, 0), mark=0)
            if way.interface != socket.if_nametoindex(self._interface):
                raise OSError(ENETUNREACH, os.strerror(ENETUNREACH))
        made = Socket(family, kind | socket.SOCK_NONBLOCK, protocol)
        try:
            if not is_own:
                _bind(made, self._interface)
        except OSError:
            made.close()
            raise
        return made


def _bind(made: Socket, interface: str) -> None:
    """Let nothing leave by another interface, should the route change. Raises OSError."""
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, os.fsencode(interface))


def find_membership(network: str) -> Membership:
    """Raises CommandError if this host has no node of the network, or it cannot be used."""
    link = find_owned(mesh_owner(network))
    if link is None:
        raise CommandError(f"{_absent(network)}. `wgpy mesh up` and `join` bring a node up")
    done = run_program(("ip", "-json", "address", "show", "dev", link.name))
    found = [one for each in read_answer(done.stdout) for one in each["addr_info"]]
    addresses = [ip_address(one["local"]).packed for one in found if one["scope"] == "global"]
    if not addresses:
        raise CommandError(f"{link.name} has no address yet: see `wgpy mesh status`")
    try:
        with Socket(type=socket.SOCK_DGRAM) as tried:
            _bind(tried, link.name)
    except PermissionError:
        raise CommandError(_TOO_OLD) from None
    return Membership(network, link.name, frozenset(addresses))


def _absent(network: str) -> str:
    prefix = mesh_owner("")
    aliases = (link.alias for link in links())
    present = sorted(alias.removeprefix(prefix) for alias in aliases if alias.startswith(prefix))
    others = f", but of {', '.join(present)}" if present else ""
    return f"this host is no node of {network} at present{others}"


def run_in_mesh(membership: Membership, signals: Signals, command: Sequence[str], mask: Sequence[int]) -> int:
    """Return the program's exit status, as `Program.wait` has it. Raises CommandError."""
    from wgpy.tunnel.errors import TunnelError

    try:
        return asyncio.run(_run(membership, signals, command, mask))
    except (TunnelError, OSError) as error:
        raise failure(error) from None


async def _run(membership: Membership, signals: Signals, command: Sequence[str], mask: Sequence[int]) -> int:
    """Raises TunnelError, OSError."""
    from wgpy.proxy.transparent import MTU, TransparentProxy
    from wgpy.tunnel.namespace import Namespace, Network

    families = membership.families()
    addresses = tuple("/".join(map(str, _ADDRESSES[family])) for family in families)
    routes = tuple(_ALL[family] for family in families)
    with ExitStack() as opened:
        inside = Namespace(Network(membership.interface, MTU, False, addresses, routes))
        opened.enter_context(closing(inside))
        tun = inside.take_tun()
        opened.callback(os.close, tun)
        sockets = opened.enter_context(closing(_MeshSockets(membership)))
        listeners = [_listen(inside, family) for family in families]
        opened.enter_context(closing(TransparentProxy(tun, listeners, sockets.open)))
        signals.program = program = inside.start(command, mask, membership.resolv_conf())
        _raise_limit()
        return await asyncio.to_thread(program.wait)


def _listen(inside: "Namespace", family: socket.AddressFamily) -> Socket:
    """Raises OSError, TunnelError."""
    made = inside.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, 0)
    made.bind((_ADDRESSES[family][0], 0))
    made.listen(_BACKLOG)
    return made


def _raise_limit() -> None:
    """Of this process alone: each connection has two descriptors."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
