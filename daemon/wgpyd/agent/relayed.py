"""Peers that are reached by relays: as long as they are nowhere else, or do not answer there.

A peer that others cannot dial publishes its relays. Where this node cannot be dialled either, it begins by a
relay at once. A relay forwards for whom it has a session with, so that is begun first where there is none.

Invariant: a peer that answers where it is stays there, and without traffic nothing is sent and nothing waits.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import Final

from wgpy.contract.constants import REJECT_AFTER_TIME, SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import DataSent, EndpointChanged
from wgpy.device import DeviceEvent
from wgpy.driver.interface import Interface
from wgpy.engine.actions import HandshakeCompleted, PeerUnreachable
from wgpy.host.bootclock import boottime
from wgpy.keys import PublicKey
from wgpy.mesh.plan import NodePlan, Tunnel, Tunnels
from wgpy.model import DeviceUpdate, PeerUpdate

from .pings import Pings
from .probe import probe

MAX_ENDPOINTS: Final = 12  # of a peer with relays, before these
SILENCE: Final = 1.0  # seconds without an answer, after which a peer is probed
ANSWER_TIME: Final = 1.0  # seconds, in which a probe is answered
IDLE_TIME: Final = 300.0  # seconds without a packet, after which a direct way is kept open no longer
MAX_ATTEMPTS: Final = 4  # at other ways, each after twice the silence
_MAX_DIRECT: Final = 16  # peers for which a direct way is looked for at the same time
_SETTLING_TIME: Final = 0.5  # seconds, in which what was sent by a relay has arrived


_Tasks = dict[PublicKey, asyncio.Task[None]]


class RelayedPeers:
    """Of one node, on the running loop."""

    def __init__(
        self,
        interface: Interface,
        pings: Pings,
        on_change: Callable[[], None],
        on_silence: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """on_change: called when the way to a peer has changed; on_silence: when none answered by a relay.

        clock: seconds.
        """
        self._interface = interface
        self._pings = pings
        self._on_change = on_change
        self._on_silence = on_silence
        self._clock = clock
        self._used: dict[PublicKey, float] = {}  # when something was last sent to peers on direct ways
        self._plan = NodePlan.empty()
        self._is_dialled = True
        self._by_stream: Mapping[PublicKey, Endpoint] = {}
        self._relays: dict[PublicKey, Endpoint] = {}  # where each is
        self._by_endpoint: dict[Endpoint, PublicKey] = {}
        self._waiting: dict[PublicKey, set[PublicKey]] = {}  # by relay: who is reached once it has a session
        self._checks: _Tasks = {}
        self._searches: _Tasks = {}  # for direct ways
        self._since: dict[PublicKey, tuple[PublicKey | None, int]] = {}
        self._changes: set[asyncio.Future[None]] = set()

    # -- The plan ------------------------------------------------------------------------------------

    def planned(
        self, plan: NodePlan, by_stream: Mapping[PublicKey, Endpoint], *, is_dialled: bool
    ) -> NodePlan:
        """Return a plan with the endpoints of relays among those of the peers that are reached by them.

        by_stream: relays that are reached by a connection; is_dialled: whether others can dial this node.
        """
        if by_stream != self._by_stream:
            self._by_stream = by_stream
            self._configure(*(_moved(key, endpoint) for key, endpoint in by_stream.items()))
        streams = {
            key: _before(endpoint, plan.tunnels[key])
            for key, endpoint in by_stream.items()
            if key in plan.tunnels
        }
        plan = replace(plan, tunnels={**plan.tunnels, **streams}) if streams else plan
        self._plan, self._is_dialled = plan, is_dialled
        self._relays = dict(self._found())
        self._by_endpoint = {endpoint: relay for relay, endpoint in self._relays.items()}
        relayed = {key: self._with_relays(tunnel) for key, tunnel in plan.tunnels.items() if tunnel.relays}
        self._interface.watch_sending(self, relayed)
        for tasks in (self._checks, self._searches):
            for key in tasks.keys() - plan.tunnels.keys():
                tasks[key].cancel()
        self._since = {key: since for key, since in self._since.items() if key in plan.tunnels}
        if not is_dialled:
            self._configure(*self._moves(relayed))
        return replace(plan, tunnels={**plan.tunnels, **relayed}) if relayed else plan

    def _found(self) -> Iterator[tuple[PublicKey, Endpoint]]:
        for relay in self._plan.known.relays.values():
            tunnel = self._plan.tunnels.get(relay.key)
            present = self._by_stream.get(relay.key) or self._interface.path(relay.key).endpoint
            if endpoint := present or (tunnel.endpoints[0] if tunnel and tunnel.endpoints else None):
                yield relay.key, endpoint

    def _with_relays(self, tunnel: Tunnel) -> Tunnel:
        ways, direct = self._ways(tunnel), tunnel.endpoints[:MAX_ENDPOINTS]
        both = (*direct, *ways) if self._is_dialled else (*ways, *direct)
        return replace(tunnel, endpoints=tuple(dict.fromkeys(both)))

    def _ways(self, tunnel: Tunnel) -> tuple[Endpoint, ...]:
        return tuple(self._relays[relay] for relay in tunnel.relays if relay in self._relays)

    def _moves(self, relayed: Tunnels) -> Iterator[PeerUpdate]:
        """Give what has the next packet to a peer without a session, or an idle one, go by a relay."""
        self._used = {key: used for key, used in self._used.items() if self._is_direct(key)}
        for key, tunnel in relayed.items():
            is_idle = not self._is_live(key) or self._seconds_left(key) <= 0
            if (ways := self._ways(tunnel)) and is_idle and self._is_direct(key):
                yield PeerUpdate(key, update_only=True, endpoint=ways[0], ends_session=True)

    def _is_direct(self, key: PublicKey) -> bool:
        return self._interface.path(key).endpoint is not None and self.relay_to(key) is None

    def _seconds_left(self, key: PublicKey) -> float:
        return IDLE_TIME - (self._clock() - self._used.get(key, self._clock()))

    @property
    def seconds_left(self) -> float:
        """Until a direct way is to be kept open no longer; infinity if there is none."""
        return min(map(self._seconds_left, self._used), default=inf)

    # -- What is so ----------------------------------------------------------------------------------

    def relay_to(self, key: PublicKey) -> PublicKey | None:
        """Return the relay by which a peer is reached now, None if by none."""
        present = self._interface.path(key).endpoint
        relay = self._by_endpoint.get(present) if present else None
        return None if relay == key else relay

    def since(self, key: PublicKey) -> int:
        """Return since when a peer is reached as it is, Unix seconds, 0 if it never was."""
        return self._since.get(key, (None, 0))[1]

    @property
    def without_keepalives(self) -> frozenset[PublicKey]:
        """Return the peers that are reached by relays, which keep the way there: they need no keepalives."""
        tunnels: Tunnels = self._plan.tunnels
        return frozenset(
            key
            for key, tunnel in tunnels.items()
            if tunnel.relays and (self.relay_to(key) or not self._interface.path(key).endpoint)
        )

    # -- Events --------------------------------------------------------------------------------------

    def on_event(self, key: PublicKey, event: DeviceEvent) -> None:
        """A listener of the interface."""
        if isinstance(event, DataSent) or key not in self._used:
            self._note_use(key)
        match event:
            case DataSent() if key not in self._checks and self._is_watched(key):
                self._begin(self._checks, key, self._check(key))
            case EndpointChanged():
                self._note_way(key)
            case HandshakeCompleted():
                self._note_way(key)
                if self.relay_to(key) and key not in self._searches and len(self._searches) < _MAX_DIRECT:
                    self._begin(self._searches, key, self._look_for_direct_way(key))
                for waiting in self._waiting.pop(key, ()):
                    self._configure(PeerUpdate(waiting, update_only=True, handshake=True))
            case PeerUnreachable():
                self._waiting.pop(key, None)

    def _note_use(self, key: PublicKey) -> None:
        """Where neither can be dialled, both keep a direct way open as long as they use it."""
        if not self._is_dialled and self._is_watched(key) and self._is_direct(key):
            self._used[key] = self._clock()

    def _is_watched(self, key: PublicKey) -> bool:
        tunnel = self._plan.tunnels.get(key)
        return tunnel is not None and bool(tunnel.relays)

    def _note_way(self, key: PublicKey) -> None:
        relay = self.relay_to(key)
        if key not in self._since or self._since[key][0] != relay:
            self._since[key] = relay, int(time.time())
            if self._is_watched(key):
                self._on_change()

    def close(self) -> None:
        for task in (*self._checks.values(), *self._searches.values()):
            task.cancel()

    def _begin(self, tasks: _Tasks, key: PublicKey, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        tasks[key] = task
        task.add_done_callback(lambda _: tasks.pop(key, None))

    # -- A peer to which something was sent ----------------------------------------------------------

    async def _check(self, key: PublicKey) -> None:
        """Try one way after the other until the peer answers; after some the engine goes on by itself."""
        if (relay := self.relay_to(key)) and not self._is_live(relay):
            self._call(relay, key)
        since = 0
        for attempt in range(MAX_ATTEMPTS):
            if not await self._is_silent(key, since, SILENCE * 2**attempt):
                return
            self._take_next_way(key)
            since = boottime()

    async def _is_silent(self, key: PublicKey, since: int, seconds: float) -> bool:
        """Return whether nothing answers what was sent for so long, nor a probe. since: boottime ns."""
        while (unanswered := self._interface.traffic(key).unanswered) and self._is_watched(key):
            rest = seconds - (boottime() - max(unanswered, since)) / SECOND
            if rest <= 0:
                return not await self._answers(key)
            await asyncio.sleep(rest)
        return False

    async def _answers(self, key: PublicKey) -> bool:
        """Return whether a peer that has a session answers a probe."""
        before = self._interface.traffic(key)
        peer = self._plan.by_key.get(key)
        if peer is None or not self._is_live(key):
            return False
        await probe(str(peer.member.address6), ANSWER_TIME)
        return self._interface.traffic(key).unanswered != before.unanswered

    def _take_next_way(self, key: PublicKey) -> None:
        tunnel = self._plan.tunnels.get(key)
        relays = [relay for relay in tunnel.relays if relay in self._relays] if tunnel else []
        if not relays:
            return
        if present := self.relay_to(key):
            self._on_silence()
        following = relays.index(present) + 1 if present in relays else 0
        relay = relays[following % len(relays)]
        self._configure(PeerUpdate(key, update_only=True, endpoint=self._relays[relay]))
        self._call(relay, key)
        self._on_change()

    def _call(self, relay: PublicKey, key: PublicKey) -> None:
        """Begin a session with a relay, and then with the peer.

        Without the first one it forwards nothing, nor if this node's NAT has given it another address since.
        """
        self._waiting.setdefault(relay, set()).add(key)
        self._configure(PeerUpdate(relay, update_only=True, handshake=True))

    def _is_live(self, key: PublicKey) -> bool:
        """Return whether a session with a peer is young enough to be in use."""
        return 0 <= time.time_ns() - self._interface.path(key).handshake < REJECT_AFTER_TIME

    # -- Away from a relay ---------------------------------------------------------------------------

    async def _look_for_direct_way(self, key: PublicKey) -> None:
        """Ask the peer wherever it may be, as it does at the same moment: so each lets the other's in."""
        tunnel = self._plan.tunnels.get(key)
        endpoints = tunnel.endpoints if tunnel else ()
        direct = [one for one in endpoints if one not in self._by_endpoint]
        answers = await self._pings.measure({key: direct[:MAX_ENDPOINTS]})
        for _ in range(2 if answers else 0):  # what was sent by the relay before may move it back once
            if self._interface.path(key).endpoint != answers[key].remote:
                await self._carry_out([PeerUpdate(key, update_only=True, endpoint=answers[key].remote)])
                await asyncio.sleep(_SETTLING_TIME)

    # -- The interface -------------------------------------------------------------------------------

    def _configure(self, *changes: PeerUpdate) -> None:
        if not changes:
            return
        task = asyncio.ensure_future(self._carry_out(changes))
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)

    async def _carry_out(self, changes: Sequence[PeerUpdate]) -> None:
        with suppress(ConnectionError):  # the interface was closed
            await self._interface.configure(DeviceUpdate(peers=changes))


def _moved(key: PublicKey, endpoint: Endpoint) -> PeerUpdate:
    return PeerUpdate(key, update_only=True, endpoint=endpoint, handshake=True)


def _before(endpoint: Endpoint, tunnel: Tunnel) -> Tunnel:
    return replace(tunnel, endpoints=(endpoint, *tunnel.endpoints))
