"""When a node measures relays and registers with others."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import cast

from tests.mesh.coordinator import in_a_loop
from tests.mesh.network import NOW
from tests.mesh.nodes import Network
from wgpy.contract.constants import MILLISECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PublicKey
from wgpy.mesh.plan import LocalView, NodePlan, Routing, plan
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.topology import derive
from wgpy.node.coordinator_client import Coordinator
from wgpy.node.files import NodeFile
from wgpy.paths.discovery import Answer
from wgpyd.agent.pings import Pings
from wgpyd.agent.registration import Registration
from wgpyd.agent.relay_stream import RelayStream

NEAR, NEXT, FAR = (Endpoint(f"203.0.113.{number}", 51820) for number in (2, 3, 4))
ROUND_TRIPS = {NEAR: 1 * MILLISECOND, NEXT: 10 * MILLISECOND, FAR: 100 * MILLISECOND}
SEEN_AS = Endpoint("198.51.100.1", 7000)


class Answering:
    """In place of `Pings`: relays answer after their round trips."""

    async def measure(self, peers: Mapping[PublicKey, Sequence[Endpoint]]) -> dict[PublicKey, Answer]:
        return {
            key: Answer(bytes(key), one, ROUND_TRIPS[one], SEEN_AS, 100) for key, (one, *_) in peers.items()
        }


def unused() -> Coordinator:
    raise AssertionError("no stream is wanted")


@dataclass(slots=True)
class Scene:
    """A node behind a NAT, a peer, and relays. changed: whether the node registers in another way."""

    network: Network
    peer: NodeFile
    relays: Sequence[NodeFile]
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    registration: Registration = field(init=False)

    def __post_init__(self) -> None:
        stream = RelayStream(unused, lambda: 51820, lambda: None)
        pings = cast(Pings, Answering())
        self.registration = Registration(pings, stream, self.changed.set, _nowhere, is_filtered=False)

    def configure(self) -> None:
        self.registration.configure(self.plan(), has_no_nat=False, is_named=False, is_apart=False, where=None)

    def plan(self) -> NodePlan:
        ledger, node = self.network.administrator.ledger(), self.network.nodes[0]
        charter = ledger.charter()
        assert charter
        here = frozenset(("127.0.0.1",)), frozenset((4,))
        view = LocalView(node.identity.verify_key(), IPv4Address("100.80.0.1"), {}, *here, Routing(7, 8))
        return plan(charter, derive(ledger, NOW), view, NodePlan.empty())

    async def next_registered(self) -> list[VerifyKey]:
        await self.changed.wait()
        self.changed.clear()
        return [relay.identity for relay in self.registration.found.registered]

    def named(self, *numbers: int) -> list[VerifyKey]:
        return [self.relays[number].identity.verify_key() for number in numbers]


async def _nowhere() -> bool:
    return False


def a_scene() -> Scene:
    network = Network.found(NOW)
    _, peer, *relays = (network.join(*given) for given in ((), (), (NEAR,), (NEXT,), (FAR,)))
    for relay in relays:
        network.administrator.relay(relay.identity)
    return Scene(network, peer, relays)


@in_a_loop
async def test_a_peer_that_has_one_relay_alone_has_this_node_register_with_that_as_well() -> None:
    scene = a_scene()
    running = asyncio.create_task(scene.registration.run())
    scene.configure()
    assert await scene.next_registered() == scene.named(0, 1)

    scene.network.administrator.register(scene.peer.identity, (scene.relays[2].identity, 10))
    scene.configure()

    assert await scene.next_registered() == scene.named(0, 1, 2)
    running.cancel()
    scene.registration.close()


@in_a_loop
async def test_a_relay_that_another_peer_shares_is_not_needed() -> None:
    scene = a_scene()
    running = asyncio.create_task(scene.registration.run())
    both = [(relay.identity, 10) for relay in scene.relays[1:]]
    scene.network.administrator.register(scene.peer.identity, *both)

    scene.configure()

    assert await scene.next_registered() == scene.named(0, 1)
    running.cancel()
    scene.registration.close()
