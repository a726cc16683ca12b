"""The loop that runs, whichever it is: the methods of asyncio's loops that interface and daemon use."""

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Protocol


class Handle(Protocol):
    def cancel(self) -> None: ...


class Future(Protocol):
    def __await__(self) -> Generator[Any, None, None]: ...

    def done(self) -> bool: ...

    def set_result(self, result: None, /) -> None: ...


class Task(Protocol):
    def done(self) -> bool: ...

    def cancel(self) -> object: ...

    def exception(self) -> BaseException | None: ...

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None: ...


class Loop(Protocol):
    """As `asyncio.AbstractEventLoop` says."""

    def add_reader(self, fd: int, callback: Callable[..., object], *arguments: Any) -> None: ...

    def remove_reader(self, fd: int) -> bool: ...

    def add_writer(self, fd: int, callback: Callable[..., object], *arguments: Any) -> None: ...

    def remove_writer(self, fd: int) -> bool: ...

    def add_signal_handler(self, number: int, callback: Callable[..., object], *arguments: Any) -> None: ...

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> Handle: ...

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: Any) -> Handle: ...

    def create_future(self) -> Future: ...

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> Task: ...


_own: list[Loop] = []  # that which runs, if it is of ours


def running_loop() -> Loop:
    """Raises RuntimeError if none runs."""
    if _own:
        return _own[-1]
    import asyncio  # noqa: PLC0415 - if its loop runs it is loaded already

    return asyncio.get_running_loop()


def enter(loop: Loop) -> None:
    """For loops: this one runs, until `leave`."""
    _own.append(loop)


def leave() -> None:
    _own.pop()
