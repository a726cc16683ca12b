"""The service of one network: submissions, subscriptions, presence, and the current snapshot.

Invariant: readers see only what is stored. A subscription has no queue, only the revision that the node has
reached: the node is sent the rest when its connection takes it, so a slow node delays nobody and costs no
memory.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final, TypeVar

from wgpy.host.wallclock import ClockMonitor
from wgpy.mesh.codec import MAX_NUMBER
from wgpy.mesh.mapping import Proposal, WantedSite
from wgpy.mesh.records import RecordKey, record_key
from wgpy.mesh.signing import Signed, VerifyKey
from wgpy.mesh.wire import Greeting, encode_line

from .audit import author, sentence
from .errors import Denial, Overtaken, StoreError
from .followers import Followers
from .limits import Changes, Lists
from .lines import Lines
from .metrics import Metrics
from .presence import Presence
from .reservations import Reservations
from .screening import is_administrators, screen
from .snapshot import Snapshot
from .store import AuditEntry, Store
from .submissions import Submission, Waiting, records_of
from .transaction import Outcome, Transaction
from .turns import Rank, Turns

_LOG = logging.getLogger("wgmesh")

_POLL_INTERVAL: Final = 0.5  # seconds between reads of the revision that other coordinators raise
_EXPIRY_INTERVAL: Final = 3600.0  # seconds at most between checks, as the clock of the host may be slewed
_MAX_SUBMISSIONS: Final = 1000  # in progress, when those of unknown clients are refused
_TURN: Final = 0.05  # seconds after which a submission gives up the writing lock, and waits for its next turn
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
        self._waiting = Waiting()
        self.presence = Presence(store, self._writing, self._name_of)
        self._tasks: set[asyncio.Task[object]] = set()
        self._proposing = asyncio.Lock()
        self._reservations = Reservations()
        self._changes = Changes()
        self.lists = Lists()
        self._followers = Followers()
        self._changed_at = time.monotonic()
        self._lines = Lines(self.snapshot)
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
        self._followers.wake()
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
            found = await asyncio.to_thread(screen, self.snapshot, records, _now())
        submission = Submission(source, found)
        self._waiting.add(rank, submission)
        try:
            while submission:
                async with self._turns.writing(rank):
                    if submission:  # else it was written in the turn of another one
                        await self._write(self._waiting.of_a_turn(rank, submission))
        finally:
            self._waiting.remove(rank, submission)
        outcomes = submission.outcomes()
        self.metrics.submissions.update(outcome.verdict for outcome in outcomes)
        return outcomes

    async def _write(self, submissions: Sequence[Submission]) -> None:
        """Raises StoreError."""
        stored, snapshot = await self._stored(submissions)
        if snapshot is not self.snapshot:
            self._publish(snapshot)
        for submission, outcome in stored:
            submission.judge(outcome)

    async def _stored(
        self, submissions: Sequence[Submission]
    ) -> tuple[list[tuple[Submission, Outcome]], Snapshot]:
        """Try again each time that another coordinator raised the revision first. Raises StoreError."""
        while True:
            try:
                return await self._store.in_thread(self._commit, self.snapshot, submissions)
            except Overtaken:
                if not self._store.is_shared:
                    raise
                await self._catch_up()

    def _commit(
        self, before: Snapshot, submissions: Sequence[Submission]
    ) -> tuple[list[tuple[Submission, Outcome]], Snapshot]:
        """Store as many records as one turn has time for, and return their outcomes.

        Run in a thread, as checking and writing would block readers. Raises Overtaken and StoreError.
        """
        transaction = Transaction(before, _now(), self._may_change)
        end = time.monotonic() + _TURN
        outcomes: list[tuple[Submission, Outcome]] = []
        sources: dict[RecordKey, str] = {}
        for submission, judged in records_of(submissions):
            if outcomes and time.monotonic() > end:
                break
            outcome = transaction.submit_verified(judged)
            outcomes.append((submission, outcome))
            if outcome.verdict == "new":
                sources[record_key(judged.record)] = submission.source
        if not transaction.changes:
            return outcomes, before
        name_of, network = transaction.name_of, before.ledger.key
        audit = [
            AuditEntry(
                _now(), author(change.record, name_of, network), sentence(change, name_of), sources[key]
            )
            for key, change in transaction.changes.items()
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
        before, self.snapshot = self.snapshot, snapshot
        self._changed_at = time.monotonic()
        self._lines = Lines(snapshot)
        self._followers.tell(snapshot.concerned(before), before.revision)
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

    async def follow(self, identity: VerifyKey, since: int, address: str) -> AsyncGenerator[bytes, None]:
        """Yield lines, a greeting and then deltas, until the node is no member. since: as from `resume`."""
        self.presence.connect(identity, address)
        follower, restorations = self._followers.add(identity), self._restorations
        lines = self._lines
        try:
            snapshot = lines.snapshot
            node = snapshot.node(identity)
            digest = node.signed.digest if node else b""
            yield encode_line(Greeting(snapshot.ledger.state_digest(), digest, address))
            for line in self._delta(lines, identity, since):
                yield line
            while lines.snapshot.topology.member(identity) is not None:
                news_since = await follower.wait()
                if self._closing or self._restorations != restorations:
                    break
                lines = self._lines
                for line in self._delta(lines, identity, news_since) if news_since is not None else ():
                    yield line
                    self.metrics.deliver(time.monotonic() - self._changed_at)
        finally:
            self._followers.remove(identity, follower)
            self.presence.disconnect(identity, address)

    def _delta(self, lines: Lines, identity: VerifyKey, since: int) -> Iterator[bytes]:
        for line in lines.since(since, identity):
            self.metrics.sent += len(line)
            yield line

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
