"""The paths to peers of which one end cannot be dialled: which endpoint the interface has, and who is called.

The interface is a real one whose device is a socketpair. Nobody is there, save whom a test puts there.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address

import pytest

from tests.mesh.coordinator import in_a_loop
from tests.mesh.network import NOW
from tests.mesh.nodes import Network
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import DataSent, EndpointChanged, PeerId
from wgpy.datapath.relay import Mac1Key
from wgpy.driver.interface import Interface
from wgpy.engine.actions import HandshakeCompleted
from wgpy.host.bootclock import boottime
from wgpy.host.tun import PacketSocket
from wgpy.keys import PublicKey
from wgpy.mesh.plan import LocalView, NodePlan, Routing, plan
from wgpy.mesh.topology import derive
from wgpy.model import DeviceUpdate, PeerUpdate
from wgpy.node.files import NodeFile
from wgpy.paths.discovery import Discovery
from wgpy.paths.exchange import PathKind
from wgpyd.agent.host_networks import HostNetworks
from wgpyd.agent.pings import Pings
from wgpyd.agent.selection import Selection
from wgpyd.agent.warm_up import warm_up

HUB_AT, SPARE_AT, PEER_AT = (Endpoint("127.0.0.1", port) for port in (1, 2, 3))
HERE = HostNetworks({}, (ip_address("192.168.1.7"),))


@dataclass(slots=True)
class Scene:
    """This node, a peer that registers with two relays, and these."""

    interface: Interface
    network: Network
    peer: NodeFile
    hub: NodeFile
    spare: NodeFile
    selection: Selection = field(init=False)
    pings: Pings = field(init=False)
    changes: int = 0

    def __post_init__(self) -> None:
        key = self.network.nodes[0].key
        self.pings = Pings(self.interface, key)
        self.selection = Selection(self.interface, key.public_key(), self.pings, self._note, _nothing)
        self.pings.observe(self.selection)

    def _note(self) -> None:
        self.changes += 1

    @property
    def key(self) -> PublicKey:
        return self.peer.key.public_key()

    def plan(self) -> NodePlan:
        administrator, node = self.network.administrator, self.network.nodes[0]
        charter = administrator.ledger().charter()
        assert charter
        view = LocalView(
            node.identity.verify_key(),
            IPv4Address("100.80.0.1"),
            {},
            frozenset(("127.0.0.1",)),
            frozenset((4, 6)),
            Routing(7, 8),
        )
        return plan(charter, derive(administrator.ledger(), NOW), view, NodePlan.empty())

    def planned(self, *, is_dialled: bool = False) -> NodePlan:
        return self.selection.planned(self.plan(), {}, (), is_dialled=is_dialled)

    async def know(self, *endpoints: tuple[NodeFile, Endpoint]) -> None:
        """Let the interface know all peers as planned, and some of them at an endpoint."""
        node, tunnels = self.network.nodes[0], self.planned().tunnels
        peers = [PeerUpdate(key, candidates=tunnel.endpoints) for key, tunnel in tunnels.items()]
        heard = [PeerUpdate(peer.key.public_key(), endpoint=endpoint) for peer, endpoint in endpoints]
        await self.interface.configure(DeviceUpdate(node.key, peers=[*peers, *heard]))
        self.pings.answer_peers_of(self.plan())

    def begin(self, *, is_dialled: bool = False) -> None:
        self.planned(is_dialled=is_dialled)
        self.selection.begin(HERE, ())

    async def is_at(self, endpoint: Endpoint, node: NodeFile | None = None) -> None:
        """Return once a node, else the peer, is sent to there."""
        while self.at(node) != endpoint:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)

    def at(self, node: NodeFile | None = None) -> Endpoint | None:
        """Return where a node, else the peer, is sent to now."""
        return self.interface.path((node or self.peer).key.public_key()).endpoint


@asynccontextmanager
async def a_scene(
    *endpoints: Endpoint, hub: Endpoint = HUB_AT, spare: Endpoint = SPARE_AT
) -> AsyncIterator[Scene]:
    """endpoints: of the peer; hub, spare: where the relays are. This node leads."""
    network, peer, near, far = _found(endpoints, (hub,), (spare,))
    for relay in (near, far):
        network.administrator.relay(relay.identity)
    network.administrator.register(peer.identity, (near.identity, 10), (far.identity, 20))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    interface = Interface(PacketSocket(ours, name="no-such-link"))
    interface.start()
    scene = Scene(interface, network, peer, near, far)
    unsubscribe = interface.subscribe(scene.selection.on_event)
    try:
        yield scene
    finally:
        unsubscribe()
        scene.selection.close()
        interface.close()
        theirs.close()


def _found(*endpoints: tuple[Endpoint, ...]) -> tuple[Network, NodeFile, NodeFile, NodeFile]:
    """Return a network whose first node leads the second one."""
    while True:
        network = Network.found(NOW)
        us, peer, near, far = (network.join(*given) for given in ((), *endpoints))
        if bytes(us.key.public_key()) < bytes(peer.key.public_key()):
            return network, peer, near, far


@in_a_loop
async def test_where_neither_can_be_dialled_the_next_packet_goes_by_the_nearest_relay() -> None:
    async with a_scene(PEER_AT) as scene:
        assert scene.planned().tunnels[scene.key].endpoints == ()
        await scene.know()
        assert scene.at() is None
        assert scene.selection.relay_to(scene.key) is None

        scene.begin()
        await scene.is_at(HUB_AT)

        assert scene.selection.relay_to(scene.key) == scene.hub.key.public_key()
        assert scene.selection.relay_to(scene.hub.key.public_key()) is None
        assert scene.key in scene.selection.without_keepalives


@in_a_loop
@pytest.mark.parametrize("reason", ["another version of IP", "no UDP"])
async def test_a_peer_without_relays_that_this_node_cannot_dial_is_reached_by_its_own(reason: str) -> None:
    async with a_scene(PEER_AT) as scene:
        scene.network.administrator.register(scene.peer.identity)
        await scene.know()
        own = scene.spare.key.public_key()
        by_stream = {own: SPARE_AT} if reason == "no UDP" else {}

        scene.selection.planned(
            scene.plan(), by_stream, [own], is_dialled=False, versions=[6] if not by_stream else [4, 6]
        )
        scene.selection.begin(HERE, ())

        await scene.is_at(SPARE_AT)
        assert scene.selection.relay_to(scene.key) == own


@in_a_loop
async def test_a_relay_is_where_it_was_heard_last() -> None:
    moved = Endpoint("127.0.0.1", 9)
    async with a_scene(PEER_AT) as scene:
        await scene.know((scene.hub, moved))

        scene.begin()

        await scene.is_at(moved)
        path = scene.selection.path(scene.key)
        assert path
        assert path.kind is PathKind.RELAYED


@in_a_loop
@pytest.mark.parametrize("is_event", [False, True])
async def test_a_relay_with_which_this_node_registers_is_not_reached_by_another_one(is_event: bool) -> None:
    """It forwards to where it hears this node, which would end with the other one."""
    async with a_scene(PEER_AT) as scene:
        registered = [relay.key.public_key() for relay in (scene.hub, scene.spare)]
        await scene.know((scene.spare, SPARE_AT if is_event else HUB_AT))

        scene.selection.planned(scene.plan(), {}, registered, is_dialled=False)
        scene.selection.begin(HERE, ())
        if is_event:
            by_hub = PeerUpdate(registered[1], endpoint=HUB_AT)
            await scene.interface.configure(DeviceUpdate(peers=[by_hub]))
            scene.selection.on_event(registered[1], EndpointChanged(PeerId(1), HUB_AT))

        await scene.is_at(SPARE_AT, scene.spare)


@in_a_loop
async def test_a_peer_that_keeps_its_way_to_a_node_that_others_can_dial_stays_where_it_is_heard() -> None:
    async with a_scene(PEER_AT) as scene, _call_of_peer(scene) as heard_at:
        scene.begin(is_dialled=True)

        path = scene.selection.path(scene.key)
        assert path
        assert (path.endpoint, path.kind) == (heard_at, PathKind.REFLEXIVE)
        assert scene.key not in scene.selection.without_keepalives


@in_a_loop
async def test_a_node_with_a_relay_keeps_its_way_open_only_to_a_peer_that_it_has_used() -> None:
    async with a_scene(PEER_AT) as scene:
        scene.network.administrator.register(scene.peer.identity)
        await scene.know((scene.peer, PEER_AT))
        for registered in ((), (scene.hub.key.public_key(),)):
            scene.selection.planned(scene.plan(), {}, registered, is_dialled=False)
            assert (scene.key in scene.selection.without_keepalives) == bool(registered)
        scene.selection.begin(HERE, ())
        changes = scene.changes

        scene.selection.on_event(scene.key, DataSent(PeerId(1)))

        assert scene.key not in scene.selection.without_keepalives
        assert scene.changes > changes, "the node looks who is to have keepalives"


@in_a_loop
async def test_a_peer_that_is_heard_by_a_relay_although_both_can_be_dialled_is_reached_by_relays() -> None:
    async with a_scene(PEER_AT) as scene:
        scene.network.administrator.register(scene.peer.identity)
        assert scene.planned(is_dialled=True).tunnels[scene.key].endpoints == (PEER_AT,)
        await scene.know((scene.peer, HUB_AT))
        scene.planned(is_dialled=True)
        scene.begin(is_dialled=True)
        changes = scene.changes

        scene.selection.on_event(scene.key, EndpointChanged(PeerId(1), HUB_AT))

        assert scene.changes > changes
        assert scene.planned(is_dialled=True).tunnels[scene.key].endpoints == ()
        scene.begin(is_dialled=True)
        path = scene.selection.path(scene.key)
        assert path
        assert path.kind is PathKind.RELAYED


@in_a_loop
async def test_a_relay_uses_no_other_one_to_a_peer_that_it_can_dial() -> None:
    """Who relies on it would have two of them in between, and the peer selects no path to a relay."""
    async with a_scene(PEER_AT) as scene:
        scene.network.administrator.register(scene.peer.identity)
        scene.network.administrator.relay(scene.network.nodes[0].identity)
        await scene.know((scene.peer, HUB_AT))
        scene.begin(is_dialled=True)

        scene.selection.on_event(scene.key, EndpointChanged(PeerId(1), HUB_AT))

        assert scene.planned(is_dialled=True).tunnels[scene.key].endpoints == (PEER_AT,)
        scene.begin(is_dialled=True)
        assert scene.selection.path(scene.key) is None


@in_a_loop
async def test_a_relay_that_left_a_peer_in_silence_begins_a_session_once_the_peer_is_heard_again() -> None:
    """The peer may rely on it for another one, and to whom a relay has no session it forwards nothing."""
    with bound_udp() as peer:
        async with a_scene(PEER_AT) as scene:
            scene.network.administrator.relay(scene.network.nodes[0].identity)
            await scene.know()
            scene.begin(is_dialled=True)
            await scene.is_at(HUB_AT)
            heard = PeerUpdate(scene.key, endpoint=at(peer))
            await scene.interface.configure(DeviceUpdate(peers=[heard]))

            scene.selection.on_event(scene.key, EndpointChanged(PeerId(1), at(peer)))

            assert await is_called(peer, scene.peer)


@in_a_loop
async def test_who_registers_with_this_node_needs_no_selection() -> None:
    async with a_scene(PEER_AT) as scene:
        us, registered = scene.network.nodes[0], scene.network.join(PEER_AT)
        scene.network.administrator.relay(us.identity)
        scene.network.administrator.register(registered.identity, (us.identity, 10), (scene.hub.identity, 20))

        planned = scene.planned(is_dialled=True)

        assert planned.tunnels[registered.key.public_key()].endpoints == (PEER_AT,)
        assert planned.tunnels[scene.key].endpoints == ()


@in_a_loop
async def test_what_is_sent_calls_a_relay_without_a_session_and_after_a_silence_the_next_one() -> None:
    with bound_udp() as hub, bound_udp() as spare:
        async with a_scene(hub=at(hub), spare=at(spare)) as scene:
            await scene.know()
            scene.begin()
            await scene.is_at(at(hub))
            called = PeerUpdate(scene.key, handshake=True)
            await scene.interface.configure(DeviceUpdate(peers=[called]))

            scene.selection.on_event(scene.key, DataSent(PeerId(1)))

            assert await is_called(hub, scene.peer)
            assert await is_called(hub, scene.hub)
            assert await is_called(spare, scene.spare)
            assert await is_called(spare, scene.peer)
            assert scene.at() == at(spare)


@in_a_loop
async def test_a_node_that_begins_calls_a_peer_only_once_its_relay_has_a_session() -> None:
    with bound_udp() as hub:
        async with a_scene(hub=at(hub)) as scene:
            await scene.know()
            scene.begin()
            await scene.is_at(at(hub))
            relay, peer = (Mac1Key(bytes(node.key.public_key())) for node in (scene.hub, scene.peer))

            await warm_up(scene.interface, scene.selection, _nothing)

            said = received(hub)
            assert any(map(relay.fits, said))
            assert not any(map(peer.fits, said)), "the relay forwards nothing before"
            session = HandshakeCompleted(PeerId(1), initiator=True)
            scene.selection.on_event(scene.hub.key.public_key(), session)
            assert await is_called(hub, scene.peer)


@in_a_loop
async def test_without_a_peer_that_cannot_be_dialled_a_plan_stays_as_it_is() -> None:
    async with a_scene(PEER_AT) as scene:
        scene.network.administrator.register(scene.peer.identity)
        await scene.know((scene.peer, PEER_AT))
        planned = scene.plan()

        assert scene.selection.planned(planned, {}, (), is_dialled=True) is planned
        scene.selection.begin(HERE, ())
        assert scene.selection.path(scene.key) is None


@in_a_loop
async def test_a_peer_that_asks_from_somewhere_is_asked_there_and_its_answer_counts() -> None:
    with bound_udp() as there:
        async with a_scene(PEER_AT) as scene:
            await scene.know()
            scene.begin()
            await scene.is_at(HUB_AT)
            other = Discovery(bytes(scene.peer.key), os.urandom)
            other.set_peers([bytes(scene.network.nodes[0].key.public_key())])

            for _ in range(3):  # a question, one that returns the token, and the answer to what comes then
                await _ask_and_answer(other, there, scene)

            await scene.is_at(at(there))
            path = scene.selection.path(scene.key)
            assert path
            assert path.kind is PathKind.REFLEXIVE


@asynccontextmanager
async def _call_of_peer(scene: Scene) -> AsyncIterator[Endpoint]:
    """Have the peer begin a session with this node, and give where it is heard."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    peer = Interface(PacketSocket(ours, name="no-such-link"))
    peer.start()
    try:
        await scene.know()
        us, at = scene.network.nodes[0].key, Endpoint("127.0.0.1", scene.interface.listen_port)
        call = PeerUpdate(us.public_key(), endpoint=at, handshake=True)
        await peer.configure(DeviceUpdate(scene.peer.key, listen_port=0, peers=[call]))
        while not scene.interface.path(scene.key).handshake:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)
        yield Endpoint("127.0.0.1", peer.listen_port)
    finally:
        peer.close()
        theirs.close()


async def _ask_and_answer(other: Discovery, there: socket.socket, scene: Scene) -> None:
    """Have a peer ask this node once, and answer whatever it is asked until its own answer has come."""
    loop, here = asyncio.get_running_loop(), ("127.0.0.1", scene.interface.listen_port)
    us = bytes(scene.network.nodes[0].key.public_key())
    await loop.sock_sendto(there, other.ask(us, Endpoint(*here), boottime()), here)
    while not other.take_answers():
        if answer := other.receive(await loop.sock_recv(there, 2048), Endpoint(*here), boottime()):
            await loop.sock_sendto(there, answer, here)


def _nothing() -> None:
    pass


def bound_udp() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.bind(("127.0.0.1", 0))
    return made


def at(udp: socket.socket) -> Endpoint:
    return Endpoint(*udp.getsockname())


def received(udp: socket.socket) -> list[bytes]:
    """Return what has arrived by now."""
    said = []
    with suppress(BlockingIOError):
        while True:
            said.append(udp.recv(2048))
    return said


async def is_called(udp: socket.socket, node: NodeFile) -> bool:
    """Return once an initiation for a node arrives; its mac1 says for whom it is."""
    key = Mac1Key(bytes(node.key.public_key()))
    while not key.fits(await datagram(udp)):
        pass
    return True


async def datagram(udp: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(udp, 2048)
