"""Look-ups of names by libc, which take long while a name server is silent: a program's end waits for none.

Python waits for the threads of its pools, among them those of an event loop.
"""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Final, TypeVar

AT_ONCE: Final = 64  # that a caller should begin, each of which has a thread

_T = TypeVar("_T")


def begin(look_up: Callable[[], _T]) -> Future[_T]:
    """Call it in a thread of its own. Raises RuntimeError if there is none to be had."""
    answer = Future[_T]()
    Thread(target=_answer, args=(answer, look_up), daemon=True).start()
    return answer


def _answer(answer: Future[_T], look_up: Callable[[], _T]) -> None:
    if answer.set_running_or_notify_cancel():
        try:
            answer.set_result(look_up())
        except BaseException as error:  # noqa: BLE001 - it is for who waits
            answer.set_exception(error)
