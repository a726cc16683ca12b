"""Who is told of what happens: functions that are called soon after it, on the running loop."""

from collections.abc import Callable
from functools import partial
from typing import Generic, ParamSpec

from wgpy.loop.running import running_loop

_P = ParamSpec("_P")


class Listeners(Generic[_P]):
    """To one kind of event."""

    def __init__(self) -> None:
        self._by_subscription: dict[object, Callable[_P, None]] = {}

    def __len__(self) -> int:
        return len(self._by_subscription)

    def add(self, listener: Callable[_P, None]) -> Callable[[], None]:
        """Call the listener from now on, until what is returned here is called."""
        subscription = object()
        self._by_subscription[subscription] = listener
        return partial(self._end, subscription)

    def notify(self, *args: _P.args, **kwargs: _P.kwargs) -> None:
        for subscription in self._by_subscription:
            running_loop().call_soon(partial(self._call, subscription, *args, **kwargs))

    def _call(self, subscription: object, *args: _P.args, **kwargs: _P.kwargs) -> None:
        if listener := self._by_subscription.get(subscription):  # else it has ended meanwhile
            listener(*args, **kwargs)

    def _end(self, subscription: object) -> None:
        self._by_subscription.pop(subscription, None)
