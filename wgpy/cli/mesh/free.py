"""An interface and ports for one more network: those that were asked for, or the first that are free."""

import socket
from argparse import Namespace
from collections.abc import Collection
from errno import EADDRINUSE
from itertools import count
from typing import Final

from wgpy.cli.errors import CommandError
from wgpy.cli.host import Host
from wgpy.cli.mesh import networks
from wgpy.cli.mesh.argument_types import DEFAULT_PORT
from wgpy.mesh.wire import GOSSIP_PORT
from wgpy.node.files import NodeFile

_MAX_PORT: Final = 65535
_NONE_FREE: Final = {
    socket.SOCK_DGRAM: "no UDP port is free; choose one with --listen-port",
    socket.SOCK_STREAM: "no TCP port is free; choose one with --public HOST:PORT",
}


def with_interface_and_port(host: Host, arguments: Namespace) -> Namespace:
    """Return the arguments with an interface and a port. Raises CommandError and StorageError."""
    others = _others().values()
    interfaces = {link["ifname"] for link in host.query_ip("link")} | {node.interface for node in others}
    ports = {node.listen_port for node in others}
    return Namespace(
        **{
            **vars(arguments),
            "interface": _interface(arguments.interface, interfaces),
            "listen_port": arguments.listen_port or _free_port(socket.SOCK_DGRAM, ports),
        }
    )


def with_coordinator_port(arguments: Namespace) -> Namespace:
    """Return the arguments with a port in --public, free if it is to listen there. Raises as above."""
    public = arguments.public
    if not public.port:
        public = public._replace(port=DEFAULT_PORT if arguments.listen else _free_coordinator_port())
    return Namespace(**{**vars(arguments), "public": public})


def _free_coordinator_port() -> int:
    """Raises CommandError and StorageError."""
    others = {node.local_coordinator_port(name) for name, node in _others().items()}  # some may be paused
    return _free_port(socket.SOCK_STREAM, {*others, GOSSIP_PORT})


def _others() -> dict[str, NodeFile]:
    """Raises StorageError."""
    return {name: node for name in networks.known() if (node := networks.node_file(name))}


def _interface(wanted: str | None, taken: Collection[str]) -> str:
    """Raises CommandError."""
    if wanted in taken:
        raise CommandError(f"there is already a network interface {wanted}; choose another with --interface")
    return wanted or next(name for number in count() if (name := f"mesh{number}") not in taken)


def _free_port(kind: socket.SocketKind, taken: Collection[int]) -> int:
    """Raises CommandError."""
    for port in range(DEFAULT_PORT, _MAX_PORT + 1):
        if port not in taken and _is_free(kind, port):
            return port
    raise CommandError(_NONE_FREE[kind])


def _is_free(kind: socket.SocketKind, port: int) -> bool:
    for family, everywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family, kind | socket.SOCK_CLOEXEC) as found:
                if family == socket.AF_INET6:
                    found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                if kind == socket.SOCK_STREAM:  # as the coordinator: a connection that ended holds no port
                    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                found.bind((everywhere, port))
        except OSError as error:
            if error.errno == EADDRINUSE:
                return False  # the others: a host without IPv6, which wgpyd judges
    return True
