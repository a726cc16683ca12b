"""This node's registration with relays, where others cannot dial it: it keeps a session with the nearest.

Where none answers by UDP, but one does by the coordinator's connection, no UDP passes, and that is used.
What is not known in a moment is not waited for: a node registers with those that answer, and one that is not
dialled from outside counts as one that is never until that is known.

Invariant: a node that others can dial registers with none, and measures once where it is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from math import inf
from typing import Final

from wgpy.contract.constants import MILLISECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.lazy_dataclass import dataclass, field
from wgpy.keys import PublicKey
from wgpy.mesh.plan import NodePlan
from wgpy.mesh.records import RegisteredRelay
from wgpy.mesh.registration import WANTED, nearest, only_relays
from wgpy.mesh.signing import VerifyKey
from wgpy.paths.discovery import Answer
from wgpy.paths.nat import NatObserver

from .dial_back import is_filtered
from .identity import OwnPaths
from .pings import Pings, moment_after
from .relay_stream import RelayStream
from .wake import Wake

MAX_MEASURED: Final = 16  # relays
_AGAIN: Final = 3600.0  # seconds until relays are measured again
_SILENCE: Final = 0.5  # seconds without an answer by UDP, after which a connection is begun
_SOON: Final = 15.0  # the same, as long as there are fewer than are wanted; then twice as long each time

_Relays = Mapping[PublicKey, tuple[VerifyKey, Sequence[Endpoint]]]
_Answers = Mapping[PublicKey, Answer]


@dataclass(frozen=True, slots=True)
class Found:
    """What a measurement found.

    registered: the relays to register with; seen_as: as what these saw this node; nat: what the NAT's
    mappings depend on, as far as all relays tell, "" if that is not known; by_stream: the relays that are
    reached by the coordinator's connection alone, as no UDP passes; by_udp: where the others are.
    """

    registered: tuple[RegisteredRelay, ...] = ()
    seen_as: tuple[Endpoint, ...] = ()
    nat: str = ""
    by_stream: Mapping[PublicKey, Endpoint] = field(default_factory=dict)
    by_udp: Mapping[PublicKey, Endpoint] = field(default_factory=dict)


class Registration:
    """Of one node.

    stream: to the relay beside the coordinator; found: at the last measurement; is_filtered: whether a
    firewall lets nothing in that was not asked for, though there is no NAT.
    """

    def __init__(
        self,
        pings: Pings,
        stream: RelayStream,
        on_change: Callable[[], None],
        is_let_in: Callable[[], Awaitable[bool]],
        published: OwnPaths,
    ) -> None:
        """on_change: called when another registration is to be published, or by another way.

        is_let_in: whether a firewall lets others in because this node asked it to; published: what others
        know, perhaps since an earlier process, which counts until this one knows more.
        """
        self._is_let_in = is_let_in
        self._pings = pings
        self.stream = stream
        self._on_change = on_change
        self._wake = Wake()
        self._relays: _Relays = {}
        self._needed: frozenset[VerifyKey] = frozenset()
        self._known: object = None
        self._has_no_nat = True
        self._is_named = False
        self._is_apart = False
        self._pause = _SOON
        self._measuring: asyncio.Future[None] | None = None
        self._is_doubtful = False  # whether no relay has dialled this node yet, although they answer
        self.found = Found(published.relays, published.endpoints, published.nat)
        self.is_filtered = bool(published.relays)

    def configure(
        self, plan: NodePlan, *, has_no_nat: bool, is_named: bool, is_apart: bool, where: object
    ) -> None:
        """Measure relays anew if there are others, or if this host is somewhere else.

        is_named: whether its operator says where others can dial it; is_apart: whether some peers have no
        version of IP by which it is dialled; where: a value that differs then.
        """
        relays = plan.known.relays
        found = {one.key: (identity, plan.tunnels[one.key].endpoints) for identity, one in relays.items()}
        known = tuple(one for one in self.found.registered if one.identity in relays)
        self.found = replace(self.found, registered=known)
        self._note_needed(only_relays(peer.member for peer in plan.peers))
        if (found, where, has_no_nat, is_named, is_apart) != self._known:
            self._known, self._relays = (found, where, has_no_nat, is_named, is_apart), found
            self._has_no_nat, self._is_named, self._is_apart = has_no_nat, is_named, is_apart
            self.restart()

    def _note_needed(self, needed: frozenset[VerifyKey]) -> None:
        """Measure once more if a peer has no relay in common with this node any more."""
        news, self._needed = needed - self._needed, needed
        if self.found.registered and news.difference(one.identity for one in self.found.registered):
            self._wake.now()

    @property
    def _is_dialled(self) -> bool:
        """Return whether all others can dial this node, if UDP passes."""
        return not self._is_apart and (self._is_named or (self._has_no_nat and not self.may_be_filtered))

    @property
    def may_be_filtered(self) -> bool:
        """Return whether a firewall is known, or was not found to be missing in a moment."""
        return self.is_filtered or self._is_doubtful

    @property
    def is_needed(self) -> bool:
        """Return whether others cannot dial this node."""
        return not self._is_dialled or bool(self.found.by_stream)

    @property
    def paths(self) -> OwnPaths:
        """Return what leads to this node beside its endpoints."""
        return OwnPaths(self.found.seen_as, self.found.registered, self.found.nat)

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """Return the WireGuard keys of the relays with which a session is kept."""
        registered = {relay.identity for relay in self.found.registered}
        return tuple(key for key, (identity, _) in self._relays.items() if identity in registered)

    def restart(self) -> None:
        """Measure anew, and end a measurement that is under way: it is of what was before."""
        if self._measuring is not None:
            self._measuring.cancel()
        self._pause = _SOON
        self._wake.now()

    def look_again(self) -> None:
        """Measure relays, as one of them seems not to answer, and again soon, as it may be back."""
        self._pause = _SOON
        if self._relays:
            self._wake.now()

    def note_answer(self, key: PublicKey) -> None:
        """A peer began a session: measure again if it is a relay that is lacking, as it was away perhaps."""
        lacks = len(self.found.registered) < min(WANTED, len(self._relays))
        if lacks and key in self._relays and key not in self.keys and not self._is_dialled:
            self._wake.now()

    def close(self) -> None:
        self._wake.close()

    async def run(self) -> None:
        """Measure relays when it is time, until cancelled."""
        while True:
            await self._wake.wait()
            if self._relays:
                if await self._measure_unless_restarted(dict(islice(self._relays.items(), MAX_MEASURED))):
                    self._wake.after(self._seconds_to_next())
            else:
                self.stream.want(False)
                self._set_filtered(False)
                self._set(Found())
                self._wake.after(inf)

    def _seconds_to_next(self) -> float:
        if self._is_dialled and not self.stream.is_wanted:
            return inf
        if not self.stream.is_wanted and len(self.found.registered) >= min(WANTED, len(self._relays)):
            return _AGAIN
        pause, self._pause = self._pause, min(2 * self._pause, _AGAIN)
        return pause

    async def _measure_unless_restarted(self, relays: _Relays) -> bool:
        """Return whether it came to its end."""
        self._measuring = asyncio.ensure_future(self._measure(relays))
        try:
            await asyncio.wait([self._measuring])
        finally:
            self._measuring.cancel()
        if self._measuring.cancelled():
            return False
        self._measuring.result()
        return True

    async def _measure(self, relays: _Relays) -> None:
        is_first = not self.found.registered
        first, by_stream = await self._ask(relays, is_first=is_first)
        moment = moment_after(max((answer.round_trip for answer in first.values()), default=0))
        async with asyncio.TaskGroup() as group:
            others = group.create_task(self._pings.measure(_endpoints(relays, first) if first else {}))
            check = group.create_task(self._check_filter(first))
            _, late = await asyncio.wait([others, check], timeout=moment)
            if late and is_first and first:
                self._register_meanwhile(relays, first, is_doubtful=check in late)
        answers, is_filtered = {**first, **others.result()}, check.result()
        self.stream.want(not answers)
        self._set_filtered(is_filtered)
        if answers and self._is_dialled:
            self._set(Found())
        elif answers or by_stream:  # else this host has no network just now
            self._register(relays, answers or by_stream, is_by_stream=not answers)

    async def _ask(self, relays: _Relays, *, is_first: bool) -> tuple[_Answers, _Answers]:
        """Return who answers by UDP, and who by the coordinator's connection.

        That is begun as soon as UDP is silent, and others reach this node by it while UDP is still tried.
        """
        here = dict.fromkeys(relays, (self.stream.endpoint,)) if self.stream.endpoint else {}
        async with asyncio.TaskGroup() as group:
            by_udp = group.create_task(self._pings.measure(_endpoints(relays), is_hurried=True))
            by_stream = group.create_task(self._pings.measure(here, is_hurried=True))
            await asyncio.wait([by_udp], timeout=_SILENCE)
            if not by_udp.done():
                self.stream.want(True)
                found = await by_stream
                if is_first and found and not by_udp.done():
                    self._register(relays, found, is_by_stream=True)
        return by_udp.result(), by_stream.result()

    def _register_meanwhile(self, relays: _Relays, first: _Answers, *, is_doubtful: bool) -> None:
        """Have others reach this node by those that have answered, while the rest is not known."""
        self._set_filtered(self.is_filtered, is_doubtful=is_doubtful)
        if not self._is_dialled:
            self._register(relays, first)

    async def _check_filter(self, answers: _Answers) -> bool:
        if self._is_named or not self._has_no_nat:
            return False
        if not answers or (self.is_filtered and await self._is_let_in()):
            return self.is_filtered
        return await is_filtered(self._pings, {key: answer.remote for key, answer in answers.items()})

    def _register(self, relays: _Relays, answers: _Answers, *, is_by_stream: bool = False) -> None:
        identities = {key: identity for key, (identity, _) in relays.items()}
        latencies = {identities[key]: answer.round_trip / MILLISECOND for key, answer in answers.items()}
        registered = nearest(latencies, self.found.registered, self._needed)
        if is_by_stream:  # who answered saw the coordinator's host
            self._set(Found(registered, by_stream={key: one.remote for key, one in answers.items()}))
            return
        keys = {identity: key for key, identity in identities.items()}
        used = {keys[relay.identity]: answers[keys[relay.identity]] for relay in registered}
        seen_as = tuple(dict.fromkeys(answer.seen_as for answer in used.values()))
        by_udp = {key: answer.remote for key, answer in used.items()}
        self._set(Found(registered, seen_as, nat_word(answers.values()), by_udp=by_udp))

    def _set_filtered(self, is_filtered: bool, *, is_doubtful: bool = False) -> None:
        if (is_filtered, is_doubtful) != (self.is_filtered, self._is_doubtful):
            self.is_filtered, self._is_doubtful = is_filtered, is_doubtful
            self._on_change()

    def _set(self, found: Found) -> None:
        if found != self.found:
            self.found = found
            self._on_change()


def _endpoints(relays: _Relays, but: Collection[PublicKey] = ()) -> dict[PublicKey, Sequence[Endpoint]]:
    return {key: endpoints for key, (_, endpoints) in relays.items() if key not in but}


def nat_word(answers: Iterable[Answer]) -> str:
    """Return what a NAT's mappings depend on, of IPv4 if it is used. All answers are of one moment."""
    observers = NatObserver(4), NatObserver(6)
    for answer in answers:
        for observer in observers:  # who takes those of its version
            observer.note_answer(answer.remote, answer.seen_as)
    behaviours = (observer.behaviour((), 0) for observer in observers)
    mapping = next((one.mapping for one in behaviours if one.seen_as), None)
    return mapping.name.lower().replace("_", "-") if mapping else ""
