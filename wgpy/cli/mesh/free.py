"""An interface and a port for one more network: those that were asked for, or the first that are free."""

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

_MAX_PORT: Final = 65535


def with_interface_and_port(host: Host, arguments: Namespace) -> Namespace:
    """Return the arguments with an interface and a port. Raises CommandError and StorageError."""
    others = [node for name in networks.known() if (node := networks.node_file(name))]
    interfaces = {link["ifname"] for link in host.query_ip("link")} | {node.interface for node in others}
    ports = {node.listen_port for node in others}
    return Namespace(
        **{
            **vars(arguments),
            "interface": _interface(arguments.interface, interfaces),
            "listen_port": arguments.listen_port or _free_port(ports),
        }
    )


def _interface(wanted: str | None, taken: Collection[str]) -> str:
    """Raises CommandError."""
    if wanted in taken:
        raise CommandError(f"there is already a network interface {wanted}; choose another with --interface")
    return wanted or next(name for number in count() if (name := f"mesh{number}") not in taken)


def _free_port(taken: Collection[int]) -> int:
    """Raises CommandError."""
    for port in range(DEFAULT_PORT, _MAX_PORT + 1):
        if port not in taken and _is_free(port):
            return port
    raise CommandError("no UDP port is free; choose one with --listen-port")


def _is_free(port: int) -> bool:
    for family, everywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as udp:
                if family == socket.AF_INET6:
                    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                udp.bind((everywhere, port))
        except OSError as error:
            if error.errno == EADDRINUSE:
                return False  # the others: a host without IPv6, which wgpyd judges
    return True
