"""Two connections as one, each direction by itself: one that is half closed still gets its answer.

What passes is moved by the kernel, and not copied. A direction has a pipe only while it moves something, or
while its target has no room; so thousands of idle ones cost little.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from errno import ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT
from typing import Final

from . import pipes
from .pipes import Pipe
from .stream import Stream

REQUEST_TIMEOUT: Final = 60.0  # seconds, in which a client is to say where it wants to be led
_MOVES: Final = 8  # in succession, before others on the loop have a turn

Connect = Callable[[str, int], Awaitable[Stream]]  # to a host and a port. Raises OSError


async def join(one: Stream, other: Stream) -> None:
    """Return when both directions have ended, and both are closed; if one breaks, the other one is reset."""
    over = _Over()
    directions = _Direction(one, other, over), _Direction(other, one, over)
    close = Stream.reset
    try:
        for direction in directions:
            direction.start()
        await over.future
        close = Stream.close
    except OSError:
        pass
    finally:
        for direction in directions:
            direction.stop()
        for stream in (one, other):
            close(stream)


class _Over:
    """Done when both directions have ended, or one is broken."""

    __slots__ = ("_ended", "future")

    def __init__(self) -> None:
        self.future = asyncio.get_running_loop().create_future()
        self._ended = 0

    def end(self) -> None:
        self._ended += 1
        if self._ended == 2 and not self.future.done():
            self.future.set_result(None)

    def fail(self, error: OSError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class _Direction:
    """From a source to a target, until the source ends or either of them is broken."""

    __slots__ = ("_left", "_loop", "_over", "_pipe", "_source", "_target", "_waiting")

    def __init__(self, source: Stream, target: Stream, over: _Over) -> None:
        self._loop = asyncio.get_running_loop()
        # A number: of sockets the loop writes out what it does not find.
        self._source = source.socket.fileno()
        self._target = target.socket
        self._over = over
        self._pipe: Pipe | None = None  # with what the target had no room for
        self._left = 0  # bytes in it
        self._waiting = False  # for the source

    def start(self) -> None:
        self._waiting = True
        self._loop.add_reader(self._source, self._pass_on)

    def stop(self) -> None:
        """Harmless when repeated."""
        self._pause()
        if self._pipe:
            self._loop.remove_writer(self._target.fileno())
            self._pipe.close()
            self._pipe = None

    def _pause(self) -> None:
        if self._waiting:
            self._waiting = False
            self._loop.remove_reader(self._source)

    def _pass_on(self) -> None:
        """Move what has come."""
        try:
            self._pipe = pipe = self._pipe or pipes.take()
            for _ in range(_MOVES):
                if not self._move(pipe):
                    break
        except OSError as error:
            self._pause()
            self._over.fail(error)
        else:
            self._give_back()

    def _move(self, pipe: Pipe) -> bool:
        """Return whether there may be more to move. Raises OSError."""
        size = pipe.fill(self._source)
        if size:
            self._left = pipe.drain(self._target.fileno(), size)
            if self._left:
                self._pause()
                self._loop.add_writer(self._target.fileno(), self._resume)
        elif size == 0:
            self._pause()
            self._target.shutdown(socket.SHUT_WR)
            self._over.end()
        return bool(size) and not self._left

    def _resume(self) -> None:
        """Move what is left, as the target has room."""
        try:
            if self._pipe:
                self._left = self._pipe.drain(self._target.fileno(), self._left)
        except OSError as error:
            self._over.fail(error)
        if not self._left:
            self._give_back()
            self._loop.remove_writer(self._target.fileno())
            self.start()

    def _give_back(self) -> None:
        """Have others use the pipe, if it is empty."""
        if self._pipe and not self._left:
            pipes.give_back(self._pipe)
            self._pipe = None


def reason(error: OSError) -> str:
    """Return in words why there is no connection."""
    if isinstance(error, socket.gaierror):
        return "no such host"
    return _REASONS.get(error.errno or 0, error.strerror or "no connection")


_REASONS: Final = {
    ECONNREFUSED: "the connection is refused",
    ENETUNREACH: "no route leads there",
    EHOSTUNREACH: "no route leads there",
    ETIMEDOUT: "no answer",
}


async def forward(client: Stream, connect: Connect, host: str, port: int) -> None:
    """Join a client with where it is meant to lead; one that cannot be led there is reset."""
    try:
        with suppress(OSError, UnicodeError):  # the latter for what is no host name
            await join(client, await connect(host, port))
    finally:
        client.reset()  # unless it was closed in order
