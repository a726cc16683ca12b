"""Questions by UDP, outside of the tunnel, whether a peer is reached: see `wgpy.paths.discovery`.

Invariant: only who has a key of the network is answered: to others a node stays as silent as WireGuard is.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import product
from socket import AF_INET, AF_INET6, SOCK_DGRAM, socket
from typing import Final, Protocol

from wgpy.contract.constants import SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.lazy_dataclass import dataclass, field
from wgpy.driver.interface import Interface
from wgpy.host.bootclock import boottime
from wgpy.keys import PrivateKey, PublicKey
from wgpy.mesh.plan import NodePlan
from wgpy.node.agent_client import UdpAnswer
from wgpy.node.underlay import set_mark
from wgpy.paths.discovery import AT_ONCE, ELSEWHERE, MAGIC, SIZE, Answer, Discovery, Heard, Manner
from wgpy.paths.postponed import Postponed

ASKING_TIME: Final = 2.0  # seconds
_REPEATS: Final = 4  # questions to each endpoint in that time
_MOMENT: Final = 0.05  # seconds, beside two round trips
_MAX_ENDPOINTS: Final = 16
_MAX_ROUND_TRIPS: Final = 1024  # that are kept

_Pair = tuple[bytes, Endpoint]  # a public key, and where the peer may be


@dataclass(slots=True, eq=False)
class _Round:
    """Questions that are asked together. best: by pair; is_done: whether no more needs to be asked.

    is_hurried: whether no more is waited for a moment after the first answer.
    """

    pairs: tuple[_Pair, ...]
    is_done: Callable[["_Round"], bool]
    manner: Manner = AT_ONCE
    is_hurried: bool = False
    best: dict[_Pair, Answer] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, answer: Answer) -> None:
        pair = answer.peer, answer.remote
        before = self.best.get(pair)
        is_asked = pair in self.pairs and answer.manner == self.manner
        if is_asked and (before is None or answer.round_trip < before.round_trip):
            if self.is_hurried and not self.best:
                moment = moment_after(answer.round_trip)
                asyncio.get_running_loop().call_later(moment, self.done.set)
            self.best[pair] = answer
            if self.is_done(self):
                self.done.set()


def moment_after(round_trip: int) -> float:
    """Return the seconds in which who has answered answers more, and others answer that are as near."""
    return _MOMENT + 2 * round_trip / SECOND


def _is_begun(asking: _Round) -> bool:
    return bool(asking.best)


def _is_complete(asking: _Round) -> bool:
    return len(asking.best) == len(asking.pairs)


class Observer(Protocol):
    """Is told of all questions and answers. now: boottime ns."""

    def note_asked(self, remote: Endpoint, now: int) -> None:
        """A question was sent there."""

    def note_received(self, source: Endpoint, now: int) -> None:
        """An authentic question or answer came from there; what it says follows."""

    def note_answer(self, answer: Answer, now: int) -> None:
        """A question that was to be answered at once was."""

    def note_heard(self, heard: Heard, now: int) -> None: ...


class Pings:
    """Of one node."""

    def __init__(self, interface: Interface, key: PrivateKey, mark: int = 0) -> None:
        """key: the node's; mark: of its datagrams."""
        self._interface = interface
        self._mark = mark
        self._observers: list[Observer] = []
        self._discovery = Discovery(bytes(key), os.urandom)
        self._rounds: list[_Round] = []
        self._timer: asyncio.TimerHandle | None = None
        self._round_trips: dict[_Pair, int] = {}  # ns; the newest are the last
        interface.register_reader(MAGIC, self._receive)

    def close(self) -> None:
        self._interface.unregister_reader(MAGIC)
        if self._timer is not None:
            self._timer.cancel()

    def observe(self, observer: Observer) -> None:
        """Tell it of all questions and answers from now on."""
        self._observers.append(observer)

    def answer_peers_of(self, plan: NodePlan) -> None:
        """Answer the peers of the plan, wherever they are, and nobody else."""
        self._discovery.set_peers(map(bytes, plan.tunnels_to_nodes))
        self._interface.expect_foreign(MAGIC, self._discovery.hints)

    async def ask(self, peer: PublicKey, endpoints: Sequence[Endpoint]) -> tuple[UdpAnswer, ...]:
        """Return each endpoint with the best round trip to the peer there, after ASKING_TIME at most."""
        pairs = _pairs(peer, endpoints)
        best = await self._ask(_Round(pairs, _is_complete))
        return tuple(
            UdpAnswer(str(pair[1]), pair in best, -(-best[pair].round_trip // 1000) if pair in best else 0)
            for pair in pairs
        )

    async def measure(
        self, peers: Mapping[PublicKey, Sequence[Endpoint]], *, is_hurried: bool = False
    ) -> dict[PublicKey, Answer]:
        """Return the best answer of each peer once all have answered, after ASKING_TIME at most.

        is_hurried: a moment after the first answer at most.
        """
        pairs = tuple(pair for peer, endpoints in peers.items() for pair in _pairs(peer, endpoints))
        asking = _Round(
            pairs, lambda one: len({peer for peer, _ in one.best}) == len(peers), is_hurried=is_hurried
        )
        best = await self._ask(asking)
        found: dict[PublicKey, Answer] = {}
        for answer in sorted(best.values(), key=lambda answer: answer.round_trip):
            found.setdefault(PublicKey(answer.peer), answer)
        return found

    async def survey(self, peers: Mapping[PublicKey, Sequence[Endpoint]]) -> Mapping[_Pair, Answer]:
        """Return the answers of all endpoints of all peers, after ASKING_TIME at most."""
        pairs = tuple(pair for peer, endpoints in peers.items() for pair in _pairs(peer, endpoints))
        return await self._ask(_Round(pairs, _is_complete))

    async def is_dialled_back(self, peers: Mapping[PublicKey, Endpoint]) -> bool:
        """Whether an answer comes from another port of a peer, after ASKING_TIME at most."""
        pairs = tuple(pair for peer, endpoint in peers.items() for pair in _pairs(peer, [endpoint]))
        return bool(await self._ask(_Round(pairs, _is_begun, ELSEWHERE)))

    async def ask_after(self, peer: PublicKey, endpoint: Endpoint, silence: int) -> Answer | None:
        """Ask once for an answer after so many seconds, and return it, None if it does not come then."""
        (pair,) = _pairs(peer, [endpoint])
        asking = _Round((pair,), _is_begun, Manner(silence))
        self._rounds.append(asking)
        try:
            self._question([pair], asking.manner)
            with suppress(TimeoutError):
                await asyncio.wait_for(asking.done.wait(), silence + ASKING_TIME)
        finally:
            self._rounds.remove(asking)
        return asking.best.get(pair)

    async def _ask(self, asking: _Round) -> dict[_Pair, Answer]:
        self._rounds.append(asking)
        try:
            for _ in range(_REPEATS if asking.pairs else 0):
                self._question((pair for pair in asking.pairs if pair not in asking.best), asking.manner)
                with suppress(TimeoutError):
                    async with asyncio.timeout(ASKING_TIME / _REPEATS):
                        await asking.done.wait()
                        break
        finally:
            self._rounds.remove(asking)
        return asking.best

    def _question(self, pairs: Iterable[_Pair], manner: Manner = AT_ONCE) -> None:
        for peer, endpoint in pairs:
            self.send(peer, endpoint, manner)

    def send(self, peer: bytes, endpoint: Endpoint, manner: Manner = AT_ONCE, size: int = SIZE) -> None:
        """Ask a peer there once. peer: its public key; size: bytes of the question and of its answer."""
        now = boottime()
        self._interface.send_foreign(self._discovery.ask(peer, endpoint, now, size, manner), endpoint)
        for observer in self._observers:
            observer.note_asked(endpoint, now)

    def _receive(self, data: bytes, source: Endpoint, now: int) -> bytes | None:
        """A reader. Raises DatagramError."""
        reply = self._discovery.receive(data, source, now)
        answers, heard = self._discovery.take_answers(), self._discovery.take_heard()
        for answer, asking in product(answers, self._rounds):
            asking.note(answer)
        for answer in answers:
            if answer.manner == AT_ONCE:
                self.note(PublicKey(answer.peer), answer.remote, answer.round_trip)
        if reply is None:
            self._answer_due()
        for observer in self._observers:
            observer.note_received(source, now)
            _tell(observer, answers, heard, now)
        return reply

    def _answer_due(self) -> None:
        """Send the answers that were asked for by now, and come back for the next one."""
        if self._timer is not None:
            self._timer.cancel()
        for answer in self._discovery.postponed.take_due(boottime()):
            if answer.elsewhere:
                _send_elsewhere(answer, self._mark)
            else:
                self._interface.send_foreign(answer.data, answer.to)
        due = self._discovery.postponed.next_due
        if due is not None:
            self._timer = asyncio.get_running_loop().call_later((due - boottime()) / SECOND, self._answer_due)

    # -- How long it takes ---------------------------------------------------------------------------

    def note(self, peer: PublicKey, endpoint: Endpoint, round_trip: int) -> None:
        """Keep what was measured, in ns, here or inside of the tunnel."""
        pair = bytes(peer), endpoint.without_source()
        self._round_trips.pop(pair, None)
        self._round_trips[pair] = round_trip
        if len(self._round_trips) > _MAX_ROUND_TRIPS:
            del self._round_trips[next(iter(self._round_trips))]

    def round_trip(self, peer: PublicKey, endpoint: Endpoint) -> int:
        """Return what was measured last, in ns, 0 if nothing was."""
        return self._round_trips.get((bytes(peer), endpoint.without_source()), 0)


def _send_elsewhere(answer: Postponed, mark: int) -> None:
    """Send it from another port. One that cannot be sent is lost."""
    with suppress(OSError), socket(AF_INET6 if answer.to.is_ipv6 else AF_INET, SOCK_DGRAM) as udp:
        set_mark(udp, mark)
        udp.setblocking(False)
        udp.bind((answer.to.local_address, 0))
        udp.sendto(answer.data, (answer.to.address, answer.to.port))


def _tell(observer: Observer, answers: Iterable[Answer], heard: Iterable[Heard], now: int) -> None:
    for answer in answers:
        if answer.manner == AT_ONCE:
            observer.note_answer(answer, now)
    for one in heard:
        observer.note_heard(one, now)


def _pairs(peer: PublicKey, endpoints: Iterable[Endpoint]) -> tuple[_Pair, ...]:
    asked = dict.fromkeys(endpoint.without_source() for endpoint in endpoints)
    return tuple((bytes(peer), endpoint) for endpoint in list(asked)[:_MAX_ENDPOINTS])
