"""What the agent waits for: a call, a timer, or the wall clock that is set."""

import asyncio
from collections.abc import Coroutine, Iterable
from math import inf
from typing import Any, Final

from wgpy.host.wallclock import ClockMonitor

_LONGEST_SLEEP: Final = 3600.0  # seconds: no event reports that the wall clock is slewed
_BATCHING_TIME: Final = 0.02  # seconds, in which more news may come
_SHARE: Final = 3  # who was woken rests so many times as long as it worked
_LONGEST_REST: Final = 0.5  # seconds


class Wake:
    """A call or one timer, for one task on the running loop. Several calls before it looks are one."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._clock: ClockMonitor | None = None

    def start(self) -> None:
        """Wake now, and from now on when the wall clock is set. Raises OSError."""
        self._clock = ClockMonitor()
        asyncio.get_running_loop().add_reader(self._clock.fileno(), self._on_clock_set, self._clock)
        self.now()

    def _on_clock_set(self, clock: ClockMonitor) -> None:
        clock.acknowledge()
        self.now()

    def now(self) -> None:
        self._event.set()

    def after(self, seconds: float) -> None:
        """Wake then or within the hour, and not at the time of an earlier call; infinity for never."""
        self._cancel()
        if seconds < inf:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(min(seconds, _LONGEST_SLEEP), self.now)

    async def wait(self) -> None:
        await self._event.wait()
        self._event.clear()

    def close(self) -> None:
        self._cancel()
        if self._clock is not None:
            asyncio.get_running_loop().remove_reader(self._clock.fileno())
            self._clock.close()
            self._clock = None

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def rest_after(worked: float) -> float:
    """Return for how many seconds not to look for the next call. worked: seconds that the last one cost."""
    return min(max(_BATCHING_TIME, _SHARE * worked), _LONGEST_REST)


async def first_of(*coroutines: Coroutine[Any, Any, Any]) -> None:
    """Return once one of them has ended."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel them. Raises whatever ended one before."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    for ended in await asyncio.gather(*ending, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended
