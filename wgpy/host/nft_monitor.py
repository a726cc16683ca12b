"""Tells when others change tables of nft. linux/netfilter/nfnetlink.h

At once if a table loses something or gets a chain that packets pass; of the rest whoever looks anyway.
"""

import errno
import os
import socket
import struct
from collections.abc import Collection, Iterator
from typing import Final

from .netlink_message import HEADER, aligned, decode_attributes, read_port
from .own_programs import is_own

_NETLINK_NETFILTER: Final = 12
_NFNLGRP_NFTABLES: Final = 7
_SOL_NETLINK: Final = 270
_NETLINK_ADD_MEMBERSHIP: Final = 1
_GENERIC_HEADER: Final = struct.Struct("=BBH")  # struct nfgenmsg: family, version, resource

# enum nf_tables_msg_types, below the number of the subsystem
_SUBSYSTEM: Final = 10 << 8
_NEWCHAIN: Final = _SUBSYSTEM | 3
_LOSSES: Final = {_SUBSYSTEM | number for number in (2, 5, 8, 14)}  # of tables, chains, rules, elements
_TABLE_NAME: Final = 1  # NFTA_TABLE_NAME, and that of a table in what is of one
_CHAIN_HOOK: Final = 4

_READS_PER_TURN: Final = 256
_READ_SIZE: Final = 1 << 16


class NftMonitor:
    """A descriptor that is readable when a table of nft of this namespace has changed."""

    def __init__(self) -> None:
        """Raises OSError."""
        self._is_unchanged = False  # as long as nobody has looked
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, _NETLINK_NETFILTER)
        try:
            self._socket.bind((0, 0))
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _NFNLGRP_NFTABLES)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def has_news(self, tables: Collection[str]) -> bool:
        """Read what others did; whether one of these tables lost something, or any got a base chain."""
        found = [data for data in self._read() if data is None or not is_own(read_port(data))]
        self._is_unchanged = self._is_unchanged and not found
        return any(is_news(data, tables) for data in found)

    def take_change(self) -> bool:
        """Return whether others have changed anything since the last call."""
        was_unchanged, self._is_unchanged = self._is_unchanged, True
        return not was_unchanged

    def _read(self) -> Iterator[bytes | None]:
        """Give what was read, None for what was lost."""
        for _ in range(_READS_PER_TURN):
            try:
                yield self._socket.recv(_READ_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                yield None

    def close(self) -> None:
        self._socket.close()


def is_news(data: bytes | None, tables: Collection[str]) -> bool:
    """Return whether messages tell of a loss of these tables, or of a base chain. data: None if lost."""
    return data is None or any(_is_news(kind, body, tables) for kind, body in _messages(data))


def _is_news(kind: int, body: bytes, tables: Collection[str]) -> bool:
    attributes = decode_attributes(body[_GENERIC_HEADER.size :])
    name = os.fsdecode(attributes.get(_TABLE_NAME, b"").rstrip(b"\0"))
    return (kind in _LOSSES and name in tables) or (kind == _NEWCHAIN and _CHAIN_HOOK in attributes)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= HEADER.size:
        size, kind, *_ = HEADER.unpack_from(data)
        yield kind, data[HEADER.size : size]
        data = data[max(aligned(size), HEADER.size) :]
