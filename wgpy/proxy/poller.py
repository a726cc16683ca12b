"""Waits for many sockets beside an event loop, which costs less than by the loop itself. epoll(7)

A socket is registered once, for all that can happen to it, and edge-triggered: so whoever is told of it uses
it until it would block.
"""

import asyncio
import select
from collections.abc import Callable
from typing import Final

Listener = Callable[[int], None]  # what has happened, as epoll says it

READABLE: Final = ~select.EPOLLOUT  # also its end, and an error
WRITABLE: Final = select.EPOLLOUT
BROKEN: Final = select.EPOLLERR
_EVENTS: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_AT_ONCE: Final = 256  # sockets, before others on the loop have a turn


class Poller:
    """On the running loop, until `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._listeners: dict[int, Listener] = {}
        self._loop.add_reader(self._epoll.fileno(), self._turn)

    def add(self, fileno: int, listener: Listener) -> None:
        """Call the listener with what happens to a socket, until `remove`. Raises OSError."""
        self._epoll.register(fileno, _EVENTS)
        self._listeners[fileno] = listener

    def change(self, fileno: int, listener: Listener) -> None:
        """Call another listener from now on."""
        self._listeners[fileno] = listener

    def remove(self, fileno: int) -> None:
        """Before the socket is closed, by which the kernel forgets it, or used elsewhere."""
        del self._listeners[fileno]

    def close(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _turn(self) -> None:
        for fileno, events in self._epoll.poll(0, _AT_ONCE):
            if listener := self._listeners.get(fileno):
                listener(events)
