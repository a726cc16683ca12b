"""What a coroutine waits for, on any loop.

Invariant: nothing here is of one loop; it asks the one that runs for a future when it begins to wait.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, Final

from .running import Future, running_loop


@coroutine
def turn() -> Generator[None, None, None]:
    """Let others have their turn."""
    yield


async def sleep(seconds: float) -> None:
    await Event().wait(seconds)


class Event:
    """Something that happens: until it is cleared nobody waits for it any more."""

    __slots__ = ("_is_set", "_waiting")

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: list[Future] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        for future in self._waiting:
            _finish(future)

    def clear(self) -> None:
        self._is_set = False

    async def wait(self, seconds: float | None = None) -> bool:
        """Return once it has happened, or after so many seconds; and whether it has."""
        if self._is_set or seconds == 0:
            return self._is_set
        loop = running_loop()
        future = loop.create_future()
        self._waiting.append(future)
        timer = None if seconds is None else loop.call_later(seconds, _finish, future)
        try:
            await future
        finally:
            self._waiting.remove(future)
            if timer is not None:
                timer.cancel()
        return self._is_set


class Lock:
    """One coroutine at a time, in the order in which they came: `async with`."""

    __slots__ = ("_is_held", "_waiting")

    def __init__(self) -> None:
        self._is_held = False
        self._waiting: deque[Event] = deque()

    async def __aenter__(self) -> None:
        if not self._is_held:
            self._is_held = True
            return
        turn_came = Event()
        self._waiting.append(turn_came)
        try:
            await turn_came.wait()
        except BaseException:  # it waits no more: whoever is next has the turn that may have come
            if turn_came in self._waiting:
                self._waiting.remove(turn_came)
            else:
                self._release()
            raise

    async def __aexit__(self, *exception: object) -> None:
        self._release()

    def _release(self) -> None:
        """Hand it to the next one, so that nobody who comes meanwhile is first."""
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._is_held = False


async def readable(fd: int, seconds: float | None = None) -> None:
    """Return when there is something to read, or to accept. Raises TimeoutError after so many seconds."""
    loop = running_loop()
    await _ready(fd, seconds, loop.add_reader, loop.remove_reader)


async def writable(fd: int, seconds: float | None = None) -> None:
    """Return when there is room to write. Raises TimeoutError after so many seconds."""
    loop = running_loop()
    await _ready(fd, seconds, loop.add_writer, loop.remove_writer)


async def _ready(
    fd: int,
    seconds: float | None,
    add: Callable[[int, Callable[..., object]], None],
    remove: Callable[[int], bool],
) -> None:
    event = Event()
    add(fd, event.set)
    try:
        if not await event.wait(seconds):
            raise TimeoutError
    finally:
        remove(fd)


async def first(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Return when one of them has; the others end. Raises what it raises."""
    done, loop = Event(), running_loop()
    tasks: Final = [loop.create_task(one) for one in coroutines]
    for task in tasks:
        task.add_done_callback(lambda _: done.set())
    try:
        await done.wait()
        for task in tasks:
            if task.done() and (error := task.exception()):
                raise error
    finally:
        for task in tasks:
            task.cancel()


def _finish(future: Future) -> None:
    if not future.done():
        future.set_result(None)
