"""Sockets that were made before anybody asked for them, as each question to the process inside takes time.

Invariant: there are never more spares than sockets that were asked for.
"""

import socket
from collections.abc import Callable
from threading import Lock
from typing import Final

Kind = tuple[int, int, int]  # family, type and protocol

MAX: Final = 64  # that are made at once


class SpareSockets:
    """Any thread may use it. Works until `close`."""

    def __init__(self, make: Callable[[Kind, int], list[socket.socket]]) -> None:
        """make: of a kind, at least one and at most so many. Raises OSError, TunnelError."""
        self._make = make
        self._lock = Lock()
        self._spares: dict[Kind, list[socket.socket]] = {}
        self._taken: dict[Kind, int] = {}

    def take(self, kind: Kind) -> socket.socket:
        """Raises what `make` raises."""
        with self._lock:
            taken = self._taken.get(kind, 0)
            spares = self._spares.get(kind) or self._make(kind, min(max(taken, 1), MAX))
            self._taken[kind] = taken + 1
            self._spares[kind] = spares
            return spares.pop()

    def close(self) -> None:
        """Close the spares; harmless when repeated."""
        with self._lock:
            for spares in self._spares.values():
                for spare in spares:
                    spare.close()
            self._spares.clear()
