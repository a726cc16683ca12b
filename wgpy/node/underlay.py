"""How a mesh's own sockets keep to the underlay: their mark, and the tables of routes that it goes past.

A route of the mesh may cover the coordinator, a peer's endpoint or a name server. What the mesh itself sends
there must not go into its own tunnel; so its sockets have a mark, and its table routes nothing with the mark.
"""

import hashlib
import socket
import sys
from contextlib import suppress
from typing import Final

from wgpy.mesh.signing import VerifyKey

# One for all networks of a host, so that none is carried by another that it carries. Free of the bits that
# kube-proxy (14, 15), CNI's portmap (13), Cilium (8 to 11), Calico and Tailscale (16 up) use.
MARK: Final = 0x1097
_FIRST_TABLE: Final = 151_000_000
_TABLES: Final = 1_000_000


def table_of(network: VerifyKey) -> int:
    """Return the number of a network's routing table, always the same on all hosts."""
    digest = hashlib.blake2s(bytes(network), digest_size=8).digest()
    return _FIRST_TABLE + int.from_bytes(digest) % _TABLES


def exit_table_of(table: int) -> int:
    """Return the number of the table with a network's default routes. table: of its other routes."""
    return table + _TABLES


def clients_table_of(table: int) -> int:
    """Return the number of the table with the default routes of a network's clients. table: as above."""
    return table + 2 * _TABLES


def return_table_of(table: int) -> int:
    """Return the number of the table with the return route of a host of a site. table: as above."""
    return table + 3 * _TABLES


def set_mark(connection: socket.socket, mark: int) -> None:
    """Mark what a socket sends, if this process may; one that may not has no interface either."""
    with suppress(PermissionError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark.to_bytes(4, sys.byteorder))
