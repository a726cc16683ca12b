"""Runs the selection of paths to the peers that need one: `wgpy.paths.selection`, by the interface.

Those are the pairs of which one end cannot be dialled, or between which no line leads. A peer that registers
with relays is reached by one of them first.

Invariant: without traffic nothing is sent and nothing waits; the interface has what was chosen last.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from random import randrange

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import DataSent, EndpointChanged
from wgpy.device import DeviceEvent
from wgpy.driver.interface import Interface
from wgpy.engine.actions import HandshakeCompleted
from wgpy.host.bootclock import boottime
from wgpy.keys import PublicKey
from wgpy.mesh.plan import NodePlan, Peer
from wgpy.model import PeerUpdate
from wgpy.paths.discovery import Answer, Heard
from wgpy.paths.exchange import Candidate, PathKind, PathMessage
from wgpy.paths.nat64 import reached_candidates, version
from wgpy.paths.outputs import Ask, Keepalive, Output, PathInUse, Register, Relay, Session, Tell, Traffic, Use
from wgpy.paths.selection import KEEPING_TIME, KEPT_TIME, PeerPaths

from .broken_paths import BrokenPaths
from .host_networks import HostNetworks
from .local_candidates import LocalCandidates
from .path_messages import PathMessages
from .peer_changes import PeerChanges
from .pings import Pings
from .relay_calls import RelayCalls
from .relay_endpoints import ByStream, RelayEndpoints
from .remote_paths import (
    candidates_of,
    is_hidden,
    is_of_other_versions,
    nearest_relays,
    registers_with,
    round_trips,
)
from .selected_peer import SelectedPeer


class Selection:
    """Of one node, on the running loop. local: where this host may be reached; calls: of relays."""

    def __init__(
        self, interface: Interface, key: PublicKey, pings: Pings,
        on_change: Callable[[], None], on_silence: Callable[[], None],
    ) -> None:  # fmt: skip
        """key: the node's; on_change: called when the way to a peer has changed.

        on_silence: called when a peer does not answer by a relay.
        """
        self._interface = interface
        self._key = bytes(key)
        self._pings = pings
        self._on_change = on_change
        self._on_silence = on_silence
        self.local = LocalCandidates()
        self._changes = PeerChanges(interface)
        self._relays = RelayEndpoints(interface)
        self._broken = BrokenPaths(interface, on_change)
        self._plan = NodePlan.empty()
        self._is_dialled = True
        self._registered: tuple[PublicKey, ...] = ()
        self._versions: tuple[int, ...] = (4, 6)
        self._nat64: IPv6Network | None = None
        self._wanted: Mapping[PublicKey, Peer] = {}
        self._selected: dict[PublicKey, SelectedPeer] = {}
        self._by_address: dict[IPv6Address, PublicKey] = {}
        self._informed_of: object = None
        self._told: tuple[Candidate, ...] = ()  # to the peers' paths
        self._asking: dict[PublicKey, set[PublicKey]] = {}  # by relay: who wants to know whether it answers
        self.calls = RelayCalls(interface, self.relay_to, self._changes.later)
        self._since: dict[PublicKey, tuple[PublicKey | None, int]] = {}
        self._messages = PathMessages(lambda address: address in self._by_address, self._on_message)

    # -- The plan ------------------------------------------------------------------------------------

    def planned(
        self,
        plan: NodePlan,
        by_stream: ByStream,
        registered: Collection[PublicKey],
        *,
        is_dialled: bool,
        versions: Collection[int] = (4, 6),
        nat64: IPv6Network | None = None,
    ) -> NodePlan:
        """Return a plan that leaves the endpoints of peers with relays to what is selected.

        by_stream: relays that are reached by a connection; registered: relays with which this node registers;
        is_dialled: whether others can dial this node; versions: of IP, that it has; nat64: the prefix of the
        NAT64 that it is behind, by which the plan's tunnels lead already.
        """
        self._nat64 = nat64
        self._plan, moves = self._relays.configure(plan, by_stream)
        for move in moves:
            self.calls.note_begun(move.public_key)
        self._changes.later(*moves)
        self._is_dialled = is_dialled
        self._registered = tuple(registered)
        self._versions = () if by_stream else (*versions, 4) if nat64 else tuple(versions)
        self._broken.configure(list(self._without_relays(plan)))
        self._wanted = {
            key: peer
            for key, peer in plan.by_key.items()
            if key not in registered and self._needs_selection(peer)
        }
        self._since = {key: since for key, since in self._since.items() if key in plan.tunnels}
        return self._without_endpoints()

    def _needs_selection(self, peer: Peer) -> bool:
        """Return whether one end cannot be dialled. Who registers with this node is where it is heard."""
        view, is_broken = self._plan.view, peer.member.key in self._broken.keys
        registers = view is not None and registers_with(peer.member, view.identity)
        return not registers and (not self._is_dialled or is_hidden(peer.member) or is_broken)

    def _without_relays(self, plan: NodePlan) -> Iterator[PublicKey]:
        """Yield the peers to which relays lead only if they do not answer.

        None leads from a relay to one that it can dial: who relies on it would have two of them in between.
        """
        is_settled = self._is_dialled or self._registered  # before, the others do not know how to answer
        relays = plan.known.relays if is_settled and not plan.is_relay else {}
        for key, peer in plan.by_key.items() if relays else ():
            if peer.is_joined and not is_hidden(peer.member) and peer.member.identity not in relays:
                yield key

    def _without_endpoints(self) -> NodePlan:
        tunnels = self._plan.tunnels
        relayed = {
            key: replace(tunnels[key], endpoints=())
            for key, peer in self._wanted.items()
            if self._relays_of(peer)
        }
        return replace(self._plan, tunnels={**tunnels, **relayed}) if relayed else self._plan

    def _relays_of(self, peer: Peer) -> tuple[PublicKey, ...]:
        """Return those that a peer has, else those of this node if it cannot dial the peer."""
        own = self._registered if is_of_other_versions(peer, self._versions) else ()
        is_broken = peer.member.key in self._broken.keys
        return peer.tunnel.relays or own or (nearest_relays(self._plan.known.relays) if is_broken else ())

    @property
    def plan(self) -> NodePlan:
        """Return the last plan, with all endpoints."""
        return self._plan

    async def listen(self) -> None:
        """Hear what peers tell inside of the tunnel. Raises OSError."""
        if not self._messages.is_listening and self._plan.link.addresses:
            address = self._plan.link.addresses[-1].ip
            assert isinstance(address, IPv6Address)
            await self._messages.listen(address)

    def begin(self, here: HostNetworks, named: Collection[Endpoint]) -> None:
        """Select paths from now on to the peers of the plan, which the interface has.

        here: where the host is; named: endpoints of this node that its operator named, or its router mapped.
        """
        now = boottime()
        has_moved = self.local.configure(
            here, self._interface.listen_port, named, is_dialled=self._is_dialled, nat64=self._nat64
        )
        self._interface.watch_sending(self, self._broken.watched.union(self._wanted))
        self._by_address = {peer.member.address6: key for key, peer in self._wanted.items()}
        for key in self._selected.keys() - self._wanted.keys():
            self._end(key)
        if has_moved:
            self._note_move(now)
        for relay in self._registered:
            self._keep_direct(relay)
        before, self._informed_of = self._informed_of, self._known()
        for key, peer in self._wanted.items():
            selected = self._selected.get(key)
            if selected is None or selected.peer is not peer or before != self._informed_of:
                self._inform(key, peer, now)
        self._tell_local(now)

    def _known(self) -> object:
        """Return a value that differs if the paths to peers that did not change are to be told something."""
        here = self._registered, self._is_dialled, self._versions, self._nat64
        return *here, dict(self._relays.endpoints), frozenset(self._broken.keys)

    def _end(self, key: PublicKey) -> None:
        self._selected.pop(key).stop()
        endpoint = self._relays.endpoints.get(key) or self._interface.path(key).endpoint
        if endpoint:  # pinned no more
            self._changes.later(PeerUpdate(key, update_only=True, endpoint=endpoint))

    def _keep_direct(self, relay: PublicKey) -> None:
        """Have a relay hear where this node is: it may have called by another one, before it knew.

        It forwards to where it hears this node, which would end with the other one.
        """
        endpoint, present = self._relays.get(relay), self._interface.path(relay).endpoint
        if endpoint and endpoint != present and self._relay_at(relay, present):
            self._changes.register_at(endpoint, relay)

    def _note_move(self, now: int) -> None:
        for key, selected in self._selected.items():
            selected.paths.on_network_change(now)
            self._do(key, selected)

    def _inform(self, key: PublicKey, peer: Peer, now: int) -> None:
        """Tell the paths to a peer what is known of it."""
        selected = self._selected.get(key)
        if selected is None:
            selected = self._selected[key] = self._new(key, peer, now)
        selected.peer = peer
        selected.paths.keep_open(self._kept_for(peer), now)
        path = selected.paths.path
        self._set_relays(key, selected, path.endpoint if path else None, now)
        if (remote := candidates_of(peer, self._nat64)) != selected.remote:
            selected.remote = remote
            selected.paths.set_remote(remote, now)
        self._do(key, selected)

    def _kept_for(self, peer: Peer) -> int | None:
        """Return for how long after use keepalives keep a direct path open, None for ever.

        The one end that cannot be dialled sends them; it needs none while a relay leads to it.
        """
        if not is_hidden(peer.member):
            return KEEPING_TIME if self._registered and not self._is_dialled else None
        if not self._is_dialled:
            return 0
        return KEPT_TIME if self._relays_of(peer) else None

    def _is_kept_open(self, key: PublicKey, peer: Peer) -> bool:
        selected = self._selected.get(key)
        return selected.paths.is_kept_open if selected else self._kept_for(peer) is None

    def _new(self, key: PublicKey, peer: Peer, now: int) -> SelectedPeer:
        paths = PeerPaths(
            is_leader=self._key < bytes(key), traffic=lambda: Traffic(*self._interface.traffic(key)),
            predict=self.local.predict, spread=randrange,
        )  # fmt: skip
        selected = SelectedPeer(peer, paths)
        paths.keep_open(self._kept_for(peer) if is_hidden(peer.member) else 0, now)  # so it is heard
        paths.set_local(self._told, now)
        path = self._interface.path(key)
        if path.endpoint and (path.handshake or self._relay_at(key, path.endpoint)):
            self._note_endpoint(key, selected, path.endpoint, now)
        elif path.endpoint:
            paths.on_guess(path.endpoint, now)
        if self._interface.traffic(key).unanswered:
            paths.on_sent(now)
        return selected

    def _set_relays(self, key: PublicKey, selected: SelectedPeer, present: Endpoint | None, now: int) -> None:
        """Tell of those by which the peer is reached. present: where it is; the relay there counts, too."""
        relays = tuple(self._relays_to(key, selected.peer, present))
        if relays != selected.relays:
            selected.relays = relays
            selected.paths.set_relays(relays, now, present)

    def _relays_to(self, key: PublicKey, peer: Peer, present: Endpoint | None) -> Iterator[Relay]:
        trips = round_trips(peer.member, self._plan.known.relays)
        via = self._relay_at(key, present)
        for relay in dict.fromkeys((*self._relays_of(peer), *([via] if via else ()))):
            if endpoint := self._relays.get(relay):
                yield Relay(bytes(relay), endpoint, trips.get(relay, 0))

    def _relay_at(self, key: PublicKey, endpoint: Endpoint | None) -> PublicKey | None:
        relay = self._relays.relay_at(endpoint)
        return None if relay == key else relay

    # -- What is so ----------------------------------------------------------------------------------

    def relay_to(self, key: PublicKey) -> PublicKey | None:
        """Return the relay by which a peer is reached now, None if by none."""
        return self._relay_at(key, self._interface.path(key).endpoint)

    def path(self, key: PublicKey) -> PathInUse | None:
        """Return the one that is selected, None of a peer that needs no selection."""
        selected = self._selected.get(key)
        return selected.paths.path if selected else None

    def tried(self, key: PublicKey) -> tuple[Endpoint, ...]:
        """Return where a peer was asked last for a direct path."""
        selected = self._selected.get(key)
        return selected.paths.tried if selected else ()

    def is_idle(self, key: PublicKey) -> bool:
        """Return whether no path to a peer is looked for, as nothing was sent for a while."""
        selected = self._selected.get(key)
        return selected is not None and not selected.paths.is_active

    def since(self, key: PublicKey) -> int:
        """Return since when a peer is reached as it is, Unix seconds, 0 if it never was."""
        return self._since.get(key, (None, 0))[1]

    @property
    def without_keepalives(self) -> frozenset[PublicKey]:
        """Return the peers that need none: those by relays, and those whose direct path is not kept open."""
        return frozenset(
            key
            for key, peer in self._wanted.items()
            if self.relay_to(key) or not self._is_kept_open(key, peer)
        )

    # -- Events --------------------------------------------------------------------------------------

    def on_event(self, key: PublicKey, event: DeviceEvent) -> None:
        """A listener of the interface."""
        self._broken.on_event(key, event)
        if selected := self._selected.get(key):
            self._note_event(key, selected, event)
            self._do(key, selected)
        match event:
            case EndpointChanged(endpoint=endpoint):
                self._note_way(key)
                if self.relay_to(key):
                    self._broken.add(key)
                if key in self._registered:
                    self._keep_direct(key)
                if self._relays.has_moved(key, endpoint.without_source()):
                    self._on_change()
            case HandshakeCompleted():
                self._note_way(key)
        self.calls.on_event(key, event)

    def _note_event(self, key: PublicKey, selected: SelectedPeer, event: DeviceEvent) -> None:
        now = boottime()
        match event:
            case DataSent():
                selected.paths.on_sent(now)
                self._call_absent_relay(key, selected)
            case EndpointChanged(endpoint=endpoint):
                self._note_endpoint(key, selected, endpoint.without_source(), now)
            case HandshakeCompleted():
                selected.paths.on_handshake()

    def _note_endpoint(self, key: PublicKey, selected: SelectedPeer, endpoint: Endpoint, now: int) -> None:
        """A relay must be known as one before it is in use."""
        if self._relay_at(key, endpoint):
            self._set_relays(key, selected, endpoint, now)
            selected.paths.on_endpoint(endpoint, now)
        else:
            selected.paths.on_endpoint(endpoint, now)
            self._set_relays(key, selected, None, now)

    def _note_way(self, key: PublicKey) -> None:
        relay = self.relay_to(key)
        if key not in self._since or self._since[key][0] != relay:
            self._since[key] = relay, int(time.time())
            if key in self._wanted:
                self._on_change()

    def _on_message(self, source: IPv6Address, message: PathMessage) -> None:
        """A peer told this inside of the tunnel."""
        key = self._by_address[source]
        if selected := self._selected.get(key):
            candidates = reached_candidates(message.candidates, self._nat64)
            selected.paths.on_message(replace(message, candidates=candidates), boottime())
            self._do(key, selected)

    def _expire(self, key: PublicKey, selected: SelectedPeer) -> None:
        now = boottime()
        selected.timer = None
        selected.paths.expire(now)
        if not selected.paths.is_active:
            self._set_relays(key, selected, None, now)
        self._do(key, selected)

    # -- Questions outside of the tunnel: an observer of `Pings` -------------------------------------

    def note_asked(self, remote: Endpoint, now: int) -> None:
        self.local.note_sent(remote, now)

    def note_received(self, source: Endpoint, now: int) -> None:
        self.local.note_received(source, now)

    def note_answer(self, answer: Answer, now: int) -> None:
        self.local.note_answer(answer)
        self._tell_local(now)
        key = PublicKey(answer.peer)
        askers = self._asking.pop(key, set()) if self._relays.relay_at(answer.remote) == key else set()
        for one in (key, *askers):
            if selected := self._selected.get(one):
                selected.paths.on_answer(answer.remote, answer.round_trip, now)
                self._do(one, selected)

    def note_heard(self, heard: Heard, now: int) -> None:
        key = PublicKey(heard.peer)
        if selected := self._selected.get(key):
            selected.paths.on_heard(heard.remote, now)
            self._do(key, selected)

    def _tell_local(self, now: int) -> None:
        candidates = self.local.candidates
        if candidates != self._told:
            self._told = candidates
            for key, selected in self._selected.items():
                selected.paths.set_local(candidates, now)
                self._do(key, selected)

    # -- Relays without a session --------------------------------------------------------------------

    def _call_absent_relay(self, key: PublicKey, selected: SelectedPeer) -> None:
        path = selected.paths.path
        relay = self._relay_at(key, path.endpoint) if path and path.kind is PathKind.RELAYED else None
        if relay and not self.calls.is_live(relay):
            self.calls.call(relay, key)

    # -- Outputs -------------------------------------------------------------------------------------

    def _do(self, key: PublicKey, selected: SelectedPeer) -> None:
        """Do what the paths to a peer want, in order, and wake when more is due."""
        selected.outputs += selected.paths.take_outputs()
        if selected.doing is None:
            self._do_at_once(key, selected)
        if selected.outputs and selected.doing is None:
            selected.doing = asyncio.create_task(self._do_in_turn(key, selected))
        selected.expire_by(partial(self._expire, key, selected))
        self._note_kept(selected)
        path = selected.paths.path
        if not selected.paths.is_active and path and path.kind is not PathKind.RELAYED:
            self._broken.discard(key)

    def _note_kept(self, selected: SelectedPeer) -> None:
        is_kept = selected.paths.is_kept_open
        if is_kept != selected.was_kept:
            selected.was_kept = is_kept
            if not self._is_dialled and not is_hidden(selected.peer.member):
                self._on_change()

    def _do_at_once(self, key: PublicKey, selected: SelectedPeer) -> None:
        """Do what comes before the next change of the interface."""
        while selected.outputs and not isinstance(selected.outputs[0], Use):
            self._carry_out(key, selected, selected.outputs.popleft())

    async def _do_in_turn(self, key: PublicKey, selected: SelectedPeer) -> None:
        try:
            while selected.outputs:
                match selected.outputs.popleft():
                    case Use() as use:
                        await self._use(key, use)
                    case output:
                        self._carry_out(key, selected, output)
        finally:
            selected.doing = None

    def _carry_out(self, key: PublicKey, selected: SelectedPeer, output: Output) -> None:
        match output:
            case Ask(endpoint, None):
                self._pings.send(bytes(key), endpoint)
            case Ask(endpoint, bytes() as relay):
                self._asking.setdefault(PublicKey(relay), set()).add(key)
                for one in (endpoint, *self._in_other_versions(PublicKey(relay), endpoint)):
                    self._pings.send(relay, one)
            case Register(relay):
                self._register(PublicKey(relay), key, selected)
            case Keepalive():
                self._interface.send_keepalive(key)
            case Tell(message):
                self._messages.send(message, selected.peer.member.address6)

    def _in_other_versions(self, relay: PublicKey, endpoint: Endpoint) -> Iterator[Endpoint]:
        """Give where a relay is as well: what it sees there may be another NAT, which forgets, too."""
        tunnel, known = self._plan.tunnels.get(relay), {version(endpoint, self._nat64)}
        for one in tunnel.endpoints if tunnel else ():
            its = version(one, self._nat64)
            if its in self._versions and its not in known:
                known.add(its)
                yield one

    def _register(self, relay: PublicKey, key: PublicKey, selected: SelectedPeer) -> None:
        if self.calls.is_live(relay):
            self._interface.send_keepalive(relay)
        elif selected.paths.is_active:
            self.calls.call(relay, key)

    async def _use(self, key: PublicKey, use: Use) -> None:
        if use.session is Session.BEGIN and self.relay_to(key):
            self._on_silence()
        if use.session is Session.END and self._plan.is_relay:
            self.calls.note_end(key)
        update = PeerUpdate(
            key, update_only=True, endpoint=use.endpoint, pinned=use.pinned,
            handshake=use.session is Session.BEGIN, ends_session=use.session is Session.END,
        )  # fmt: skip
        await self._changes.carry_out(update)

    def close(self) -> None:
        self._messages.close()
        self._broken.close()
        for selected in self._selected.values():
            selected.stop()
