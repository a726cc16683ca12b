"""When a node measures relays and registers with others."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, Final, cast

import pytest

from tests.mesh.coordinator import in_a_loop
from tests.mesh.network import NOW
from tests.mesh.nodes import Network
from wgpy.contract.constants import MILLISECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PublicKey
from wgpy.mesh.plan import LocalView, NodePlan, Routing, plan
from wgpy.mesh.records import RegisteredRelay
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.topology import derive
from wgpy.node.coordinator_client import Coordinator
from wgpy.node.files import NodeFile
from wgpy.paths.discovery import Answer
from wgpyd.agent.identity import OwnPaths
from wgpyd.agent.pings import Pings
from wgpyd.agent.registration import Registration
from wgpyd.agent.relay_stream import RelayStream

NEAR, NEXT, FAR = (Endpoint(f"203.0.113.{number}", 51820) for number in (2, 3, 4))
HERE = Endpoint("127.0.0.1", 9)  # of a connection to a relay
ROUND_TRIPS = {
    NEAR: 1 * MILLISECOND, NEXT: 10 * MILLISECOND, FAR: 100 * MILLISECOND, HERE: 1 * MILLISECOND
}  # fmt: skip
SEEN_AS = Endpoint("198.51.100.1", 7000)
_TURNS: Final = 100  # of the loop, in which all is done that waits for nothing


@dataclass(slots=True)
class Answering:
    """In place of `Pings`: relays answer after their round trips, unless they are late.

    late: relays that answer once `go_on` is set, and not before; silent: where nothing ever answers; dials:
    whether a relay then answers from another port, and later.
    """

    late: Sequence[Endpoint] = ()
    silent: Sequence[Endpoint] = ()
    dials: tuple[bool, bool] = (False, False)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def measure(
        self, peers: Mapping[PublicKey, Sequence[Endpoint]], *, is_hurried: bool = False
    ) -> dict[PublicKey, Answer]:
        asked = {key: one for key, (one, *_) in peers.items()}
        if set(asked.values()) & set(self.silent):
            await asyncio.Event().wait()
        if not is_hurried and set(asked.values()) & set(self.late):
            await self.go_on.wait()
        return {
            key: Answer(bytes(key), one, ROUND_TRIPS[one], SEEN_AS, 100)
            for key, one in asked.items()
            if one not in self.late or self.go_on.is_set()
        }

    async def is_dialled_back(self, _relays: Mapping[PublicKey, Endpoint]) -> bool:
        await self.go_on.wait()
        return self.dials[0]

    async def ask_after(self, _relay: PublicKey, _endpoint: Endpoint, _silence: int) -> bool:
        return self.dials[1]


def unused() -> Coordinator:
    raise AssertionError("no stream is wanted")


@dataclass(slots=True)
class Scene:
    """A node behind a NAT or none, a peer, and relays. changed: whether the node registers in another way."""

    network: Network
    peer: NodeFile
    relays: Sequence[NodeFile]
    pings: Answering = field(default_factory=Answering)
    published: OwnPaths = field(default_factory=OwnPaths)
    has_no_nat: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    stream: RelayStream = field(init=False)
    registration: Registration = field(init=False)

    def __post_init__(self) -> None:
        self.stream = RelayStream(unused, lambda: 51820, lambda: None)
        pings = cast(Pings, self.pings)
        self.registration = Registration(pings, self.stream, self.changed.set, _nowhere, self.published)

    def configure(self, where: object = None) -> None:
        self.registration.configure(
            self.plan(), has_no_nat=self.has_no_nat, is_named=False, is_apart=False, where=where
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        running = asyncio.create_task(self.registration.run())
        self.configure()
        yield
        running.cancel()
        self.registration.close()

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


def a_scene(*, has_no_nat: bool = False, **answers: Any) -> Scene:
    """answers: of relays, see `Answering`."""
    network = Network.found(NOW)
    _, peer, *relays = (network.join(*given) for given in ((), (), (NEAR,), (NEXT,), (FAR,)))
    for relay in relays:
        network.administrator.relay(relay.identity)
    return Scene(network, peer, relays, Answering(**answers), has_no_nat=has_no_nat)


@in_a_loop
async def test_a_peer_that_has_one_relay_alone_has_this_node_register_with_that_as_well() -> None:
    scene = a_scene()
    async with scene.running():
        assert await scene.next_registered() == scene.named(0, 1)

        scene.network.administrator.register(scene.peer.identity, (scene.relays[2].identity, 10))
        scene.configure()

        assert await scene.next_registered() == scene.named(0, 1, 2)


@in_a_loop
async def test_a_relay_that_another_peer_shares_is_not_needed() -> None:
    scene = a_scene()
    both = [(relay.identity, 10) for relay in scene.relays[1:]]
    scene.network.administrator.register(scene.peer.identity, *both)

    async with scene.running():
        assert await scene.next_registered() == scene.named(0, 1)


@in_a_loop
async def test_a_node_registers_although_a_relay_does_not_answer_and_with_that_once_it_does() -> None:
    scene = a_scene(late=[NEAR])
    async with scene.running():
        assert await scene.next_registered() == scene.named(1, 2)

        scene.pings.go_on.set()

        assert await scene.next_registered() == scene.named(0, 1)


@in_a_loop
@pytest.mark.parametrize("is_filtered", [True, False])
async def test_a_node_that_no_relay_has_dialled_registers_until_it_is_known_whether_any_can(
    is_filtered: bool,
) -> None:
    scene = a_scene(has_no_nat=True, dials=(not is_filtered, True))
    async with scene.running():
        assert await scene.next_registered() == scene.named(0, 1)
        assert (scene.registration.is_needed, scene.registration.may_be_filtered) == (True, True)
        assert not scene.registration.is_filtered, "nobody knows"

        scene.pings.go_on.set()
        await scene.next_registered()

        assert scene.registration.is_filtered is is_filtered
        assert scene.registration.may_be_filtered is is_filtered
        assert bool(scene.registration.found.registered) is is_filtered


@in_a_loop
async def test_a_node_that_is_dialled_at_once_registers_with_none() -> None:
    scene = a_scene(has_no_nat=True, dials=(True, True), late=[FAR])
    scene.pings.go_on.set()
    async with scene.running():
        for _ in range(_TURNS):
            await asyncio.sleep(0)

        assert not scene.changed.is_set()
        assert not scene.registration.is_needed


@in_a_loop
async def test_a_node_that_begins_again_is_registered_where_others_know_it_to_be() -> None:
    scene = a_scene(late=[NEAR, NEXT, FAR])
    scene.published = OwnPaths((SEEN_AS,), (RegisteredRelay(scene.named(1)[0], 10),), "address-independent")
    scene.__post_init__()
    async with scene.running():
        assert scene.registration.paths == scene.published
        assert scene.registration.keys == (scene.relays[1].key.public_key(),)
        assert scene.registration.is_needed


@in_a_loop
async def test_a_connection_is_begun_while_udp_is_still_tried() -> None:
    scene = a_scene(silent=[NEAR])
    async with scene.running():
        while not scene.stream.is_wanted:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)

        assert not scene.changed.is_set()


@in_a_loop
async def test_a_node_registers_by_the_connection_while_udp_is_still_tried() -> None:
    scene = a_scene(silent=[NEAR])
    scene.stream.endpoint = HERE
    async with scene.running():
        await scene.next_registered()

        assert set(scene.registration.found.by_stream.values()) == {HERE}
        assert scene.registration.is_needed


@in_a_loop
async def test_a_host_that_is_somewhere_else_waits_for_no_answer_to_what_it_asked_before() -> None:
    scene = a_scene(silent=[NEAR])
    async with scene.running():
        while not scene.stream.is_wanted:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)
        scene.pings.silent = ()

        scene.configure(where="elsewhere")

        assert await scene.next_registered() == scene.named(0, 1)
        assert not scene.stream.is_wanted
