"""The event loop of the daemons: uvloop's where that is installed."""

import asyncio
from collections.abc import Callable
from typing import Final

try:
    import uvloop
except ImportError:
    _factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
else:
    _factory = uvloop.new_event_loop

new_event_loop: Final = _factory
