"""What the agent waits for."""

import asyncio
from collections.abc import Coroutine
from math import inf
from typing import Any, Final

_LONGEST_SLEEP: Final = 3600.0  # seconds: no event reports that the wall clock was set


class Wake:
    """A call or one timer, for one task on the running loop. Several calls before it looks are one."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def now(self) -> None:
        self._event.set()

    def after(self, seconds: float) -> None:
        """Wake then or within the hour, and not at the time of an earlier call; infinity for never."""
        self.close()
        if seconds < inf:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(min(seconds, _LONGEST_SLEEP), self.now)

    async def wait(self) -> None:
        await self._event.wait()
        self._event.clear()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def first_of(*coroutines: Coroutine[Any, Any, Any]) -> None:
    """Return once one of them has ended."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
