"""A small event loop: epoll, timers and coroutines, for a daemon whose start and memory count.

To import asyncio takes longer than all else that a daemon does until it is ready, and a third of its memory.
What runs here and needs asyncio after all has it by `use_asyncio`: from then on this is the running loop of
asyncio, too, and makes its futures and tasks.
"""

import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from wgpy.lazy_log import LOG

from .running import enter, leave

if TYPE_CHECKING:
    import asyncio
    from contextvars import Context


_EVENTS_AT_ONCE: Final = 64
_READ: Final = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR
_WRITE: Final = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR


class Handle:
    """A call that is to come."""

    __slots__ = ("_arguments", "_callback", "_context")

    def __init__(
        self, callback: Callable[..., object], arguments: tuple[Any, ...], context: "Context | None" = None
    ) -> None:
        self._callback: Callable[..., object] | None = callback
        self._arguments = arguments
        self._context = context

    def cancel(self) -> None:
        self._callback, self._arguments = None, ()

    def cancelled(self) -> bool:
        return self._callback is None

    def call(self) -> None:
        """What it raises is logged: one call that fails does not end the others."""
        if self._callback is not None:
            try:
                if self._context is None:
                    self._callback(*self._arguments)
                else:
                    self._context.run(self._callback, *self._arguments)
            except Exception:  # noqa: BLE001 - it is logged whole
                LOG.exception("a call of the event loop failed")


class Future:
    """A result that is to come."""

    __slots__ = ("_callbacks", "_exception", "_is_done", "_loop")

    def __init__(self, loop: "SmallLoop") -> None:
        self._loop = loop
        self._is_done = False
        self._exception: BaseException | None = None
        self._callbacks: list[Callable[[Any], object]] = []

    def __await__(self) -> Generator["Future", None, None]:
        if not self._is_done:
            yield self
        if self._exception is not None:
            raise self._exception

    def done(self) -> bool:
        return self._is_done

    def set_result(self, _result: None) -> None:
        self._finish(None)

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        if self._is_done:
            self._loop.call_soon(callback, self)
        else:
            self._callbacks.append(callback)

    def _finish(self, exception: BaseException | None) -> None:
        self._is_done, self._exception = True, exception
        for callback in self._callbacks:
            self._loop.call_soon(callback, self)
        self._callbacks.clear()


class Task(Future):
    """A coroutine that runs, and its end."""

    __slots__ = ("_coroutine",)

    def __init__(self, loop: "SmallLoop", coroutine: Coroutine[Any, Any, Any]) -> None:
        super().__init__(loop)
        self._coroutine = coroutine
        loop.call_soon(self._step)

    def cancel(self) -> None:
        """End the coroutine where it waits; not from within itself."""
        if not self._is_done:
            self._loop.forget(self)
            self._coroutine.close()
            self._finish(None)

    def exception(self) -> BaseException | None:
        """What ended the coroutine, if something did."""
        return self._exception

    def _step(self, _waited_for: object = None) -> None:
        if self._is_done:
            return
        try:
            awaited = self._coroutine.send(None)
        except StopIteration:
            self._end(None)
        except Exception as error:  # noqa: BLE001 - whoever waits for the task has it
            if not self._callbacks:
                LOG.exception("a task failed")
            self._end(error)
        else:
            if awaited is None:
                self._loop.call_soon(self._step)
            else:
                awaited.add_done_callback(self._step)

    def _end(self, error: BaseException | None) -> None:
        self._loop.forget(self)
        self._finish(error)


class SmallLoop:
    """For one thread. `run` is all that is called from outside of it, and `call_soon_threadsafe`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Handle] = {}
        self._writers: dict[int, Handle] = {}
        self._ready: deque[Handle] = deque()
        self._timers: list[tuple[float, int, Handle]] = []
        self._numbers = count()  # of timers: the first of those that are due at once was set first
        self._tasks: dict[Task, None] = {}
        self._asyncio: Any = None  # the module, once it is used
        self._signal_handlers: dict[int, Handle] = {}
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self.add_reader(self._woken.fileno(), self._on_wake)

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine to its end, and end then what else runs. Raises what the coroutine raises."""
        enter(self)
        try:
            task = self._task(main)
            task.add_done_callback(lambda _: None)  # what it raises is raised here
            while not task.done():
                self._turn()
            self._end_tasks()
            if (error := task.exception()) is not None:
                raise error
        finally:
            leave()
            self._close()

    def _turn(self) -> None:
        """Wait until something happens, and do what is due; what that asks for is done in the next turn."""
        for fd, events in self._epoll.poll(self._wait(), _EVENTS_AT_ONCE):
            if events & _READ and (reader := self._readers.get(fd)):
                self._ready.append(reader)
            if events & _WRITE and (writer := self._writers.get(fd)):
                self._ready.append(writer)
        now = self.time()
        while self._timers and self._timers[0][0] <= now:
            self._ready.append(heappop(self._timers)[2])
        for _ in range(len(self._ready)):
            self._ready.popleft().call()

    def _wait(self) -> float:
        """Seconds until the next timer, -1 if there is none."""
        while self._timers and self._timers[0][2].cancelled():
            heappop(self._timers)
        if self._ready:
            return 0
        return max(self._timers[0][0] - self.time(), 0) if self._timers else -1

    def _end_tasks(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self._asyncio is not None:
            for asyncio_task in self._asyncio.all_tasks(self):
                asyncio_task.cancel()
            while self._ready:
                self._ready.popleft().call()

    def _close(self) -> None:
        if self._asyncio is not None:
            self._asyncio._set_running_loop(None)
        for number in list(self._signal_handlers):
            self.remove_signal_handler(number)
        self._epoll.close()
        self._woken.close()
        self._waker.close()

    # -- Calls -----------------------------------------------------------------------------------

    def time(self) -> float:
        return time.monotonic()

    def call_soon(
        self, callback: Callable[..., object], *arguments: Any, context: "Context | None" = None
    ) -> Handle:
        handle = Handle(callback, arguments, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *arguments: Any, context: "Context | None" = None
    ) -> Handle:
        handle = self.call_soon(callback, *arguments, context=context)
        with suppress(OSError):  # it is woken already, or has made the call and ended
            self._waker.send(b"\0")
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *arguments: Any, context: "Context | None" = None
    ) -> Handle:
        return self.call_at(self.time() + delay, callback, *arguments, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *arguments: Any, context: "Context | None" = None
    ) -> Handle:
        handle = Handle(callback, arguments, context)
        heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    # -- Descriptors -----------------------------------------------------------------------------

    def add_reader(self, fd: int, callback: Callable[..., object], *arguments: Any) -> None:
        self._watch(self._readers, fd, Handle(callback, arguments))

    def add_writer(self, fd: int, callback: Callable[..., object], *arguments: Any) -> None:
        self._watch(self._writers, fd, Handle(callback, arguments))

    def remove_reader(self, fd: int) -> bool:
        return self._unwatch(self._readers, fd)

    def remove_writer(self, fd: int) -> bool:
        return self._unwatch(self._writers, fd)

    def _watch(self, handles: dict[int, Handle], fd: int, handle: Handle) -> None:
        if former := handles.get(fd):
            former.cancel()
        handles[fd] = handle
        try:
            self._epoll.register(fd, self._events(fd))
        except FileExistsError:
            self._epoll.modify(fd, self._events(fd))

    def _unwatch(self, handles: dict[int, Handle], fd: int) -> bool:
        handle = handles.pop(fd, None)
        if handle is None:
            return False
        handle.cancel()  # it may be called this turn
        with suppress(OSError, ValueError):  # it is closed, and watched no more by that
            if events := self._events(fd):
                self._epoll.modify(fd, events)
            else:
                self._epoll.unregister(fd)
        return True

    def _events(self, fd: int) -> int:
        return (_READ if fd in self._readers else 0) | (_WRITE if fd in self._writers else 0)

    # -- Signals ---------------------------------------------------------------------------------

    def add_signal_handler(self, number: int, callback: Callable[..., object], *arguments: Any) -> None:
        """Call back soon after the signal; a signal interrupts what waits for descriptors."""
        self._signal_handlers[number] = Handle(callback, arguments)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(number, _leave_to_loop)
        signal.siginterrupt(number, False)

    def remove_signal_handler(self, number: int) -> bool:
        handle = self._signal_handlers.pop(number, None)
        if handle is None:
            return False
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        if not self._signal_handlers:
            signal.set_wakeup_fd(-1)
        return True

    def _on_wake(self) -> None:
        """Take the numbers of signals that came; zeros are of `call_soon_threadsafe`."""
        with suppress(BlockingIOError):
            for number in self._woken.recv(4096):
                if handle := self._signal_handlers.get(number):
                    self._ready.append(handle)

    # -- Coroutines ------------------------------------------------------------------------------

    def create_future(self) -> "Future | asyncio.Future[Any]":
        if self._asyncio is None:
            return Future(self)
        future: asyncio.Future[Any] = self._asyncio.Future(loop=self)
        return future

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> "Task | asyncio.Task[Any]":
        if self._asyncio is None:
            return self._task(coroutine)
        task: asyncio.Task[Any] = self._asyncio.Task(coroutine, loop=self)
        return task

    def _task(self, coroutine: Coroutine[Any, Any, Any]) -> Task:
        task = Task(self, coroutine)
        self._tasks[task] = None
        return task

    def forget(self, task: Task) -> None:
        """For tasks: this one has ended."""
        self._tasks.pop(task, None)

    # -- asyncio ---------------------------------------------------------------------------------

    def use_asyncio(self) -> None:
        """Be its running loop from now on: this has the methods that its futures, tasks and timeouts call."""
        if self._asyncio is None:
            import asyncio  # noqa: PLC0415 - see above

            self._asyncio = asyncio
            asyncio._set_running_loop(self)  # type: ignore[arg-type]  # it has what is called

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self._epoll.closed

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        LOG.error("%s", context.get("message"), exc_info=context.get("exception"))


def _leave_to_loop(_number: int, _frame: object) -> None:
    pass
