"""The book as it changes: who hands in, who follows, who was seen.

Law: readers see what is stored and nothing else. A follower has no queue: it says how far it knows, and is
told the rest when it can take it, so a slow one holds nobody up and costs nothing.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from operator import attrgetter
from typing import Final

from wgpy.mesh.codec import MAX_NUMBER
from wgpy.mesh.signing import Signed, VerifyKey
from wgpy.mesh.wire import RECORDS_PER_LINE, Greeting, deltas, encode_line

from .book import Book, Entry
from .draft import Draft, Outcome
from .errors import StoreError
from .metrics import Metrics
from .sentences import what, who
from .store import AuditEntry, Seen, Store

_LOG = logging.getLogger("wgmesh")

_SEEN_DELAY: Final = 5.0  # seconds, in which who comes and goes is written once
_EXPIRY_CHECK: Final = 3600.0  # seconds, as the clock of the host may be set
_SHARED_LINES: Final = 64  # news that is kept encoded, while it is news
_SIGNED: Final[Callable[[Entry], Signed]] = attrgetter("signed")
_MAX_SINCE: Final = MAX_NUMBER // 2  # in 2112: whoever says more leaves no room for what comes after


class Hub:
    """One network. Everything is called from one event loop."""

    def __init__(self, store: Store) -> None:
        """Raises StoreError."""
        self._store = store
        self.book, damaged = store.load(_now())
        for sentence in damaged:
            _LOG.warning("%s: %s", store.name, sentence)
        self._seen = store.seen()
        self._unwritten: dict[VerifyKey, Seen] = {}
        self._followers: Counter[VerifyKey] = Counter()
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[object]] = set()
        self._news = asyncio.Event()
        self._changed_at = time.monotonic()
        self._lines: dict[tuple[int, ...], list[bytes]] = {}
        self._closing = False
        self._writer: asyncio.Task[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._await_expiry()
        self.metrics = Metrics()

    def stop(self) -> None:
        """Let all followers go."""
        self._closing = True
        self._news.set()
        if self._expiry is not None:
            self._expiry.cancel()

    async def close(self) -> None:
        """Finish what is being stored."""
        self.stop()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._writer is not None:
            self._writer.cancel()
        await self._write_seen()

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
            before = self.book
            draft = Draft(before, _now())
            outcomes, book = await asyncio.to_thread(self._judge, draft, before, records, source)
            if book is not before:
                self._publish(book)
        self.metrics.submissions.update(outcome.verdict for outcome in outcomes)
        return outcomes

    def _judge(
        self, draft: Draft, before: Book, records: Sequence[Signed], source: str
    ) -> tuple[list[Outcome], Book]:
        """In a thread: neither signatures nor the disk hold up who reads. Raises StoreError."""
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

    def _publish(self, book: Book) -> None:
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

    # -- Following -------------------------------------------------------------------------------

    async def resume(self, since: int) -> int:
        """Return from where to tell a node that says what revision it knows. Raises StoreError.

        Who knows more than we do knew this coordinator before it was restored: we go on above that, and
        tell it everything.
        """
        if since <= self.book.revision:
            return since
        if since <= _MAX_SINCE:
            async with self._writing:
                book = self.book
                if book.revision < since:
                    revision = await asyncio.to_thread(self._store.raise_revision, book, since)
                    self._publish(replace(book, revision=revision))
        return 0

    async def follow(self, identity: VerifyKey, since: int, address: str) -> AsyncIterator[bytes]:
        """Give lines: a greeting, then news, until the node is no member. since: as `resume` gave it."""
        self._came(identity, address)
        try:
            own = self.book.node(identity)
            digest = own.signed.digest if own else b""
            yield encode_line(Greeting(self.book.ledger.standing(), digest, address))
            book = self.book
            for line in self._told(book, identity, since):
                yield line
            while book.topology.member(identity) is not None and await self._next(book):
                since, book = book.revision, self.book
                for line in self._told(book, identity, since):
                    yield line
                    self.metrics.deliver(time.monotonic() - self._changed_at)
        finally:
            self._went(identity, address)

    async def _next(self, book: Book) -> bool:
        """Wait for another book; whether there is one."""
        while self.book is book and not self._closing:
            await self._news.wait()
        return not self._closing

    def _told(self, book: Book, identity: VerifyKey, since: int) -> Iterator[bytes]:
        """What many are told at once is encoded once."""
        news = book.news(identity, since)
        if len(news) > RECORDS_PER_LINE:
            lines: Iterable[bytes] = map(encode_line, deltas(since, book.revision, map(_SIGNED, news)))
        else:
            lines = self._shared(book, since, news) if news else ()
        for line in lines:
            self.metrics.sent += len(line)
            yield line

    def _shared(self, book: Book, since: int, news: list[Entry]) -> list[bytes]:
        key = (since, book.revision, *map(id, news))
        if (lines := self._lines.get(key)) is None:
            lines = list(map(encode_line, deltas(since, book.revision, map(_SIGNED, news))))
            if len(self._lines) < _SHARED_LINES and book is self.book:
                self._lines[key] = lines
        return lines

    # -- Who is there ----------------------------------------------------------------------------

    def followers(self) -> int:
        return self._followers.total()

    def is_connected(self, identity: VerifyKey) -> bool:
        return self._followers[identity] > 0

    def seen(self, identity: VerifyKey) -> Seen:
        """Return when and where a node was last."""
        seen = self._seen.get(identity, Seen(0, ""))
        return replace(seen, heard=_now()) if self.is_connected(identity) else seen

    def _came(self, identity: VerifyKey, address: str) -> None:
        self._followers[identity] += 1
        self._note(identity, address)

    def _went(self, identity: VerifyKey, address: str) -> None:
        self._followers[identity] -= 1
        if not self._followers[identity]:
            del self._followers[identity]
        self._note(identity, address)

    def _note(self, identity: VerifyKey, address: str) -> None:
        self._seen[identity] = self._unwritten[identity] = Seen(_now(), address)
        if self._writer is None and not self._closing:
            self._writer = asyncio.create_task(self._write_seen_soon())

    async def _write_seen_soon(self) -> None:
        await asyncio.sleep(_SEEN_DELAY)
        self._writer = None
        await self._write_seen()

    async def _write_seen(self) -> None:
        async with self._writing:
            seen, self._unwritten = self._unwritten, {}
            with suppress(StoreError):  # it is told again when next it comes
                await asyncio.to_thread(self._store.write_seen, seen)

    # -- What commands ask -----------------------------------------------------------------------

    async def audit(self) -> list[AuditEntry]:
        """Raises StoreError."""
        return await asyncio.to_thread(self._store.audit)


def _now() -> int:
    """Unix seconds."""
    return int(time.time())
