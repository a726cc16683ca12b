"""How large a packet passes to each peer: asked once of each path that is in use, with its first session.

A relay answers for the way to itself; the peer asks for the rest, and both ends of TCP heed the smaller one.

Invariant: of a path nothing is asked any more once its size is known, or if nobody answers. Peers without a
session cost nothing, unless a path is known that needs smaller packets.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from ipaddress import ip_network
from typing import NamedTuple

from wgpy.contract.constants import PADDING_MULTIPLE, SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import EndpointChanged
from wgpy.contract.lazy_dataclass import dataclass, field
from wgpy.device import DeviceEvent
from wgpy.driver.interface import Interface
from wgpy.engine.actions import HandshakeCompleted
from wgpy.host.bootclock import boottime
from wgpy.keys import PublicKey
from wgpy.mesh.plan import NodePlan, Peer
from wgpy.paths.discovery import Answer, Heard
from wgpy.paths.mtu import MtuSearch

from .pings import Pings


class _Path(NamedTuple):
    """asked: the peer, or the relay by which it is reached."""

    asked: PublicKey
    endpoint: Endpoint


@dataclass(slots=True, eq=False)
class _Search:
    """peers: that had a session by the path at some time."""

    found: MtuSearch
    peers: set[PublicKey] = field(default_factory=set)
    timer: asyncio.TimerHandle | None = None

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class PathMtus:
    """Of one node, on the running loop. An observer of `Pings`."""

    def __init__(
        self,
        interface: Interface,
        pings: Pings,
        relay_to: Callable[[PublicKey], PublicKey | None],
        on_change: Callable[[], None],
    ) -> None:
        """relay_to: by which a peer is reached now; on_change: called when `planned` gives something else."""
        self._interface = interface
        self._pings = pings
        self._relay_to = relay_to
        self._on_change = on_change
        self._plan = NodePlan.empty()
        self._searches: dict[_Path, _Search] = {}

    # -- The plan ------------------------------------------------------------------------------------

    def planned(self, plan: NodePlan) -> NodePlan:
        """Return a plan in which packets to each peer are as small as its path needs them."""
        if plan.link != self._plan.link:
            self.forget()
        self._plan = plan
        for path in [path for path, search in self._searches.items() if not self._is_used(path, search)]:
            self._searches.pop(path).stop()
        mtus = {
            ip_network(prefix): mtu
            for key in self._peers_to_look_at
            if (mtu := self.smaller(key))
            for prefix in plan.tunnels[key].allowed_ips
        }
        return replace(plan, mtus=mtus) if mtus else plan

    def _is_used(self, path: _Path, search: _Search) -> bool:
        return any(self._path(key) == path for key in search.peers if key in self._plan.by_key)

    @property
    def _peers_to_look_at(self) -> Collection[PublicKey]:
        """Return all peers if the path of some needs smaller packets, else none."""
        is_any_smaller = any(one.found.mtu < self._plan.link.mtu for one in self._searches.values())
        return self._plan.by_key if is_any_smaller else ()

    def smaller(self, key: PublicKey) -> int:
        """Return that of packets to a peer if it is less than the link's, else 0."""
        search = self._search(key)
        return _padded(search.mtu) if search and search.mtu < self._plan.link.mtu else 0

    def _search(self, key: PublicKey) -> MtuSearch | None:
        path = self._path(key)
        return self._searches[path].found if path in self._searches else None

    @property
    def sentences(self) -> list[str]:
        """Return for each peer with a smaller one that it has it, once it is known."""
        searches = [(self._plan.by_key[key], self._search(key)) for key in self._peers_to_look_at]
        return [
            _sentence(peer, _padded(found.mtu))
            for peer, found in searches
            if found and self._is_smaller(found)
        ]

    def _is_smaller(self, found: MtuSearch) -> bool:
        return found.due_at is None and found.mtu < self._plan.link.mtu

    def forget(self) -> None:
        """Ask anew: the paths may be others."""
        for search in self._searches.values():
            search.stop()
        self._searches.clear()

    close = forget

    def _path(self, key: PublicKey) -> _Path | None:
        endpoint = self._interface.path(key).endpoint
        return _Path(self._relay_to(key) or key, endpoint) if endpoint else None

    # -- Events --------------------------------------------------------------------------------------

    def on_event(self, key: PublicKey, event: DeviceEvent) -> None:
        """A listener of the interface."""
        is_begun = isinstance(event, HandshakeCompleted)
        has_moved = isinstance(event, EndpointChanged) and self._interface.path(key).handshake
        path = self._path(key) if key in self._plan.by_key and (is_begun or has_moved) else None
        if path is None:
            return
        is_known = path in self._searches
        search = self._searches.setdefault(path, _Search(MtuSearch(self._plan.link.mtu, boottime())))
        search.peers.add(key)
        if not is_known:
            self._ask(path)

    def note_answer(self, answer: Answer, now: int) -> None:
        path = _Path(PublicKey(answer.peer), answer.remote)
        search = self._searches.get(path)
        if search and search.found.due_at is not None:
            before = search.found.mtu
            search.found.note_answer(answer.size, now)
            self._ask(path)
            if search.found.mtu != before or self._is_smaller(search.found):
                self._on_change()

    def note_asked(self, remote: Endpoint, now: int) -> None: ...

    def note_received(self, source: Endpoint, now: int) -> None: ...

    def note_heard(self, heard: Heard, now: int) -> None: ...

    def _ask(self, path: _Path) -> None:
        """Ask what is due, and come back for the next question."""
        search = self._searches[path]
        search.stop()
        before = search.found.mtu
        for size in search.found.questions(boottime()):
            self._pings.send(bytes(path.asked), path.endpoint, size=size)
        if search.found.mtu != before:
            self._on_change()
        if (due := search.found.due_at) is not None:
            wait = max(due - boottime(), 0) / SECOND
            search.timer = asyncio.get_running_loop().call_later(wait, self._ask, path)


def _padded(mtu: int) -> int:
    """Return the largest packet that has no more bytes after its padding, which is up to the link's MTU."""
    return mtu - mtu % PADDING_MULTIPLE


def _sentence(peer: Peer, mtu: int) -> str:
    name = peer.member.name or str(peer.member.identity)
    return f"packets to {name} have at most {mtu} bytes, as its path drops larger ones"
