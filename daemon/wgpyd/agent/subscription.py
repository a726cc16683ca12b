"""A subscription to a coordinator, for ever: news comes in, and what it lost is given back.

Invariant: nothing that a coordinator sends or fails to send ends this, nor touches what is known already.
While it is connected and there is no news, nothing wakes.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Final

from wgpy.mesh.ledger import StateDigest
from wgpy.mesh.mapping import Proposal, WantedSite
from wgpy.mesh.signing import Signed
from wgpy.mesh.wire import Delta, Greeting, deltas
from wgpy.node.coordinator_client import Busy, Coordinator, CoordinatorError, Denied, Outcome

from .identity import LocalIdentity
from .store import COORDINATOR, RecordStore
from .withholding_detector import WithholdingDetector

_LOG = logging.getLogger("wgpy")

FIRST_PAUSE: Final = 1.0  # seconds between attempts to connect, each twice the one before
LAST_PAUSE: Final = 60.0
CALLED_PAUSE: Final = 2.0  # seconds between attempts at least, while unknown nodes call
_PATIENCE: Final = 40.0  # seconds, with a busy coordinator: commands wait for the agent
_GREETING_TIMEOUT: Final = 20.0  # seconds, until it greets
_RETRY_TIME: Final = 300.0  # seconds, after which a refused record of this node is submitted again
_TIME_TO_CATCH_UP: Final = 2.0  # seconds after a greeting, before it counts as behind us


class Subscription:
    """One node's line to its coordinator.

    connected: whether news comes; trouble: why not, a sentence; heard: when something last came, Unix
    seconds; seen: the address that it last saw us come from.
    """

    def __init__(
        self,
        identity: LocalIdentity,
        store: RecordStore,
        withholding: WithholdingDetector,
        on_news: Callable[[], None],
        retry_time: float = _RETRY_TIME,
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        """on_news: called after anything has changed; retry_time, first_pause: seconds."""
        self._retry_time = retry_time
        self._first_pause = first_pause
        self._identity = identity
        self._store = store
        self._withholding = withholding
        self._on_news = on_news
        self._attempt: asyncio.Timeout | None = None
        self._reconnecting = asyncio.Event()
        self._pause: asyncio.Timeout | None = None  # between attempts
        self._pause_began = 0.0
        self._owed: StateDigest | None = None  # what the coordinator knows, if that is not what we know
        self._submissions: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._greeted = False
        self._busy = 0.0  # seconds for which the coordinator refused the last attempt
        self._is_introduced = False  # by the last attempt
        self._is_over = False
        self.connected = False
        self.trouble = "not yet connected"
        self.heard = 0
        self.seen = ""
        self._refusals: dict[bytes, str] = {}  # by the digest of a record of this node

    @property
    def refused(self) -> str:
        """Why it rejects a record of this node, "" if it rejects none."""
        return next((self._refusals[one.digest] for one in self._local() if one.digest in self._refusals), "")

    def _local(self) -> list[Signed]:
        """Return the records of this node that count: of itself, of its sites, and of the paths to it."""
        identity = self._identity
        return [
            one
            for one in (identity.signed(), identity.signed_sites(), identity.signed_paths())
            if one is not None
        ]

    async def run(self) -> None:
        """Follow until cancelled, or until no coordinator can have news for this node any more."""
        pause = self._first_pause
        try:
            while not self._is_over:
                if await self._attempt_once():
                    pause = self._first_pause
                if await self._pause_for(self._busy + pause * random.uniform(0.5, 1)):
                    pause = self._first_pause
                self._reconnecting.clear()
                pause = min(2 * pause, LAST_PAUSE)
        finally:
            for task in self._submissions:
                task.cancel()
            if self._retry is not None:
                self._retry.cancel()

    async def _pause_for(self, seconds: float) -> bool:
        """Whether it was ended by what makes the next attempt more likely to succeed."""
        self._pause_began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(seconds) as self._pause:
                return await self._reconnecting.wait()
        except TimeoutError:
            return False
        finally:
            self._pause = None

    def unknown_called(self) -> None:
        """End a pause soon: an unknown node calls, of which the coordinator may tell.

        Anybody can call, so this makes no attempt follow another one in less than `CALLED_PAUSE`.
        """
        if self._pause is not None and not self._pause.expired():
            soon = self._pause_began + self._busy + CALLED_PAUSE
            self._pause.reschedule(min(self._pause.when() or soon, soon))

    def reconnect(self) -> None:
        """Connect anew, now: this host is somewhere else than it was."""
        self._reconnecting.set()
        self.connected = False  # in a way that counts: what it saw of us is the past
        if self._attempt is not None and not self._attempt.expired():
            self._attempt.reschedule(0)
            self._attempt = None

    def give_up(self) -> None:
        """This node will never be a member again: no coordinator has news for it."""
        if not self._is_over:
            self._is_over = True
            self.reconnect()

    async def submit(self, records: Sequence[Signed]) -> list[Outcome]:
        """Submit records by a connection of their own. Raises CoordinatorError."""
        outcomes = await self._submit(records)
        if not self.connected:
            self._reconnecting.set()  # it answers, so there is nothing to wait for
        return outcomes

    async def propose_site(self, wanted: WantedSite) -> tuple[Proposal, int]:
        """Ask the coordinator, by a connection of its own. Raises CoordinatorError."""
        async with self.coordinator() as coordinator:
            return await coordinator.propose_site(wanted)

    async def _submit(self, records: Sequence[Signed]) -> list[Outcome]:
        """Raises CoordinatorError."""
        async with self.coordinator() as coordinator:
            return [
                outcome
                for part in deltas(0, 0, records)
                for outcome in await coordinator.submit(part.records)
            ]

    def submit_later(self, records: Sequence[Signed]) -> None:
        """Submit records when there is time; what is lost is submitted after the next greeting."""
        task = asyncio.create_task(self._submit_quietly(records))
        self._submissions.add(task)
        task.add_done_callback(self._submissions.discard)

    def coordinator(self, patience: float = _PATIENCE) -> Coordinator:
        """Return a connection of its own, to be opened. patience: as in `Coordinator`."""
        node = self._identity.node
        return Coordinator(node.coordinator, node.network, node.identity, patience=patience)

    # -- A connection ----------------------------------------------------------------------------

    async def _attempt_once(self) -> bool:
        """Follow until the connection ends; whether the next attempt is more likely to succeed than this."""
        self._greeted, before, self._is_introduced = False, self._is_introduced, False
        self._busy = 0
        try:
            async with asyncio.timeout(_GREETING_TIMEOUT) as self._attempt:
                await self._follow()
        except TimeoutError:
            self.trouble = "reconnecting" if self._reconnecting.is_set() else "it sends no greeting"
        except CoordinatorError as error:
            self.trouble = str(error)
            self._busy = min(error.seconds, LAST_PAUSE) if isinstance(error, Busy) else 0
            if isinstance(error, Denied):
                self._introduce()
        finally:
            self._attempt = self._owed = None
            self.connected = False
            self._withholding.disconnected(time.monotonic())
        _LOG.info("the coordinator is away: %s", self.trouble)
        return self._greeted or (self._is_introduced and not before)

    async def _follow(self) -> None:
        """Raises CoordinatorError."""
        async with self.coordinator(patience=0) as coordinator:
            async for message in coordinator.follow(self._store.revision):
                self.heard = int(time.time())
                match message:
                    case Greeting():
                        self._on_greeting(message)
                    case Delta():
                        self._on_delta(message)
                        await asyncio.sleep(0)  # a long catching up lets others have their turn

    def _on_greeting(self, greeting: Greeting) -> None:
        if self._attempt is not None:
            self._attempt.reschedule(None)
        self._greeted = self.connected = True
        self.trouble, self.seen = "", greeting.seen
        self._withholding.connected(time.monotonic())
        if lost := [signed for signed in self._local() if signed.digest != greeting.node_digest]:
            self.submit_later(lost)  # of the others it does not say what it knows
        if greeting.state_digest != self._store.ledger.state_digest():
            self._owed = greeting.state_digest
            asyncio.get_running_loop().call_later(_TIME_TO_CATCH_UP, self._restore, greeting.state_digest)
        self._on_news()

    def _on_delta(self, delta: Delta) -> None:
        for signed in delta.records:
            self._withholding.sent_by_coordinator(signed.digest)
        if self._store.learn(delta.records, COORDINATOR, delta.revision).new:
            if self._owed == self._store.ledger.state_digest():
                self._owed = None
            self._on_news()

    # -- What it lost ----------------------------------------------------------------------------

    def _restore(self, digest: StateDigest) -> None:
        """It has sent its news, and still knew something else than we do: it lost some."""
        if self._owed is digest:
            self._owed = None
            self.submit_later(self._store.ledger.for_everybody())

    def _introduce(self) -> None:
        """It does not know us: it may have lost who we are, and only records can tell it."""
        if local := self._local():
            self._is_introduced = True
            self.submit_later([*self._store.ledger.for_everybody(), *local])

    async def _submit_quietly(self, records: Sequence[Signed]) -> None:
        try:
            outcomes = await self._submit(records)
        except CoordinatorError as error:
            _LOG.info("could not submit %d records: %s", len(records), error)
            return
        told = dict(self._refusals)
        for signed, outcome in zip(records, outcomes, strict=False):
            told[signed.digest] = outcome.reason if outcome.verdict == "refused" else ""
        self._refusals = {one.digest: reason for one in self._local() if (reason := told.get(one.digest))}
        if self._refusals:
            self._submit_again_in_a_while()

    def _submit_again_in_a_while(self) -> None:
        """What was refused may be accepted later: because it came too soon after others, for example."""
        if self._retry is not None:
            self._retry.cancel()
        self._retry = asyncio.get_running_loop().call_later(self._retry_time, self._submit_again)

    def _submit_again(self) -> None:
        if self.connected and self.refused:
            self.submit_later(self._local())
