"""Which nodes are connected, and when and from which address each last was, also to other coordinators.

Of the nodes that are connected to this coordinator it also knows which are several hosts.

Invariant: presence is for people to read. What is lost when a process is killed returns when nodes reconnect.
"""

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from wgpy.mesh.signing import VerifyKey

from . import clones
from .clones import Clones
from .errors import StoreError
from .presence_table import Seen
from .store import AuditEntry, Store

_LOG = logging.getLogger("wgmesh")

_WRITE_DELAY: Final = 5.0  # seconds; connects and disconnects in between are one write
_MISSED: Final = 3  # delays, after which a coordinator that wrote nothing is considered dead


class Presence:
    """The connected nodes of one process, and what is known of all nodes."""

    def __init__(self, store: Store, writing: asyncio.Lock, name_of: Callable[[VerifyKey], str]) -> None:
        """writing: held while the store is written to; name_of: a node. Raises StoreError."""
        self._store = store
        self._writing = writing
        self._name_of = name_of
        self._clones = Clones()
        self._reports: dict[VerifyKey, asyncio.Task[None]] = {}  # of clones, one for each
        self._name = secrets.token_hex(8)
        self._followers: Counter[VerifyKey] = Counter()
        self._seen = store.presence.read(0)
        self._unwritten: dict[VerifyKey, Seen] = {}
        self._writer: asyncio.Task[None] | None = None
        if store.is_shared:
            self._writer = asyncio.create_task(self._keep_writing())

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.cancel()
        self._writer = None
        for report in self._reports.values():
            report.cancel()
        await self._write()
        if self._store.is_shared:
            with suppress(StoreError):
                await self._store.in_thread(self._store.presence.write_alive, self._name, 0)

    def followers(self) -> int:
        return self._followers.total()

    def connections(self, identity: VerifyKey) -> int:
        """Return how many a node has to this coordinator."""
        return self._followers[identity]

    def clones(self) -> set[VerifyKey]:
        """Return the nodes that are several hosts."""
        return self._clones.identities(time.monotonic())

    def connect(self, identity: VerifyKey, address: str) -> None:
        self._followers[identity] += 1
        is_another = self._clones.connect(identity, address, time.monotonic())
        if is_another and identity not in self._reports:
            self._reports[identity] = asyncio.create_task(self._report_clone(identity))
        self._note(identity, address)

    def disconnect(self, identity: VerifyKey, address: str) -> None:
        self._clones.disconnect(identity, address)
        self._followers[identity] -= 1
        if not self._followers[identity]:
            del self._followers[identity]
        self._note(identity, address)

    async def seen(self) -> Mapping[VerifyKey, Seen]:
        """Return when and from which address each node was last connected. Raises StoreError."""
        seen = self._seen
        if self._store.is_shared:
            stored = await self._store.in_thread(
                self._store.presence.read, _now() - _MISSED * int(_WRITE_DELAY)
            )
            seen = {**stored, **self._unwritten}
        now = _now()
        ours = {identity: replace(self._seen[identity], heard=now) for identity in self._followers}
        return {**seen, **ours}

    def _note(self, identity: VerifyKey, address: str) -> None:
        coordinator = self._name if self._followers[identity] else ""
        self._seen[identity] = self._unwritten[identity] = Seen(_now(), address, coordinator)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_soon())

    async def _report_clone(self, identity: VerifyKey) -> None:
        """Write into the log and the audit log if a node is several hosts and stays so for long enough."""
        await asyncio.sleep(clones.AGE + 0.01)  # a timer may be early by a millisecond
        if not (addresses := self._clones.addresses(identity, time.monotonic())):
            del self._reports[identity]
            return
        entry = _clone_entry(self._name_of(identity), addresses)
        _LOG.warning("%s", entry.what)
        async with self._writing:
            with suppress(StoreError):  # the log and the metrics have it
                await self._store.in_thread(self._store.note, entry)

    async def _write_soon(self) -> None:
        await asyncio.sleep(_WRITE_DELAY)
        self._writer = None
        await self._write()

    async def _keep_writing(self) -> None:
        """Report to other coordinators that this one is alive."""
        while True:
            with suppress(StoreError):  # the next turn tries again
                await self._store.in_thread(self._store.presence.write_alive, self._name, _now())
            await self._write()
            await asyncio.sleep(_WRITE_DELAY)

    async def _write(self) -> None:
        async with self._writing:
            seen, self._unwritten = self._unwritten, {}
            try:
                await self._store.in_thread(self._store.presence.write, seen, self._name)
            except StoreError:  # the next write tries again
                self._unwritten = {**seen, **self._unwritten}


def _clone_entry(name: str, addresses: Sequence[str]) -> AuditEntry:
    what = (
        f"{name} is {len(addresses)} hosts with one identity, from {', '.join(addresses)}: one is a copy; "
        f"remove {name}, and join each host by itself"
    )
    return AuditEntry(_now(), "coordinator", what, addresses[0])


def _now() -> int:
    """Unix seconds."""
    return int(time.time())
