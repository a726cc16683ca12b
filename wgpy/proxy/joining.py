"""Two connections as one, each direction by itself: one that is half closed still gets its answer.

What passes is moved by the kernel, and not copied. A direction has a pipe only while it moves something, or
while its target has no room; so thousands of idle ones cost little.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from errno import ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT
from socket import socket as Socket  # noqa: N812 - as elsewhere in this package
from typing import Final

from . import pipes
from .pipes import Pipe
from .poller import BROKEN, READABLE, WRITABLE, Listener
from .stream import Stream

REQUEST_TIMEOUT: Final = 60.0  # seconds, in which a client is to say where it wants to be led
_MOVES: Final = 8  # in succession, before others on the loop have a turn

Connect = Callable[[str, int], Awaitable[Stream]]  # to a host and a port. Raises OSError


async def join(one: Stream, other: Stream) -> None:
    """Return when both directions have ended, and both are closed; if one breaks, the other one is reset."""
    joined = _Joined(one, other)
    close = Stream.reset
    try:
        await other.write(one.take_unread())
        joined.start()
        await joined.over
        close = Stream.end
    except OSError:
        pass
    finally:
        joined.stop()
        for stream in (one, other):
            close(stream)


class _Joined:
    """Both directions, from `start` to `stop`. over: done when they have ended, or one is broken."""

    __slots__ = ("_back", "_ended", "_loop", "_one", "_other", "_there", "over")

    def __init__(self, one: Stream, other: Stream) -> None:
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self._loop.create_future()
        self._one, self._other = one, other
        self._there, self._back = _Direction(one, other, self._end), _Direction(other, one, self._end)
        self._ended = 0

    def start(self) -> None:
        self._one.listen(self._on_one)
        self._other.listen(self._on_other)
        self._on_one(READABLE)  # what has come already is not reported again
        self._on_other(READABLE)

    def stop(self) -> None:
        self.over.cancel()
        self._there.close()
        self._back.close()

    def _on_one(self, events: int) -> None:
        self._on_event(events, self._there, self._back, self._on_one)

    def _on_other(self, events: int) -> None:
        self._on_event(events, self._back, self._there, self._on_other)

    def _on_event(self, events: int, away: "_Direction", here: "_Direction", again: Listener) -> None:
        """away, here: the directions from and to the stream that something has happened to."""
        if self.over.done():
            return
        try:
            if events & BROKEN and away.has_ended:
                raise ConnectionError
            is_more = bool(events & READABLE) and away.move()
            if events & WRITABLE and here.is_full:
                is_more = here.move() or is_more
        except OSError as error:
            self.over.set_exception(error)
        else:
            if is_more:
                self._loop.call_soon(again, READABLE | WRITABLE)

    def _end(self, target: Socket) -> None:
        """A direction has ended."""
        self._ended += 1
        if self._ended == 2:
            self.over.set_result(None)
        else:
            target.shutdown(socket.SHUT_WR)


class _Direction:
    """From a source to a target, until the source ends."""

    __slots__ = ("_left", "_on_end", "_pipe", "_source", "_target", "has_ended")

    def __init__(self, source: Stream, target: Stream, on_end: Callable[[Socket], None]) -> None:
        self._source, self._target = source.socket.fileno(), target.socket
        self._on_end = on_end
        self._pipe: Pipe | None = None  # with what the target had no room for
        self._left = 0  # bytes in it
        self.has_ended = False

    @property
    def is_full(self) -> bool:
        """Whether the target had no room."""
        return self._left > 0

    def move(self) -> bool:
        """Move what has come, as long as the target has room; return whether there may be more.

        Raises OSError.
        """
        if self.has_ended:
            return False
        self._pipe = pipe = self._pipe or pipes.take()
        for _ in range(_MOVES):
            if not self._left:
                size = pipe.fill(self._source)
                if not size:
                    pipes.give_back(pipe)
                    self._pipe = None
                    if size == 0:
                        self.has_ended = True
                        self._on_end(self._target)
                    return False
                self._left = size
            self._left = pipe.drain(self._target.fileno(), self._left)
            if self._left:
                return False
        return True

    def close(self) -> None:
        if self._pipe:
            self._pipe.close()
            self._pipe = None


def reason(error: OSError) -> str:
    """Return in words why there is no connection."""
    if isinstance(error, socket.gaierror):
        return "no such host"
    return _REASONS.get(error.errno or 0, error.strerror or str(error))


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
