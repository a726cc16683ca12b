"""This node's registration with relays, where others cannot dial it: it keeps a session with the nearest.

Invariant: a node that others can dial registers with none, and measures nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from math import inf
from typing import Final

from wgpy.contract.constants import MILLISECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PublicKey
from wgpy.mesh.plan import NodePlan
from wgpy.mesh.records import RegisteredRelay
from wgpy.mesh.registration import WANTED, nearest
from wgpy.mesh.signing import VerifyKey
from wgpy.paths.discovery import Answer
from wgpy.paths.nat import NatObserver

from .identity import OwnPaths
from .pings import Pings
from .wake import Wake

MAX_MEASURED: Final = 16  # relays
_AGAIN: Final = 3600.0  # seconds until relays are measured again
_SOON: Final = 15.0  # the same, as long as there are fewer than are wanted

_Relays = Mapping[PublicKey, tuple[VerifyKey, Sequence[Endpoint]]]


class Registration:
    """Of one node.

    is_needed: whether others cannot dial it; registered: with which relays; seen_as: as what these saw it;
    nat: what the NAT's mappings depend on, as far as all relays tell, "" if that is not known.
    """

    def __init__(self, pings: Pings, on_change: Callable[[], None]) -> None:
        """on_change: called when another registration is to be published."""
        self._pings = pings
        self._on_change = on_change
        self._wake = Wake()
        self._relays: _Relays = {}
        self._known: object = None
        self.is_needed = False
        self.registered: tuple[RegisteredRelay, ...] = ()
        self.seen_as: tuple[Endpoint, ...] = ()
        self.nat = ""

    def configure(self, plan: NodePlan, *, is_needed: bool, where: object) -> None:
        """Measure relays anew if there are others, or if this host is somewhere else.

        where: a value that differs then.
        """
        relays = plan.known.relays if is_needed else {}
        found = {one.key: (identity, plan.tunnels[one.key].endpoints) for identity, one in relays.items()}
        self.is_needed = is_needed
        self.registered = tuple(one for one in self.registered if one.identity in relays)
        if (found, where) != self._known:
            self._known, self._relays = (found, where), found
            self._wake.now()

    @property
    def paths(self) -> OwnPaths:
        """Return what leads to this node beside its endpoints."""
        return OwnPaths(self.seen_as, self.registered, self.nat)

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """Return the WireGuard keys of the relays with which a session is kept."""
        registered = {relay.identity for relay in self.registered}
        return tuple(key for key, (identity, _) in self._relays.items() if identity in registered)

    def look_again(self) -> None:
        """Measure relays, as one of them seems not to answer."""
        if self._relays:
            self._wake.now()

    def close(self) -> None:
        self._wake.close()

    async def run(self) -> None:
        """Measure relays when it is time, until cancelled."""
        while True:
            await self._wake.wait()
            if self._relays:
                await self._measure(dict(islice(self._relays.items(), MAX_MEASURED)))
                self._wake.after(_AGAIN if len(self.registered) >= min(WANTED, len(self._relays)) else _SOON)
            else:
                self._set((), (), "")
                self._wake.after(inf)

    async def _measure(self, relays: _Relays) -> None:
        answers = await self._pings.measure({key: endpoints for key, (_, endpoints) in relays.items()})
        identities = {key: identity for key, (identity, _) in relays.items()}
        latencies = {identities[key]: answer.round_trip / MILLISECOND for key, answer in answers.items()}
        registered = nearest(latencies, self.registered)
        keys = {identity: key for key, identity in identities.items()}
        seen_as = dict.fromkeys(answers[keys[relay.identity]].seen_as for relay in registered)
        if answers and relays.keys() <= self._relays.keys():  # else this host has no network just now
            self._set(registered, tuple(seen_as), _nat(answers.values()))

    def _set(self, registered: tuple[RegisteredRelay, ...], seen_as: tuple[Endpoint, ...], nat: str) -> None:
        if (registered, seen_as, nat) != (self.registered, self.seen_as, self.nat):
            self.registered, self.seen_as, self.nat = registered, seen_as, nat
            self._on_change()


def _nat(answers: Iterable[Answer]) -> str:
    """Return what a NAT's mappings depend on, in a word. All answers are of one moment."""
    observer = NatObserver()
    for answer in answers:
        observer.note_answer(answer.remote, answer.seen_as)
    mapping = observer.behaviour((), 0).mapping
    return mapping.name.lower().replace("_", "-") if mapping else ""
