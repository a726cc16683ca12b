"""Peers that are reached by relays: where a node looks for them, and in which order.

The interface is a real one whose device is a socketpair. Nobody is there: no peer and no relay answers.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from math import inf

from tests.mesh.coordinator import in_a_loop
from tests.mesh.network import NOW
from tests.mesh.nodes import Network
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import DataSent, EndpointChanged, PeerId
from wgpy.datapath.relay import Mac1Key
from wgpy.driver.interface import Interface
from wgpy.host.tun import PacketSocket
from wgpy.mesh.plan import LocalView, NodePlan, Routing, plan
from wgpy.mesh.topology import derive
from wgpy.model import DeviceUpdate, PeerUpdate
from wgpy.node.files import NodeFile
from wgpyd.agent.pings import Pings
from wgpyd.agent.relayed import IDLE_TIME, MAX_ENDPOINTS, RelayedPeers

HUB_AT, SPARE_AT, PEER_AT = (Endpoint("127.0.0.1", port) for port in (1, 2, 3))


@dataclass(slots=True)
class Scene:
    """This node, a peer that registers with two relays, and these. now: seconds."""

    interface: Interface
    network: Network
    peer: NodeFile
    hub: NodeFile
    spare: NodeFile
    now: float = 1000.0
    relayed: RelayedPeers = field(init=False)

    def __post_init__(self) -> None:
        pings = Pings(self.interface, self.network.nodes[0].key)
        self.relayed = RelayedPeers(self.interface, pings, _nothing, _nothing, lambda: self.now)

    def plan(self) -> NodePlan:
        administrator, node = self.network.administrator, self.network.nodes[0]
        charter = administrator.ledger().charter()
        assert charter
        view = LocalView(
            node.identity.verify_key(),
            IPv4Address("100.80.0.1"),
            {},
            frozenset(),
            frozenset((4, 6)),
            Routing(7, 8),
        )
        return plan(charter, derive(administrator.ledger(), NOW), view, NodePlan.empty())

    def endpoints(self, *, is_dialled: bool) -> Sequence[Endpoint]:
        planned = self.relayed.planned(self.plan(), {}, is_dialled=is_dialled)
        return planned.tunnels[self.peer.key.public_key()].endpoints

    async def know(self, endpoint: Endpoint) -> None:
        """Let the interface know all peers, each at its first candidate, and the hub at an endpoint."""
        peers = [PeerUpdate(key, candidates=tunnel.endpoints) for key, tunnel in self.plan().tunnels.items()]
        moved = PeerUpdate(self.hub.key.public_key(), endpoint=endpoint)
        await self.interface.configure(DeviceUpdate(self.network.nodes[0].key, peers=[*peers, moved]))

    async def is_at(self, endpoint: Endpoint) -> None:
        """Return once the peer is looked for there."""
        while self.at() != endpoint:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)

    def at(self) -> Endpoint | None:
        """Return where the peer is looked for now."""
        return self.interface.path(self.peer.key.public_key()).endpoint


@asynccontextmanager
async def a_scene(
    *endpoints: Endpoint, hub: Endpoint = HUB_AT, spare: Endpoint = SPARE_AT
) -> AsyncIterator[Scene]:
    """endpoints: of the peer; hub, spare: where the relays are."""
    network = Network.found(NOW)
    _, peer, near, far = (network.join(*given) for given in ((), endpoints, (hub,), (spare,)))
    for relay in (near, far):
        network.administrator.relay(relay.identity)
    network.administrator.register(peer.identity, (near.identity, 10), (far.identity, 20))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    interface = Interface(PacketSocket(ours, name="no-such-link"))
    interface.start()
    scene = Scene(interface, network, peer, near, far)
    try:
        yield scene
    finally:
        scene.relayed.close()
        interface.close()
        theirs.close()


@in_a_loop
async def test_where_neither_can_be_dialled_relays_come_first() -> None:
    async with a_scene(PEER_AT) as scene:
        assert scene.endpoints(is_dialled=False) == (HUB_AT, SPARE_AT, PEER_AT)


@in_a_loop
async def test_a_node_that_others_can_dial_tries_relays_last() -> None:
    async with a_scene(PEER_AT) as scene:
        assert scene.endpoints(is_dialled=True) == (PEER_AT, HUB_AT, SPARE_AT)


@in_a_loop
async def test_relays_have_room_among_any_number_of_endpoints() -> None:
    many = [Endpoint("127.0.0.1", port) for port in range(100, 120)]
    async with a_scene(*many) as scene:
        assert scene.endpoints(is_dialled=True) == (*many[:MAX_ENDPOINTS], HUB_AT, SPARE_AT)


@in_a_loop
async def test_a_relay_is_where_it_was_heard_last() -> None:
    moved = Endpoint("127.0.0.1", 9)
    async with a_scene(PEER_AT) as scene:
        await scene.know(moved)

        assert scene.endpoints(is_dialled=False) == (moved, SPARE_AT, PEER_AT)


@in_a_loop
async def test_a_peer_without_a_session_is_begun_with_by_a_relay_as_soon_as_one_is_known() -> None:
    async with a_scene(PEER_AT) as scene:
        await scene.know(HUB_AT)
        assert scene.at() == PEER_AT
        assert scene.relayed.relay_to(scene.peer.key.public_key()) is None

        scene.endpoints(is_dialled=False)
        await scene.is_at(HUB_AT)

        assert scene.relayed.relay_to(scene.peer.key.public_key()) == scene.hub.key.public_key()
        assert scene.relayed.relay_to(scene.hub.key.public_key()) is None
        assert scene.peer.key.public_key() in scene.relayed.without_keepalives


@in_a_loop
async def test_a_direct_way_that_nobody_uses_is_left_for_a_relay() -> None:
    async with a_scene(PEER_AT) as scene:
        peer = scene.peer.key.public_key()
        await scene.know(HUB_AT)
        scene.endpoints(is_dialled=False)
        await scene.is_at(HUB_AT)
        assert scene.relayed.seconds_left == inf

        await scene.interface.configure(DeviceUpdate(peers=[PeerUpdate(peer, endpoint=PEER_AT)]))
        scene.relayed.on_event(peer, EndpointChanged(PeerId(1), PEER_AT))
        assert scene.relayed.seconds_left == IDLE_TIME
        scene.now += IDLE_TIME - 1
        scene.relayed.on_event(peer, DataSent(PeerId(1)))
        assert scene.relayed.seconds_left == IDLE_TIME

        scene.now += IDLE_TIME
        scene.endpoints(is_dialled=False)
        await scene.is_at(HUB_AT)
        scene.endpoints(is_dialled=False)
        assert scene.relayed.seconds_left == inf


@in_a_loop
async def test_what_is_sent_calls_a_relay_without_a_session_and_after_a_silence_the_next_one() -> None:
    with _udp() as hub, _udp() as spare:
        async with a_scene(hub=_at(hub), spare=_at(spare)) as scene:
            peer = scene.peer.key.public_key()
            await scene.know(_at(hub))
            scene.endpoints(is_dialled=False)
            called = PeerUpdate(peer, endpoint=_at(hub), handshake=True)
            await scene.interface.configure(DeviceUpdate(peers=[called]))

            scene.relayed.on_event(peer, DataSent(PeerId(1)))

            assert await _is_called(hub, scene.peer)
            assert await _is_called(hub, scene.hub)
            assert await _is_called(spare, scene.spare)
            assert scene.at() == _at(spare)


@in_a_loop
async def test_without_relays_a_plan_stays_as_it_is() -> None:
    async with a_scene(PEER_AT) as scene:
        for relay in (scene.hub, scene.spare):
            scene.network.administrator.relay(relay.identity, allowed=False)
        planned = scene.plan()

        assert scene.relayed.planned(planned, {}, is_dialled=False) is planned


def _nothing() -> None:
    pass


def _udp() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.bind(("127.0.0.1", 0))
    return made


def _at(udp: socket.socket) -> Endpoint:
    return Endpoint(*udp.getsockname())


async def _is_called(udp: socket.socket, node: NodeFile) -> bool:
    """Return once an initiation for a node arrives; its mac1 says for whom it is."""
    key = Mac1Key(bytes(node.key.public_key()))
    while not key.fits(await asyncio.get_running_loop().sock_recv(udp, 2048)):
        pass
    return True
