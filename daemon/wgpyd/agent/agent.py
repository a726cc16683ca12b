"""One node: what it knows, made into what its interface does.

Invariant: one task applies, so what is applied is always the whole of what was known at one moment; whatever
may have changed that only rings for it. It wakes for news, for a change of the host's networks, and when a
membership ends.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Interface, IPv6Address, IPv6Interface
from math import inf
from pathlib import Path
from typing import Final

from wgpy.address import Prefix
from wgpy.contract.errors import StateError as NotConfigured
from wgpy.driver.interface import Interface
from wgpy.host.netlink import NetworkMonitor
from wgpy.keys import PublicKey
from wgpy.mesh.addressing import node_address6
from wgpy.mesh.records import NAME, Network, describe
from wgpy.mesh.signing import Signed
from wgpy.mesh.topology import Exclusion, Topology, derive
from wgpy.model import DeviceUpdate, PeerUpdate
from wgpy.node.agent import AgentError, Status
from wgpy.node.coordinator import CoordinatorError
from wgpy.node.files import NodeFile, StorageError

from .gossip import Gossip
from .host_networks import NOWHERE, choose, read_host_networks
from .identity import LocalIdentity
from .reconcile.link import Link, Links, ask_ip
from .reconcile.tunnels import LocalView, Peer, Tunnel, difference, meet, tunnels
from .rejected import PATIENCE, RejectedRecords, WithholdingDetector
from .status import tell
from .store import RecordStore
from .subscription import Subscription

_LOG = logging.getLogger("wgpy")

_SETTLING_TIME: Final = 1.0  # seconds, in which a host changes more than one thing about its networks
_BATCHING_TIME: Final = 0.02  # seconds, in which more news may come
_SHARE: Final = 3  # it rests so many times as long as it worked
_LONGEST_REST: Final = 0.5  # seconds
_MAX_GREETED: Final = 256
_GREETING_TIME: Final = 0.5  # seconds
_LONGEST_SLEEP: Final = 3600.0  # seconds: nobody says when the wall clock is set
_MOST_STRANGERS: Final = 3
_FOR_EVER: Final = (Exclusion.REMOVED, Exclusion.DEPARTED)


class Agent:
    """Works from `start` to `stop`, on the loop of a started interface; it ends that if it fails itself."""

    def __init__(
        self,
        name: str,
        folder: Path,
        node: NodeFile,
        interface: Interface,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """name: of the network; folder: where `node` was loaded from. Raises StorageError."""
        self.name = name
        self.interface = interface
        self.knowledge = RecordStore(folder, node.network, node.identity.verify_key(), clock)
        self.own = LocalIdentity(folder, node, self.knowledge.ledger)
        self.withheld = WithholdingDetector(self.knowledge.ledger)
        self.links = Links(interface.name)
        self.following = Subscription(self.own, self.knowledge, self.withheld, self._ring)
        self.neighbours = Gossip(
            self.knowledge.ledger, self.knowledge.refusals, self._learn_from_neighbour, self._name_of
        )
        self.topology = Topology((), {}, ())
        self.peers: tuple[Peer, ...] = ()
        self._place = LocalView({}, frozenset(), frozenset())
        self._by_key: Mapping[PublicKey, Peer] = {}
        self._names: Mapping[IPv6Address, str] = {}
        self._clock = clock
        self._surroundings = NOWHERE
        self._configured: Mapping[PublicKey, Tunnel] = {}
        self._bell = asyncio.Event()
        self._up = asyncio.Event()
        self._must_look = True
        self._is_listening = False
        self._look_timer: asyncio.TimerHandle | None = None
        self._expiry_timer: asyncio.TimerHandle | None = None
        self._speaking = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._strangers = 0
        self._told_withheld: frozenset[str] = frozenset()
        self._warnings: dict[str, str] = {}  # by what they are about

    async def start(self) -> bool:
        """Return once addresses are set and the known peers configured, False if the interface ended before.

        Raises OSError if the port cannot be had.
        """
        node = self.own.node
        await self.interface.configure(
            DeviceUpdate(private_key=node.key, listen_port=node.listen_port, replace_peers=True)
        )
        self._loop = asyncio.get_running_loop()
        self._monitor = NetworkMonitor()
        self._loop.add_reader(self._monitor.fileno(), self._on_network_change)
        self.interface.on_session = self._on_session
        self._tasks += [asyncio.create_task(self._work()), asyncio.create_task(self.following.run())]
        for task in self._tasks:
            task.add_done_callback(self._on_end)
        self._ring()
        self._tasks.append(asyncio.create_task(self._greet()))
        up, closed = (asyncio.create_task(wait()) for wait in (self._up.wait, self.interface.wait_closed))
        await asyncio.wait([up, closed], return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        closed.cancel()
        return self._up.is_set()

    async def stop(self) -> None:
        """Raises whatever ended it."""
        self.interface.on_session = None
        self.neighbours.close()
        self._loop.remove_reader(self._monitor.fileno())
        self._monitor.close()
        for timer in (self._look_timer, self._expiry_timer):
            if timer is not None:
                timer.cancel()
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    def _on_end(self, task: asyncio.Task[None]) -> None:
        """If it failed: a node that is deaf must not look well."""
        if not task.cancelled() and task.exception():
            self.interface.close()

    # -- What is asked of it ---------------------------------------------------------------------

    async def status(self) -> Status:
        """Raises LookupError with a sentence as long as nobody told it what the network is."""
        return await tell(self)

    @property
    def refusals(self) -> RejectedRecords:
        return self.knowledge.refusals

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences: what is not as it should be."""
        refused = self.following.refused
        return (
            *filter(None, (self.knowledge.warning, *self._warnings.values())),
            *self.links.warnings,
            *([f"the coordinator does not take this node's record: {refused}"] if refused else []),
        )

    async def rename(self, name: str) -> None:
        """Return once the coordinator has it. Raises AgentError."""
        if not NAME.fullmatch(name):
            raise AgentError(f"{name!r} is no name: want 1 to 63 of a-z, 0-9 and -, none of them - at an end")
        async with self._speaking:
            said, before = self.own.record(), self.own.node.name
            try:
                signed = self.own.say(said.endpoints if said else (), name)
                try:
                    await self._submit(signed)
                except AgentError:
                    self.own.take_back_name(before)
                    raise
            except StorageError as error:
                raise AgentError(str(error)) from None
            self.knowledge.learn([signed], "this node")
        self._ring()

    async def leave(self) -> None:
        """Tell the coordinator, forget the network, and end soon. Raises AgentError."""
        async with self._speaking:
            if self.exclusion not in _FOR_EVER:
                await self._submit(self.own.node.departure())
            try:
                self.own.forget()
            except StorageError as error:
                raise AgentError(str(error)) from None
            self._loop.call_soon(self.interface.close)

    async def _submit(self, signed: Signed) -> None:
        """Raises AgentError."""
        try:
            outcomes = await self.following.submit([signed])
        except CoordinatorError as error:
            raise AgentError(str(error)) from None
        if len(outcomes) != 1 or outcomes[0].verdict == "refused":
            raise AgentError(
                outcomes[0].reason if outcomes else "the coordinator does not say what came of it"
            )

    @property
    def exclusion(self) -> Exclusion | None:
        """Why this node is no member; None if it is one, or has not been heard of."""
        return self.topology.excluded.get(self.own.identity)

    # -- What rings ------------------------------------------------------------------------------

    def _ring(self) -> None:
        self._bell.set()

    def _on_network_change(self) -> None:
        self._monitor.acknowledge()
        if self._look_timer is None:
            self._look_timer = self._loop.call_later(_SETTLING_TIME, self._on_settled)

    def _on_settled(self) -> None:
        self._look_timer = None
        self._must_look = True
        self._ring()

    def _on_session(self, key: PublicKey, is_ours: bool) -> None:
        if is_ours and (peer := self._by_key.get(key)):
            self.neighbours.ask(peer.member.address6)

    def _learn_from_neighbour(self, records: Sequence[Signed], source: str) -> bool:
        learned = self.knowledge.learn(records, source)
        for new in learned.new:
            name = source.removeprefix("neighbour ")
            digest, what = new.signed.digest, describe(new.record)
            self.withheld.learned_from_neighbour(digest, name, what, time.monotonic())
        if learned.new:
            self._ring()
            self._loop.call_later(PATIENCE, self._ring)  # to see whether the coordinator tells it, too
        return learned.genuine

    def _name_of(self, address: IPv6Address) -> str | None:
        return self._names.get(address)

    # -- Applying --------------------------------------------------------------------------------

    async def _work(self) -> None:
        with suppress(ConnectionError):  # the interface was closed
            while True:
                await self._bell.wait()
                self._bell.clear()
                began = self._loop.time()
                if self._must_look:
                    await self._look()
                if network := self.knowledge.ledger.charter():
                    self._speak(network)
                    await self._apply(network)
                    self._up.set()
                worked = self._loop.time() - began
                await asyncio.sleep(min(max(_BATCHING_TIME, _SHARE * worked), _LONGEST_REST))

    async def _look(self) -> None:
        """Find out where this host is now."""
        self._must_look = False
        if not (links := await ask_ip("-details", "address")):
            return
        before, self._surroundings = self._surroundings, read_host_networks(links, self.interface.name)
        if before is not NOWHERE and before.addresses != self._surroundings.addresses:
            self.following.hurry()

    async def _apply(self, network: Network) -> None:
        ledger, now = self.knowledge.ledger, int(self._clock())
        before, self.topology = self.topology, derive(ledger, now, self.topology)
        _tell_of_excluded(before, self.topology)
        self._tell_of_withheld()
        self._warn("member", f"this node is no member: {self.exclusion.value}" if self.exclusion else "")
        if self.exclusion in _FOR_EVER:
            self.following.give_up()
        place = self._where()
        known = self.peers if place == self._place else ()
        self._place, self.peers = place, meet(self.topology.peers(self.own.identity), place, known)
        self._by_key = {peer.member.key: peer for peer in self.peers}
        self._names = {
            peer.member.address6: peer.member.name or str(peer.member.identity) for peer in self.peers
        }
        await self._configure()
        await self.links.apply(self._link(network))
        await self._listen(network)
        self._sleep(self.topology.until - now)

    def _tell_of_withheld(self) -> None:
        withheld = frozenset(self.withheld.withheld(time.monotonic()))
        for sentence in sorted(withheld - self._told_withheld):
            _LOG.warning("%s", sentence)
        self._told_withheld = withheld

    def _where(self) -> LocalView:
        own = self.own.record()
        return LocalView(
            {**self._surroundings.networks, **dict.fromkeys(self.own.node.routes, "a route of this node")},
            frozenset(endpoint.address for endpoint in own.endpoints) if own else frozenset(),
            frozenset(address.version for address in self._surroundings.addresses),
        )

    async def _configure(self) -> None:
        wanted = tunnels(self.peers)
        if changes := difference(self._configured, wanted):
            try:
                await self.interface.configure(DeviceUpdate(peers=changes))
            except NotConfigured as error:
                self._warn("peers", str(error))
                return
            self._warn("peers", "")
        self._configured = wanted

    async def _greet(self) -> None:
        """Begin sessions anew: who still has one with our last life would send into it for 15 s."""
        await self._up.wait()
        keys = [peer.member.key for peer in self.peers[:_MAX_GREETED]]
        with suppress(ConnectionError):  # the interface was closed
            for seconds in (1, 0):
                changes = [PeerUpdate(key, update_only=True, persistent_keepalive=seconds) for key in keys]
                await self.interface.configure(DeviceUpdate(peers=changes))
                await asyncio.sleep(_GREETING_TIME)

    def _link(self, network: Network) -> Link:
        own = self.own.node.address, network.addresses.prefixlen
        own6 = node_address6(network.addresses6, self.own.identity), network.addresses6.prefixlen
        routes = tuple(route for peer in self.peers for route in peer.routes)
        return Link(network.mtu, (IPv4Interface(own), IPv6Interface(own6)), routes)

    async def _listen(self, network: Network) -> None:
        if self._is_listening:
            return
        try:
            await self.neighbours.listen(node_address6(network.addresses6, self.own.identity))
        except OSError as error:
            self._warn("neighbours", f"neighbours cannot be answered: {error.strerror}")
            return
        self._is_listening = True
        self._warn("neighbours", "")

    def _sleep(self, seconds: float) -> None:
        """Ring when the next membership ends; infinity for never."""
        if self._expiry_timer is not None:
            self._expiry_timer.cancel()
            self._expiry_timer = None
        if seconds < inf:
            self._expiry_timer = self._loop.call_later(min(seconds, _LONGEST_SLEEP), self._ring)

    # -- Speaking --------------------------------------------------------------------------------

    def _speak(self, network: Network) -> None:
        """Say anew what this node is, if the network's record of it is not that.

        Where it is, it knows only with the coordinator's help; without, an older word is better.
        """
        is_late = self.following.connected or self.own.record() is None
        if not is_late or self._speaking.locked() or self.exclusion is not None:
            return
        mesh: tuple[Prefix, ...] = (network.addresses, network.addresses6, network.pool)
        endpoints = choose(
            self.own.node.endpoints, self.following.seen, self._surroundings,
            self.interface.listen_port, mesh,
        )  # fmt: skip
        if self.own.is_said(endpoints) or self._strangers >= _MOST_STRANGERS:
            return
        is_foreign = self.own.is_foreign()
        try:
            signed = self.own.say(endpoints)
        except StorageError as error:
            self._warn("own", f"this node's endpoints cannot be told: {error}")
            return
        self._warn("own", "")
        self._count_stranger(is_foreign)
        self.knowledge.learn([signed], "this node")
        self.following.give([signed])

    def _count_stranger(self, is_foreign: bool) -> None:
        """A restored backup may forget once what this host said; more than that is another host."""
        self._strangers += is_foreign
        if self._strangers >= _MOST_STRANGERS:
            self._warn(
                "stranger", "another host speaks with this node's identity: remove it, and join both anew"
            )

    def _warn(self, about: str, sentence: str) -> None:
        """Keep a warning, "" for none any more, and log it if it is a new one."""
        if sentence and self._warnings.get(about) != sentence:
            _LOG.warning("%s", sentence)
        self._warnings[about] = sentence


def _tell_of_excluded(before: Topology, now: Topology) -> None:
    """Log who speaks and is no member, at most one line for all; who was removed or left has spoken once."""
    new = [
        identity
        for identity, reason in now.excluded.items()
        if identity not in before.excluded and reason not in _FOR_EVER
    ]
    if new:
        more = f"; so are {len(new) - 1} more" if len(new) > 1 else ""
        _LOG.warning("%s is no member: %s%s", new[0], now.excluded[new[0]].value, more)
