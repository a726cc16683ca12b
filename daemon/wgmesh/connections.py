"""The open connections: how many there may be, and which one is closed for a new one.

A connection waits until its request is complete; of those whose client has proven no key, only so many may
wait at once. Beyond that the source with the most of them loses its oldest, so that a source makes room for
itself, and who says nothing makes room for who says something.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from .limits import Limits


class Connection(Protocol):
    """A client's connection. source: as of `source_of`."""

    @property
    def source(self) -> str: ...

    def abort(self) -> None:
        """Close the connection at once."""

    def end(self) -> asyncio.Task[None] | None:
        """Close the connection, or return the task after whose answer it closes."""

    async def wait_closed(self) -> None:
        """Return when the connection is closed."""


@dataclass(slots=True)
class Connections:
    """The connections of one server."""

    limits: Limits
    _all: dict[Connection, None] = field(default_factory=dict)  # the oldest first
    _waiting: dict[str, dict[Connection, None]] = field(default_factory=dict)  # by source, the oldest first

    def __len__(self) -> int:
        return len(self._all)

    def open(self) -> list[Connection]:
        """Return all connections, the oldest first."""
        return list(self._all)

    def add(self, connection: Connection) -> None:
        """Add a connection that waits, after making room for it."""
        self._make_room(connection.source)
        self._all[connection] = None
        self.wait(connection)

    def remove(self, connection: Connection) -> None:
        self._all.pop(connection, None)
        self.release(connection)

    def wait(self, connection: Connection) -> None:
        """Count a connection among those that may be closed for a new one."""
        self._waiting.setdefault(connection.source, {})[connection] = None

    def release(self, connection: Connection) -> None:
        """Keep a connection open: its request is being answered, or its client has proven a key."""
        of_source = self._waiting.get(connection.source, {})
        of_source.pop(connection, None)
        if not of_source:
            self._waiting.pop(connection.source, None)

    def _make_room(self, source: str) -> None:
        if len(self._waiting.get(source, ())) >= self.limits.waiting_of_source:
            self._discard(next(iter(self._waiting[source])))
        elif sum(map(len, self._waiting.values())) >= self.limits.waiting:
            self._discard_waiting()
        if len(self._all) >= self.limits.connections:
            self._discard_any()

    def _discard_waiting(self) -> None:
        """Close the oldest connection of the source with the most that wait."""
        most = max(self._waiting.values(), key=len)
        self._discard(next(iter(most)))

    def _discard_any(self) -> None:
        if self._waiting:
            self._discard_waiting()
            return
        ((crowded, _),) = Counter(connection.source for connection in self._all).most_common(1)
        self._discard(next(connection for connection in self._all if connection.source == crowded))

    def _discard(self, connection: Connection) -> None:
        self.remove(connection)
        connection.abort()
