"""The book as it changes: who hands in, who follows, who was seen.

Invariant: readers see what is stored and nothing else. A follower has no queue: it says how far it knows, and
is told the rest when it can take it, so a slow one holds nobody up and costs nothing.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from operator import attrgetter
from typing import Final

from wgpy.mesh.codec import MAX_NUMBER
from wgpy.mesh.signing import Signed, VerifyKey
from wgpy.mesh.wire import RECORDS_PER_LINE, Greeting, deltas, encode_line

from .audit import what, who
from .errors import Overtaken, StoreError
from .metrics import Metrics
from .presence import Presence
from .snapshot import Entry, Snapshot
from .store import AuditEntry, Store
from .transaction import Outcome, Transaction

_LOG = logging.getLogger("wgmesh")

_POLL: Final = 0.5  # seconds between looks at what other coordinators store
_EXPIRY_CHECK: Final = 3600.0  # seconds, as the clock of the host may be set
_SHARED_LINES: Final = 64  # news that is kept encoded, while it is news
_SIGNED: Final[Callable[[Entry], Signed]] = attrgetter("signed")
_MAX_SINCE: Final = MAX_NUMBER // 2  # in 2112: whoever says more leaves no room for what comes after


class Service:
    """One network. Everything is called from one event loop."""

    def __init__(self, store: Store) -> None:
        """Raises StoreError."""
        self._store = store
        self.book = store.load(_now())
        self._writing = asyncio.Lock()
        self.presence = Presence(store, self._writing)
        self._tasks: set[asyncio.Task[object]] = set()
        self._news = asyncio.Event()
        self._changed_at = time.monotonic()
        self._lines: dict[tuple[int, ...], list[bytes]] = {}
        self._closing = False
        self._history = 0  # how often the database was put back to an earlier state
        self._trouble = ""  # of the database
        self._polling = asyncio.create_task(self._poll()) if store.is_shared else None
        self._expiry: asyncio.TimerHandle | None = None
        self._await_expiry()
        self.metrics = Metrics()

    def stop(self) -> None:
        """Let all followers go."""
        self._closing = True
        self._news.set()
        if self._expiry is not None:
            self._expiry.cancel()
        if self._polling is not None:
            self._polling.cancel()

    async def close(self) -> None:
        """Finish what is being stored."""
        self.stop()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.presence.close()

    # -- Handing in --------------------------------------------------------------------------------

    async def submit(self, records: Sequence[Signed], source: str) -> list[Outcome]:
        """Store records; return once that is on disk. source: an address. Raises StoreError.

        It goes on to the end even if nobody waits for it any more.
        """
        task = asyncio.create_task(self._submit(records, source))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _submit(self, records: Sequence[Signed], source: str) -> list[Outcome]:
        async with self._writing:
            outcomes, book = await self._stored(records, source)
            if book is not self.book:
                self._publish(book)
        self.metrics.submissions.update(outcome.verdict for outcome in outcomes)
        return outcomes

    async def _stored(self, records: Sequence[Signed], source: str) -> tuple[list[Outcome], Snapshot]:
        """Whoever is overtaken tries again: each time somebody got on. Raises StoreError."""
        while True:
            try:
                return await asyncio.to_thread(self._judge, self.book, records, source)
            except Overtaken:
                if not self._store.is_shared:
                    raise
                await self._catch_up()

    def _judge(
        self, before: Snapshot, records: Sequence[Signed], source: str
    ) -> tuple[list[Outcome], Snapshot]:
        """In a thread: neither signatures nor the disk hold up who reads. Raises Overtaken and StoreError."""
        draft = Transaction(before, _now())
        outcomes = [draft.submit(signed) for signed in records]
        if not draft.changes:
            return outcomes, before
        names = draft.names()
        audit = [
            AuditEntry(_now(), who(change.record, names, before.ledger.key), what(change, names), source)
            for change in draft.changes.values()
        ]
        book = self._store.commit(draft, before, audit)
        for entry in audit:
            _LOG.info("%s: %s (from %s)", entry.who, entry.what, entry.source)
        return outcomes, book

    def _publish(self, book: Snapshot) -> None:
        self.book = book
        self._changed_at = time.monotonic()
        self._lines.clear()
        news, self._news = self._news, asyncio.Event()
        news.set()
        self._await_expiry()

    def _await_expiry(self) -> None:
        """Look again when the next membership ends."""
        if self._expiry is not None:
            self._expiry.cancel()
        wait = min(self.book.topology.until - _now(), _EXPIRY_CHECK)
        self._expiry = asyncio.get_running_loop().call_later(wait, self._expire)

    def _expire(self) -> None:
        book = self.book
        if book.topology.until <= _now():
            self._publish(replace(book, topology=book.topology_at(_now())))
        else:
            self._await_expiry()

    # -- Other coordinators ------------------------------------------------------------------------

    async def catch_up(self) -> None:
        """Know what others have stored. While the database is away, what is known goes on counting."""
        if not self._store.is_shared:
            return
        try:
            async with self._writing:
                await self._catch_up()
            if self._trouble:
                _LOG.info("%s answers again", self._store.name)
            self._trouble = ""
        except StoreError as error:
            if not self._trouble:
                _LOG.error("%s; what is known goes on counting", error)
            self._trouble = str(error)

    async def _catch_up(self) -> None:
        """Raises StoreError."""
        before = self.book
        book = await asyncio.to_thread(self._store.catch_up, before, _now())
        if book.revision < before.revision:
            restored = max(_now(), before.restored + 1)
            with suppress(Overtaken):  # another has done it, which is found out next time
                await asyncio.to_thread(self._store.go_on_above, book, before.revision, restored)
            await self._catch_up()
        elif book is not before:
            if book.restored != before.restored:
                _LOG.warning(
                    "%s was put back to an earlier state: nodes give back the rest", self._store.name
                )
                self._history += 1
            self._publish(book)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(_POLL)
            await self.catch_up()

    # -- Subscription -------------------------------------------------------------------------------

    async def resume(self, since: int) -> int:
        """Return from where to tell a node that says what revision it knows. Raises StoreError.

        Who knows more than we do knew this coordinator before it was restored: we go on above that, and
        tell it everything.
        """
        if since <= self.book.revision:
            return since
        if since <= _MAX_SINCE:
            async with self._writing:
                while (book := self.book).revision < since:
                    try:
                        book = await asyncio.to_thread(self._store.go_on_above, book, since, book.restored)
                        self._publish(book)
                    except Overtaken:
                        await self._catch_up()
        return 0

    async def follow(self, identity: VerifyKey, since: int, address: str) -> AsyncIterator[bytes]:
        """Give lines: a greeting, then news, until the node is no member. since: as `resume` gave it."""
        self.presence.came(identity, address)
        history = self._history
        try:
            own = self.book.node(identity)
            digest = own.signed.digest if own else b""
            yield encode_line(Greeting(self.book.ledger.state_digest(), digest, address))
            book = self.book
            for line in self._told(book, identity, since):
                yield line
            while book.topology.member(identity) is not None and await self._next(book, history):
                since, book = book.revision, self.book
                for line in self._told(book, identity, since):
                    yield line
                    self.metrics.deliver(time.monotonic() - self._changed_at)
        finally:
            self.presence.went(identity, address)

    async def _next(self, book: Snapshot, history: int) -> bool:
        """Wait for another book; whether there is one that goes on where this one ends."""
        while self.book is book and not self._closing:
            await self._news.wait()
        return not self._closing and self._history == history

    def _told(self, book: Snapshot, identity: VerifyKey, since: int) -> Iterator[bytes]:
        """What many are told at once is encoded once."""
        news = book.news(identity, since)
        if len(news) > RECORDS_PER_LINE:
            lines: Iterable[bytes] = map(encode_line, deltas(since, book.revision, map(_SIGNED, news)))
        else:
            lines = self._shared(book, since, news) if news else ()
        for line in lines:
            self.metrics.sent += len(line)
            yield line

    def _shared(self, book: Snapshot, since: int, news: list[Entry]) -> list[bytes]:
        key = (since, book.revision, *map(id, news))
        if (lines := self._lines.get(key)) is None:
            lines = list(map(encode_line, deltas(since, book.revision, map(_SIGNED, news))))
            if len(self._lines) < _SHARED_LINES and book is self.book:
                self._lines[key] = lines
        return lines

    # -- What commands ask -----------------------------------------------------------------------

    async def audit(self) -> list[AuditEntry]:
        """Raises StoreError."""
        return await asyncio.to_thread(self._store.audit)


def _now() -> int:
    """Unix seconds."""
    return int(time.time())
