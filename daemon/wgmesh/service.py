"""The service of one network: submissions, subscriptions, presence, and the current snapshot.

Invariant: readers see only what is stored. A subscription has no queue, only the revision that the node has
reached: the node is sent the rest when its connection takes it, so a slow node delays nobody and costs no
memory.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from operator import attrgetter
from typing import Any, Final, TypeVar

from wgpy.host.wallclock import ClockMonitor
from wgpy.mesh.codec import MAX_NUMBER
from wgpy.mesh.mapping import Proposal, WantedSite
from wgpy.mesh.signing import Signed, VerifyKey
from wgpy.mesh.wire import RECORDS_PER_LINE, Greeting, deltas, encode_line

from .audit import author, sentence
from .errors import Denial, Overtaken, StoreError
from .limits import Changes, Lists
from .metrics import Metrics
from .presence import Presence
from .reservations import Reservations
from .screening import is_administrators, screen
from .snapshot import Entry, Snapshot
from .store import AuditEntry, Store
from .transaction import Outcome, Transaction
from .turns import Rank, Turns

_LOG = logging.getLogger("wgmesh")

_POLL_INTERVAL: Final = 0.5  # seconds between reads of the revision that other coordinators raise
_EXPIRY_INTERVAL: Final = 3600.0  # seconds at most between checks, as the clock of the host may be slewed
_MAX_SUBMISSIONS: Final = 1000  # in progress, when those of unknown clients are refused
_TURN: Final = 0.05  # seconds after which a submission gives up the writing lock, and waits for its next turn
_MAX_SHARED_LINES: Final = 64  # entries in the cache of encoded lines
_SIGNED: Final[Callable[[Entry], Signed]] = attrgetter("signed")
_MAX_SINCE: Final = MAX_NUMBER // 2  # in 2112: a larger revision would leave no room for later ones

_T = TypeVar("_T")


class Service:
    """The service of one network. All methods are called in one event loop."""

    def __init__(self, store: Store) -> None:
        """Raises StoreError."""
        self._store = store
        self.snapshot = store.load(_now())
        self._writing = asyncio.Lock()
        self._turns = Turns(self._writing)
        self.presence = Presence(store, self._writing, self._name_of)
        self._tasks: set[asyncio.Task[object]] = set()
        self._proposing = asyncio.Lock()
        self._reservations = Reservations()
        self._changes = Changes()
        self.lists = Lists()
        self._news = asyncio.Event()
        self._changed_at = time.monotonic()
        self._lines: dict[tuple[int, ...], list[bytes]] = {}
        self._closing = False
        self._restorations = 0  # of the database, since this process began
        self._trouble = ""  # of the database
        self._catching_up: asyncio.Task[None] | None = None  # one that has not begun to read
        self._polling = asyncio.create_task(self._poll()) if store.is_shared else None
        self._expiry: asyncio.TimerHandle | None = None
        self._clock = ClockMonitor()
        asyncio.get_running_loop().add_reader(self._clock.fileno(), self._on_clock_set)
        self._await_expiry()
        self.metrics = Metrics()

    def stop(self) -> None:
        """End all subscriptions."""
        self._closing = True
        self._news.set()
        if self._expiry is not None:
            self._expiry.cancel()
        if self._polling is not None:
            self._polling.cancel()
        asyncio.get_running_loop().remove_reader(self._clock.fileno())

    async def close(self) -> None:
        """Return when the submissions in progress are stored."""
        self.stop()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.presence.close()
        self._clock.close()

    # -- Submissions -------------------------------------------------------------------------------

    async def submit(
        self, records: Sequence[Signed], source: str, rank: Rank = Rank.UNKNOWN
    ) -> list[Outcome]:
        """Store records; return once they are on disk. Raises StoreError and Denial.

        source: an address; rank: of the client, unless the records are the administrator's. A submission is
        completed even if its caller is cancelled.
        """
        if is_administrators(records, self.snapshot.ledger):
            rank = Rank.ADMINISTRATOR
        elif rank is Rank.UNKNOWN and len(self._tasks) >= _MAX_SUBMISSIONS:
            raise Denial(HTTPStatus.SERVICE_UNAVAILABLE, "too many submissions wait: try again in a minute")
        return await asyncio.shield(self._task(self._submit(records, source, rank)))

    def _task(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Begin what is completed before the service is closed."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _submit(self, records: Sequence[Signed], source: str, rank: Rank) -> list[Outcome]:
        async with self._turns.screening(rank):
            outcomes = await asyncio.to_thread(screen, self.snapshot, records, _now())
        rest = deque(number for number, outcome in enumerate(outcomes) if outcome is None)
        while rest:
            async with self._turns.writing(rank):
                stored, snapshot = await self._stored([records[number] for number in rest], source)
                if snapshot is not self.snapshot:
                    self._publish(snapshot)
            for outcome in stored:
                outcomes[rest.popleft()] = outcome
        judged = [outcome for outcome in outcomes if outcome is not None]
        self.metrics.submissions.update(outcome.verdict for outcome in judged)
        return judged

    async def _stored(self, records: Sequence[Signed], source: str) -> tuple[list[Outcome], Snapshot]:
        """Try again each time that another coordinator raised the revision first. Raises StoreError."""
        while True:
            try:
                return await self._store.in_thread(self._commit, self.snapshot, records, source)
            except Overtaken:
                if not self._store.is_shared:
                    raise
                await self._catch_up()

    def _commit(
        self, before: Snapshot, records: Sequence[Signed], source: str
    ) -> tuple[list[Outcome], Snapshot]:
        """Store as many records as one turn has time for, and return their outcomes.

        Run in a thread, as verifying and writing would block readers. Raises Overtaken and StoreError.
        """
        transaction = Transaction(before, _now(), self._may_change)
        end = time.monotonic() + _TURN
        outcomes = [transaction.submit(records[0])]
        for signed in records[1:]:
            if time.monotonic() > end:
                break
            outcomes.append(transaction.submit(signed))
        if not transaction.changes:
            return outcomes, before
        names = transaction.names()
        audit = [
            AuditEntry(
                _now(), author(change.record, names, before.ledger.key), sentence(change, names), source
            )
            for change in transaction.changes.values()
        ]
        snapshot = self._store.commit(transaction, before, audit)
        for entry in audit:
            _LOG.info("%s: %s (from %s)", entry.who, entry.what, entry.source)
        return outcomes, snapshot

    def _may_change(self, identity: VerifyKey) -> bool:
        return self._changes.take(identity, time.monotonic())

    def _name_of(self, identity: VerifyKey) -> str:
        node = self.snapshot.ledger.node(identity)
        return node.name if node else str(identity)

    def _publish(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._changed_at = time.monotonic()
        self._lines.clear()
        news, self._news = self._news, asyncio.Event()
        news.set()
        self._await_expiry()

    def _await_expiry(self) -> None:
        """Schedule the derivation of the topology for the time when the next membership expires."""
        if self._expiry is not None:
            self._expiry.cancel()
        delay = min(self.snapshot.topology.until - _now(), _EXPIRY_INTERVAL)
        self._expiry = asyncio.get_running_loop().call_later(delay, self._expire)

    def _on_clock_set(self) -> None:
        self._clock.acknowledge()
        self._expire()

    def _expire(self) -> None:
        snapshot = self.snapshot
        if not snapshot.holds_at(_now()):
            self._publish(replace(snapshot, topology=snapshot.topology_at(_now())))
        else:
            self._await_expiry()

    # -- Other coordinators ------------------------------------------------------------------------

    async def catch_up(self) -> None:
        """Read what other coordinators stored. While the database fails, the snapshot stays in force."""
        if not self._store.is_shared:
            return
        if self._catching_up is None:
            self._catching_up = self._task(self._catch_up_once())
        await asyncio.shield(self._catching_up)

    async def _catch_up_once(self) -> None:
        """Read for all that asked until the lock was free."""
        try:
            async with self._writing:
                self._catching_up = None
                await self._catch_up()
            if self._trouble:
                _LOG.info("%s is available again", self._store.name)
            self._trouble = ""
        except StoreError as error:
            if not self._trouble:
                _LOG.error("%s; the records in memory stay in force", error)
            self._trouble = str(error)

    async def _catch_up(self) -> None:
        """Raises StoreError."""
        before = self.snapshot
        snapshot = await self._store.in_thread(self._store.catch_up, before, _now())
        if snapshot.revision < before.revision:
            restored = max(_now(), before.restored + 1)
            with suppress(Overtaken):  # another coordinator did it, and the next call reads that
                await self._store.in_thread(self._store.go_on_above, snapshot, before.revision, restored)
            await self._catch_up()
        elif snapshot is not before:
            if snapshot.restored != before.restored:
                _LOG.warning(
                    "%s was restored to an earlier state: nodes submit the records that it lacks",
                    self._store.name,
                )
                self._restorations += 1
            self._publish(snapshot)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(_POLL_INTERVAL)
            await self.catch_up()

    # -- Subscription -------------------------------------------------------------------------------

    async def resume(self, since: int) -> int:
        """Return the revision from which to send records to a node that has reached since. Raises StoreError.

        A node that has reached more than the snapshot did so before the database was restored: the revision
        is raised above that, and the node is sent everything.
        """
        if since <= self.snapshot.revision:
            return since
        if since <= _MAX_SINCE:
            async with self._writing:
                while (snapshot := self.snapshot).revision < since:
                    try:
                        snapshot = await self._store.in_thread(
                            self._store.go_on_above, snapshot, since, snapshot.restored
                        )
                        self._publish(snapshot)
                    except Overtaken:
                        await self._catch_up()
        return 0

    async def follow(self, identity: VerifyKey, since: int, address: str) -> AsyncIterator[bytes]:
        """Yield lines, a greeting and then deltas, until the node is no member. since: as from `resume`."""
        self.presence.connect(identity, address)
        restorations = self._restorations
        try:
            node = self.snapshot.node(identity)
            digest = node.signed.digest if node else b""
            yield encode_line(Greeting(self.snapshot.ledger.state_digest(), digest, address))
            snapshot = self.snapshot
            for line in self._delta(snapshot, identity, since):
                yield line
            while snapshot.topology.member(identity) is not None and await self._next(snapshot, restorations):
                since, snapshot = snapshot.revision, self.snapshot
                for line in self._delta(snapshot, identity, since):
                    yield line
                    self.metrics.deliver(time.monotonic() - self._changed_at)
        finally:
            self.presence.disconnect(identity, address)

    async def _next(self, snapshot: Snapshot, restorations: int) -> bool:
        """Wait for another snapshot; return whether there is one that continues this one."""
        while self.snapshot is snapshot and not self._closing:
            await self._news.wait()
        return not self._closing and self._restorations == restorations

    def _delta(self, snapshot: Snapshot, identity: VerifyKey, since: int) -> Iterator[bytes]:
        """Yield the lines from since to a snapshot; a delta of many nodes is encoded once."""
        news = snapshot.news(identity, since)
        if len(news) > RECORDS_PER_LINE:
            lines: Iterable[bytes] = map(encode_line, deltas(since, snapshot.revision, map(_SIGNED, news)))
        else:
            lines = self._shared(snapshot, since, news) if news else ()
        for line in lines:
            self.metrics.sent += len(line)
            yield line

    def _shared(self, snapshot: Snapshot, since: int, news: list[Entry]) -> list[bytes]:
        key = (since, snapshot.revision, *map(id, news))
        if (lines := self._lines.get(key)) is None:
            lines = list(map(encode_line, deltas(since, snapshot.revision, map(_SIGNED, news))))
            if len(self._lines) < _MAX_SHARED_LINES and snapshot is self.snapshot:
                self._lines[key] = lines
        return lines

    # -- Sites ------------------------------------------------------------------------------------

    async def propose_site(self, identity: VerifyKey, wanted: WantedSite) -> Proposal:
        """Return what a member may announce; one proposal at a time is made. Raises SiteRefused."""
        async with self._proposing:
            return await asyncio.to_thread(
                self._reservations.propose, self.snapshot, identity, wanted, time.monotonic()
            )

    # -- The audit log -----------------------------------------------------------------------------

    async def audit(self) -> list[AuditEntry]:
        """Raises StoreError."""
        return await self._store.in_thread(self._store.audit)


def _now() -> int:
    """Unix seconds."""
    return int(time.time())
