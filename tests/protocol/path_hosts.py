"""Hosts that find paths to each other in the simulation: what an agent does, around the sans-IO parts."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Network, ip_address
from random import Random
from typing import Final

from wgpy.address import is_private
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import DataSent, EndpointChanged
from wgpy.contract.orders import AllowedIP
from wgpy.device import HandshakeSent
from wgpy.engine.actions import HandshakeCompleted
from wgpy.paths.discovery import MAGIC, Discovery
from wgpy.paths.exchange import Candidate, PathMessage
from wgpy.paths.local import local_candidates, predicted_candidates
from wgpy.paths.nat import NatBehaviour, NatObserver
from wgpy.paths.nat64 import reached, reached_candidates, version
from wgpy.paths.outputs import Ask, Keepalive, Output, Register, Relay, Session, Tell, Traffic, Use
from wgpy.paths.selection import KEEPING_TIME, KEPT_TIME, PeerPaths
from wgpy.testing import (
    Attachment,
    Conditions,
    InnerPacket,
    Network,
    Node,
    Notice,
    PacketDelivered,
    PeerConfig,
    Settled,
    Simulation,
)

from . import whitepaper as wp

PORT: Final = 51820
STREAMS_PORT: Final = 443
KEEPALIVE: Final = 25
DELAY: Final = 10 * wp.MS
_PAYLOAD: Final = 28  # behind the header and the number of an inner packet
_MESSAGE: Final = b"wgpx"


@dataclass(eq=False)
class PathHost:
    """A node with discovery, and the paths of its peers.

    relays: by public key, their endpoints; nat64: the prefix of the NAT64 that it is behind.
    """

    world: "World"
    node: Node
    relays: dict[bytes, Endpoint]
    public: Sequence[Endpoint] = ()
    nat64: IPv6Network | None = None
    paths: dict[bytes, PeerPaths] = field(default_factory=dict)
    asked: list[Endpoint] = field(default_factory=list)
    received: list[tuple[int, bytes]] = field(default_factory=list)  # when, and the packet

    def __post_init__(self) -> None:
        self.discovery = Discovery(self.node.private_key, Random(self.node.private_key).randbytes)
        self.observers = {4: NatObserver(4), 6: NatObserver(6)}
        self._known: dict[bytes, PathHost] = {}
        self._messages: list[tuple[bytes, PathMessage]] = []
        self._is_due = False
        self._wake_at = 0
        self._stalled_until = 0
        self.node.register_reader(MAGIC, self._read)
        self.node.listen_to(self._note)
        for key, endpoint in self.relays.items():
            inner = self.world.inner_address(key)
            self.node.add_peer(PeerConfig(key, (inner,), endpoint, persistent_keepalive=KEEPALIVE))

    @property
    def now(self) -> int:
        return self.node.now

    def know(self, other: "PathHost") -> None:
        """Have another host as a peer."""
        key = other.node.public_key
        self._known[key] = other
        self.node.add_peer(PeerConfig(key, (self.world.inner_address(key),)))
        self._begin_paths(key)

    def restart(self) -> None:
        """Crash, and begin again with the peers of before."""
        self.node.crash()
        self.node.start()
        for key in list(self.paths):
            self._begin_paths(key)
        self.ask_relays()

    def _begin_paths(self, key: bytes) -> None:
        self.node.device.watched |= {key}
        paths = PeerPaths(
            is_leader=self.node.public_key < key, traffic=lambda: self._traffic(key),
            predict=self._predict, spread=self.world.random.randrange,
        )  # fmt: skip
        self.paths[key] = paths
        paths.keep_open(self._kept_for(self._known[key]), self.now)
        self.discovery.set_peers([*self.relays, *self.paths])
        relays = [Relay(relay, endpoint, 4 * DELAY) for relay, endpoint in self.relays.items()]
        paths.set_relays(relays, self.now)
        self._tell_local()
        self.pump()

    def _kept_for(self, other: "PathHost") -> int | None:
        """As an agent has it, if others can dial a host that is public."""
        if other.public:
            return KEEPING_TIME if self.relays and not self.public else None
        if not self.public:
            return 0
        return KEPT_TIME if self.relays else None

    def ask_relays(self) -> None:
        """What the relays see this host as."""
        self.discovery.set_peers([*self.relays, *self.paths])
        for key, endpoint in self.relays.items():
            self._ask_relay(key, endpoint)

    def _ask_relay(self, key: bytes, endpoint: Endpoint) -> None:
        """By each version of IP, as it may be another NAT."""
        for one in (endpoint, *self.world.other_endpoints(key, endpoint)):
            self._ask(key, reached(one, self.nat64))

    def stall(self, duration: int) -> None:
        """Do and receive nothing for so long, as on a host that is too busy; what is due waits."""
        self._stalled_until = self.world.now + duration
        for at, behind in self.node.attachments:
            self.world.simulation.network.stall(at, self._stalled_until, behind)

    def path_to(self, other: "PathHost") -> PeerPaths:
        return self.paths[other.node.public_key]

    def is_direct(self, other: "PathHost") -> bool:
        """Whether what it sends to the other goes there without a relay."""
        endpoint = self.node.peer(other.node.public_key).endpoint
        return endpoint is not None and endpoint.without_source() not in self.world.relay_endpoints

    def change_network(self, *attachments: Attachment) -> None:
        """Be elsewhere, learn what is seen there, and register with the relays."""
        self.node.move(*attachments)
        self.observers = {4: NatObserver(4), 6: NatObserver(6)}
        self.relays = self.world.relays_for(self.node)
        for key, endpoint in self.relays.items():
            self.node.engine.set_endpoint(self.node.peer(key), endpoint, self.now)
            self.node.engine.set_persistent_keepalive(self.node.peer(key), 0, self.now)
            self.node.engine.set_persistent_keepalive(self.node.peer(key), KEEPALIVE, self.now)
        relays = [Relay(relay, endpoint, 4 * DELAY) for relay, endpoint in self.relays.items()]
        for paths in self.paths.values():
            paths.set_relays(relays, self.now)
            paths.on_network_change(self.now)
        self.node.settle()
        self.ask_relays()
        self.pump()

    # -- The loop --------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Take what came, and do what is due and wanted."""
        self._is_due = False
        self._take_events()
        for key, paths in self.paths.items():
            deadline = paths.next_deadline()
            if deadline is not None and deadline <= self.now:
                paths.expire(self.now)
            for output in paths.take_outputs():
                self._carry_out(key, output)
            self._keep_open(key, paths)
        self._rearm()

    def _predict(self, remotes: Sequence[Endpoint]) -> tuple[Sequence[Candidate], Sequence[Candidate]]:
        return predicted_candidates(self.observers[4], self._behaviour(4), remotes)

    def _observer(self, remote: Endpoint) -> NatObserver:
        return self.observers[version(remote, self.nat64)]

    def _behaviour(self, version: int) -> NatBehaviour:
        own = [at.address for at, _ in self.node.attachments]
        return self.observers[version].behaviour(own, PORT)

    def _keep_open(self, key: bytes, paths: PeerPaths) -> None:
        other, peer = self._known[key], self.node.peer(key)
        is_kept = not self.public and bool(other.public) and self.is_direct(other) and paths.is_kept_open
        seconds = KEEPALIVE if is_kept else 0
        if peer.persistent_keepalive != seconds:
            self.node.engine.set_persistent_keepalive(peer, seconds, self.now)
            self.node.settle()

    def _take_events(self) -> None:
        for answer in self.discovery.take_answers():
            self._observer(answer.remote).note_answer(answer.remote, answer.seen_as)
            self._tell_local()
            for key, paths in self.paths.items():
                if answer.peer == key or self.relays.get(answer.peer) == answer.remote:
                    paths.on_answer(answer.remote, answer.round_trip, self.now)
        for heard in self.discovery.take_heard():
            if heard.peer in self.paths:
                self.paths[heard.peer].on_heard(heard.remote, self.now)
        messages, self._messages = self._messages, []
        for key, message in messages:
            candidates = reached_candidates(message.candidates, self.nat64)
            self.paths[key].on_message(replace(message, candidates=candidates), self.now)
        events = list(self.node.events)
        self.node.events.clear()
        for event in events:
            known = self.node.engine.peer(event.peer) if hasattr(event, "peer") else None
            paths_of = self.paths.get(known.public_key) if known else None
            if isinstance(event, HandshakeSent):
                self._note_sent(event.endpoint.without_source())
            elif paths_of and isinstance(event, DataSent):
                paths_of.on_sent(self.now)
            elif paths_of and isinstance(event, EndpointChanged):
                paths_of.on_endpoint(event.endpoint, self.now)
            elif paths_of and isinstance(event, HandshakeCompleted):
                paths_of.on_handshake()

    def _carry_out(self, key: bytes, output: Output) -> None:
        match output:
            case Ask(endpoint, None):
                self._ask(key, endpoint)
            case Ask(endpoint, bytes() as relay):
                self._ask_relay(relay, endpoint)
            case Use(endpoint, pinned, session):
                peer, engine = self.node.peer(key), self.node.engine
                engine.set_endpoint(peer, endpoint, self.now, pinned=pinned)
                if session is Session.BEGIN:
                    engine.begin_handshake(peer, self.now, anew=True)
                elif session is Session.END:
                    engine.end_session(peer)
                self.node.settle()
            case Register(relay):
                self._send_keepalive(relay)
            case Keepalive():
                self._send_keepalive(key)
            case Tell(message):
                self.world.send_inside(
                    self.node.public_key, key, PathMessage.decode(message.encode()).encode()
                )

    def _send_keepalive(self, key: bytes) -> None:
        self.node.device.send_keepalive(self.node.peer(key), self.now)
        self.node.settle()

    def _ask(self, key: bytes, endpoint: Endpoint) -> None:
        if all(at.is_ipv6 != endpoint.is_ipv6 for at, _ in self.node.attachments):
            return  # there is no way
        self.asked.append(endpoint)
        self._note_sent(endpoint)
        self.node.send_raw(endpoint, self.discovery.ask(key, endpoint, self.now))

    def _note_sent(self, remote: Endpoint) -> None:
        own = {at.address.rpartition(".")[0] for at, _ in self.node.attachments}
        if not (is_private(ip_address(remote.address)) and remote.address.rpartition(".")[0] in own):
            self._observer(remote).note_sent(remote, self.now)

    def _tell_local(self) -> None:
        own = [at for at, _ in self.node.attachments]
        behaviours = [self._behaviour(version) for version in self.observers]
        for paths in self.paths.values():
            paths.set_local(local_candidates(own, behaviours, self.public), self.now)

    def _rearm(self) -> None:
        deadlines = [paths.next_deadline() for paths in self.paths.values()]
        deadline = min((one for one in deadlines if one is not None), default=None)
        if deadline is not None and deadline != self._wake_at:
            self._wake_at = deadline
            self.world.simulation.timeline.call_at(self.node.clock.when(deadline), self._pump_soon)

    def _pump_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            self.world.simulation.timeline.call_at(self._stalled_until, self.pump)

    # -- What happens at the node ----------------------------------------------------------------------

    def _read(self, data: bytes, source: Endpoint, now: int) -> bytes | None:
        answer = self.discovery.receive(data, source, now)
        self._observer(source).note_heard(source, now)
        self._pump_soon()
        return answer

    def _note(self, node: Node, notice: Notice) -> None:
        match notice:
            case PacketDelivered(packet) if packet[_PAYLOAD:].startswith(_MESSAGE):
                message = PathMessage.decode(packet[_PAYLOAD:])
                self._messages.append((self.world.key_of(packet[12:16]), message))
                self._pump_soon()
            case PacketDelivered(packet):
                self.received.append((self.world.now, packet))
            case Settled() if node.events:
                self._pump_soon()

    def _traffic(self, key: bytes) -> Traffic:
        return Traffic(*self.node.device.traffic(key))


class StreamServer:
    """What carries datagrams out of streams, at a relay; here a stream is a flow to its port STREAMS_PORT."""

    def __init__(self, network: Network, relay: Endpoint) -> None:
        self._network = network
        self._relay = relay
        self._port = relay._replace(port=STREAMS_PORT)
        self._sockets: dict[Endpoint, Endpoint] = {}  # one for each client
        network.attach(self._port, self._receive)

    def _receive(self, data: bytes, client: Endpoint, tos: int) -> None:
        if client not in self._sockets:
            own = self._sockets[client] = self._relay._replace(port=40_000 + len(self._sockets))
            self._network.attach(own, lambda answer, *_: self._network.send(self._port, client, answer))
        self._network.send(self._sockets[client], self._relay, data)


class World:
    """A simulation with relays that everybody can reach, and hosts."""

    def __init__(self, seed: int, *, relays: int = 2, conditions: Conditions | None = None) -> None:
        self.simulation = Simulation(seed, conditions or Conditions(delay=DELAY))
        self.random = Random(seed)
        self.hosts: list[PathHost] = []
        self._discoveries: list[Discovery] = []  # of the relays
        self.relays = [self._add_relay(number + 1) for number in range(relays)]
        self._packets = 0

    @property
    def now(self) -> int:
        return self.simulation.timeline.now

    def _add_relay(self, number: int) -> Node:
        four, six = Endpoint(f"203.0.113.{number}", PORT), Endpoint(f"2001:db8:ffff::{number}", PORT)
        relay = self.simulation.add_node(f"relay{number}", at=[Attachment(four), Attachment(six)])
        relay.relay()
        discovery = Discovery(relay.private_key, Random(number).randbytes)
        relay.register_reader(MAGIC, discovery.receive)
        self._discoveries.append(discovery)
        StreamServer(self.simulation.network, four)
        return relay

    @property
    def relay_endpoints(self) -> set[Endpoint]:
        ends = {at for relay in self.relays for at, _ in relay.attachments}
        return ends | {end._replace(port=STREAMS_PORT) for end in ends}

    def relays_for(self, node: Node, *, streams: bool = False) -> dict[bytes, Endpoint]:
        """By public key, the endpoints for the node's version of IP. streams: where UDP is blocked."""
        is_ipv6 = node.listen.is_ipv6
        found = {relay.public_key: relay.attachments[1 if is_ipv6 else 0].at for relay in self.relays}
        return {key: at._replace(port=STREAMS_PORT) if streams else at for key, at in found.items()}

    def other_endpoints(self, relay: bytes, known: Endpoint) -> list[Endpoint]:
        """Of a relay, in other versions of IP than the one that is known."""
        found = next(one for one in self.relays if one.public_key == relay)
        return [at for at, _ in found.attachments if at.is_ipv6 != known.is_ipv6]

    def add_host(
        self, name: str, *attachments: Attachment, public: bool = False, streams: bool = False,
        nat64: IPv6Network | None = None,
    ) -> PathHost:  # fmt: skip
        node = self.simulation.add_node(name, at=attachments)
        for relay in self.relays:
            relay.add_peer(PeerConfig(node.public_key, (self.inner_address(node.public_key),)))
        named = [attachments[0].at] if public else []
        host = PathHost(self, node, self.relays_for(node, streams=streams), named, nat64)
        self.hosts.append(host)
        for discovery in self._discoveries:
            discovery.set_peers(other.node.public_key for other in self.hosts)
        host.ask_relays()
        return host

    def run(self, duration: int) -> None:
        self.simulation.run_for(duration)

    # -- Inner packets ---------------------------------------------------------------------------------

    def inner_address(self, key: bytes) -> AllowedIP:
        number = next(place for place, node in enumerate(self.simulation.nodes) if node.public_key == key)
        return AllowedIP(bytes([10, 0, 0, number + 1]), 32)

    def key_of(self, inner: bytes) -> bytes:
        return self.simulation.nodes[inner[3] - 1].public_key

    def send_inside(self, source: bytes, destination: bytes, payload: bytes = b"") -> bytes:
        """Put a packet into the tunnel, and return it."""
        self._packets += 1
        one, other = (".".join(map(str, self.inner_address(key).address)) for key in (source, destination))
        packet = InnerPacket(one, other, self._packets, _PAYLOAD + len(payload)).encode()[:_PAYLOAD] + payload
        next(node for node in self.simulation.nodes if node.public_key == source).send_packet(packet)
        return packet

    def send(self, source: PathHost, destination: PathHost) -> bytes:
        return self.send_inside(source.node.public_key, destination.node.public_key)
