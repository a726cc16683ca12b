"""What a node concludes of its NAT from what it sends and hears, also through the tunnel."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.mesh.test_keepalives import KEY, at_home, identity
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import DataSent, EndpointChanged, PeerId
from wgpy.device import DeviceEvent, HandshakeSent
from wgpy.driver.interface import Interface
from wgpy.engine.actions import HandshakeCompleted, PeerUnreachable
from wgpy.host.bootclock import boottime
from wgpy.host.tun import PacketSocket
from wgpy.keys import PrivateKey
from wgpy.model import DeviceUpdate, PeerUpdate
from wgpy.node.coordinator_client import Coordinator
from wgpy.paths.discovery import Answer
from wgpy.paths.nat import Dependence
from wgpyd.agent.node_paths import NodePaths
from wgpyd.agent.warnings import Warnings

PEER, RELAY = Endpoint("203.0.113.9", 51820), Endpoint("203.0.113.2", 51820)
ELSEWHERE = Endpoint("203.0.113.7", 51820)
SEEN_AS = Endpoint("198.51.100.1", 7000)
OWN = PrivateKey(bytes([3]) * 32)
FROM_OUTSIDE = PeerUnreachable(PeerId(1))


def unused() -> Coordinator:
    raise AssertionError("no stream is wanted")


@asynccontextmanager
async def tunnel() -> AsyncIterator[Interface]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    interface = Interface(PacketSocket(ours, name="no-such-link"))
    interface.start()
    try:
        yield interface
    finally:
        interface.close()
        theirs.close()


async def begin_session(ours: Interface, theirs: Interface) -> None:
    """Have ours be in a session with KEY, which theirs has."""
    has_begun = asyncio.Event()
    ours.subscribe(lambda _, event: has_begun.set() if isinstance(event, HandshakeCompleted) else None)
    await ours.configure(DeviceUpdate(OWN, listen_port=0, peers=(PeerUpdate(KEY),)))
    peer = PeerUpdate(OWN.public_key(), endpoint=Endpoint("127.0.0.1", ours.listen_port), handshake=True)
    await theirs.configure(DeviceUpdate(PrivateKey(bytes([1]) * 32), listen_port=0, peers=(peer,)))
    await has_begun.wait()


async def filtering_after(event: DeviceEvent, has_session: bool = True) -> Dependence | None:
    """What a peer's question from outside proves, after an event of that peer's."""
    async with tunnel() as interface, tunnel() as theirs:
        if has_session:
            await begin_session(interface, theirs)
        paths = NodePaths(interface, identity("auto"), unused, Warnings(), lambda: None)
        try:
            await interface.configure(DeviceUpdate(peers=(PeerUpdate(KEY, endpoint=PEER),)))
            local = paths.selection.local
            local.configure(at_home(), PEER.port, (), is_dialled=False)
            local.note_answer(Answer(bytes(32), RELAY, 0, SEEN_AS, 100))

            paths.on_event(KEY, event)
            paths.selection.note_received(PEER, boottime())

            return local.behaviours[0].filtering
        finally:
            paths.close()


@pytest.mark.parametrize(
    "event",
    [
        HandshakeSent(PeerId(1), PEER),
        DataSent(PeerId(1)),
        EndpointChanged(PeerId(1), PEER),
    ],
    ids=["handshake", "data", "roaming"],
)
def test_a_peer_to_which_the_tunnel_sends_comes_in_as_if_it_was_asked(event: DeviceEvent) -> None:
    assert asyncio.run(filtering_after(event)) is None


@pytest.mark.parametrize(
    "event", [DataSent(PeerId(1)), EndpointChanged(PeerId(1), PEER)], ids=["data", "known"]
)
def test_to_a_peer_without_a_session_nothing_was_sent_when_its_endpoint_became_known(
    event: DeviceEvent,
) -> None:
    assert asyncio.run(filtering_after(event, has_session=False)) is Dependence.ENDPOINT_INDEPENDENT


def test_a_handshake_message_that_went_elsewhere_asks_nobody_in_at_the_endpoint() -> None:
    event = HandshakeSent(PeerId(1), ELSEWHERE)

    assert asyncio.run(filtering_after(event)) is Dependence.ENDPOINT_INDEPENDENT


def test_a_peer_to_which_nothing_was_sent_proves_that_a_nat_lets_everybody_in() -> None:
    assert asyncio.run(filtering_after(FROM_OUTSIDE)) is Dependence.ENDPOINT_INDEPENDENT
