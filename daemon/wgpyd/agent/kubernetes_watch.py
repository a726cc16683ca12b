"""Lists and watches objects of a Kubernetes API, for ever.

Invariant: nothing that the API sends or fails to send ends this, nor touches what is known already.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Final

from wgpy.kubernetes.watch import WATCH_TIME, Watch, WatchError
from wgpy.node.kubernetes import KubernetesApi, KubernetesError

_LOG = logging.getLogger("wgpy")

_LIST_TIME: Final = 30.0  # seconds, for a page of a list
_SLACK: Final = 15.0  # seconds, after which a watch that the server does not end is ended here
_FIRST_PAUSE: Final = 0.5  # seconds between attempts, each twice the one before
_LAST_PAUSE: Final = 15.0
_SHORTEST: Final = 1.0  # seconds: a server that ends each watch at once is not asked faster


class WatchLoop:
    """Of one kind of objects. trouble: why nothing comes, a sentence, "" while news comes."""

    def __init__(self, api: KubernetesApi, watch: Watch[Any], on_change: Callable[[], None]) -> None:
        """on_change: called after objects or trouble may have changed."""
        self.trouble = ""
        self._api = api
        self._watch = watch
        self._on_change = on_change
        self._pause = _FIRST_PAUSE

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            is_watch, began = self._watch.is_watching, loop.time()
            try:
                await self._request()
            except (KubernetesError, WatchError) as error:
                self._watch.restart()
                self._set_trouble(str(error))
                await self._rest()
                continue
            if is_watch and loop.time() - began < _SHORTEST:
                await asyncio.sleep(_SHORTEST)

    async def _request(self) -> None:
        """Raises KubernetesError and WatchError."""
        seconds = WATCH_TIME + _SLACK if self._watch.is_watching else _LIST_TIME
        async with aclosing(self._api.request("GET", self._watch.target(), seconds)) as pieces:
            async for piece in pieces:
                if self._watch.receive(piece):
                    self._on_change()
        if self._watch.finish():
            self._on_change()
        self._pause = _FIRST_PAUSE
        self._set_trouble(self._watch.trouble)

    async def _rest(self) -> None:
        await asyncio.sleep(self._pause * random.uniform(0.5, 1))
        self._pause = min(2 * self._pause, _LAST_PAUSE)

    def _set_trouble(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            if trouble:
                _LOG.info("Kubernetes: %s", trouble)
            self._on_change()
