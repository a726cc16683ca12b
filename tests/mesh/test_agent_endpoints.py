"""Endpoints by name: a node keeps the names, and resolves them again when they may lead elsewhere."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.mesh.network import NOW
from tests.mesh.nodes import Network
from wgpy.address import HostPort
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import PeerId
from wgpy.engine.actions import HandshakeCompleted, PeerUnreachable
from wgpy.mesh.ledger import Ledger
from wgpy.node.files import NodeFile, StorageError
from wgpy.node.names import addresses_of
from wgpyd.agent.endpoints import GivenEndpoints, resolved
from wgpyd.agent.host_networks import NOWHERE, HostNetworks
from wgpyd.agent.identity import LocalIdentity
from wgpyd.agent.warnings import Warnings

TIMEOUT = 60.0  # seconds
HOME = "home.example.net:51820"
FIXED = "203.0.113.5:4000"
UNREACHABLE = PeerUnreachable(PeerId(1))


@dataclass(slots=True)
class Scene:
    """A node whose operator gave endpoints. answers: of the name servers; asked: how often."""

    folder: Path
    answers: list[str]
    identity: LocalIdentity = field(init=False)
    endpoints: GivenEndpoints = field(init=False)
    warnings: Warnings = field(default_factory=Warnings)
    asked: int = 0
    changes: int = 0
    _asked: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        network = Network.found(NOW)
        node = replace(network.join(Endpoint("192.0.2.9", 51820)), hosts=(HOME,))
        node.save(self.folder)
        self.identity = LocalIdentity(self.folder, node, Ledger(network.administrator.key.verify_key()))
        self.endpoints = GivenEndpoints(self.identity, self.warnings, self.changed, self.resolve, pause=0)

    def changed(self) -> None:
        self.changes += 1

    async def resolve(self, host: HostPort) -> Iterable[str]:
        self.asked += 1
        self._asked.set()
        if not self.answers:
            raise OSError(None, "Name or service not known")
        return list(self.answers)

    async def until_asked(self, times: int) -> None:
        """Wait until names were looked up so often, and what came of it is done."""
        while self.asked < times:
            self._asked.clear()
            await self._asked.wait()
        for _ in range(5):
            await asyncio.sleep(0)

    @property
    def published(self) -> list[str]:
        """What the file of the node has, which is published."""
        return list(map(str, NodeFile.load(self.folder).endpoints))


def in_a_scene(*answers: str) -> Callable[[Callable[[Scene], Awaitable[None]]], Callable[[Path], None]]:
    """Make a test of what is to happen in a scene where names are looked up."""

    def decorate(scenario: Callable[[Scene], Awaitable[None]]) -> Callable[[Path], None]:
        async def play(tmp_path: Path) -> None:
            scene = Scene(tmp_path, list(answers))
            running = asyncio.create_task(scene.endpoints.run())
            async with asyncio.timeout(TIMEOUT):
                await scenario(scene)
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

        return lambda tmp_path: asyncio.run(play(tmp_path))

    return decorate


@in_a_scene("203.0.113.9")
async def test_a_name_is_looked_up_at_the_start(scene: Scene) -> None:
    scene.endpoints.notice("", HostNetworks({}, (ip_address("10.0.0.1"),)))

    await scene.until_asked(1)

    assert scene.published == ["203.0.113.9:51820"]
    assert scene.changes == 1


@in_a_scene("203.0.113.9")
async def test_a_name_is_looked_up_again_if_a_peer_does_not_answer(scene: Scene) -> None:
    scene.endpoints.on_event(UNREACHABLE)
    await scene.until_asked(1)
    scene.answers[:] = ["203.0.113.10"]

    scene.endpoints.on_event(HandshakeCompleted(PeerId(1), initiator=True))
    scene.endpoints.on_event(UNREACHABLE)
    await scene.until_asked(2)

    assert scene.published == ["203.0.113.10:51820"]
    assert scene.asked == 2


@in_a_scene("203.0.113.9")
async def test_a_name_is_looked_up_again_if_the_host_is_elsewhere(scene: Scene) -> None:
    here, there = (HostNetworks({}, (ip_address(text),)) for text in ("10.0.0.1", "10.0.0.2"))
    scene.endpoints.notice("198.51.100.1", here)
    await scene.until_asked(1)
    scene.endpoints.notice("198.51.100.1", here)

    scene.endpoints.notice("198.51.100.2", here)
    await scene.until_asked(2)
    scene.endpoints.notice("198.51.100.2", there)
    await scene.until_asked(3)

    assert (scene.asked, scene.changes) == (3, 1)


@in_a_scene()
async def test_a_name_that_cannot_be_resolved_keeps_its_last_address_and_is_a_warning(scene: Scene) -> None:
    scene.endpoints.on_event(UNREACHABLE)
    await scene.until_asked(1)

    assert scene.published == ["192.0.2.9:51820"]
    (warning,) = scene.warnings
    assert "home.example.net cannot be resolved (Name or service not known)" in warning
    scene.answers[:] = ["203.0.113.9"]
    scene.endpoints.on_event(UNREACHABLE)
    await scene.until_asked(2)
    assert not list(scene.warnings)
    assert scene.published == ["203.0.113.9:51820"]


@in_a_scene("203.0.113.9", "2001:db8::9", "127.0.1.1", "fe80::1%eth0", "203.0.113.8")
async def test_what_means_nothing_to_others_is_left_out_and_the_order_stays(
    scene: Scene,
) -> None:
    scene.endpoints.on_event(UNREACHABLE)
    await scene.until_asked(1)
    found = scene.published
    scene.answers.reverse()
    scene.endpoints.on_event(UNREACHABLE)
    await scene.until_asked(2)

    assert sorted(found) == ["203.0.113.8:51820", "203.0.113.9:51820", "[2001:db8::9]:51820"]
    assert (scene.published, scene.changes) == (found, 1)


@in_a_scene(*(f"203.0.113.{number}" for number in range(1, 200)))
async def test_a_name_with_many_addresses_gives_few(scene: Scene) -> None:
    scene.endpoints.on_event(UNREACHABLE)
    await scene.until_asked(1)

    assert len(scene.published) == 4


@in_a_scene("127.0.1.1")
async def test_a_name_that_leads_nowhere_is_like_one_that_is_not_known(scene: Scene) -> None:
    scene.endpoints.on_event(UNREACHABLE)
    await scene.until_asked(1)

    assert scene.published == ["192.0.2.9:51820"]
    assert list(scene.warnings)


@in_a_scene("203.0.113.9")
async def test_other_endpoints_are_given_without_leaving(scene: Scene) -> None:
    await scene.endpoints.change([HostPort("203.0.113.5", 4000), HostPort("home.example.net", 51820)])

    assert scene.published == ["203.0.113.5:4000", "203.0.113.9:51820"]
    assert NodeFile.load(scene.folder).hosts == (FIXED, HOME)
    await scene.endpoints.change([])
    assert scene.published == []


@in_a_scene()
async def test_a_wrong_name_is_refused_and_changes_nothing(scene: Scene) -> None:
    with pytest.raises(OSError, match="not known"):
        await scene.endpoints.change([HostPort("hoem.example.net", 51820)])

    assert NodeFile.load(scene.folder).hosts == (HOME,)
    assert scene.published == ["192.0.2.9:51820"]


@in_a_scene("203.0.113.9")
async def test_addresses_are_never_looked_up(scene: Scene) -> None:
    await scene.endpoints.change([HostPort("203.0.113.5", 4000)])

    scene.endpoints.notice("198.51.100.1", NOWHERE)
    for _ in range(9):
        await asyncio.sleep(0)

    assert scene.asked == 0


def test_a_name_that_is_not_resolved_yet_keeps_all_that_was_before() -> None:
    known = {HostPort("a.example.net", 1): (Endpoint("192.0.2.1", 1),)}
    hosts = [HostPort("a.example.net", 1), HostPort("b.example.net", 2)]

    endpoints = resolved(hosts, known, [Endpoint("192.0.2.2", 2), Endpoint("192.0.2.1", 1)])

    assert endpoints == (Endpoint("192.0.2.1", 1), Endpoint("192.0.2.2", 2))


@pytest.mark.parametrize("name", ["no-such-name.invalid", "a" * 300])
def test_the_resolver_of_the_host_is_asked(name: str) -> None:
    assert "127.0.0.1" in asyncio.run(_look_up("localhost"))
    with pytest.raises(OSError, match="not known|no host name|resolution|No address"):
        asyncio.run(_look_up(name))


async def _look_up(name: str) -> list[str]:
    return await addresses_of(HostPort(name, 1), mark=0)


# -- The file ----------------------------------------------------------------------------------------


def test_the_file_of_an_older_program_has_addresses_alone(tmp_path: Path) -> None:
    Network.found(NOW).join(Endpoint("192.0.2.9", 51820)).save(tmp_path)
    path = tmp_path / "node.json"
    path.write_text(path.read_text().replace('"hosts"', '"unknown"'))

    node = NodeFile.load(tmp_path)

    assert (node.hosts, node.endpoints) == ((), (Endpoint("192.0.2.9", 51820),))


def test_a_file_with_an_endpoint_that_makes_no_sense_is_damaged(tmp_path: Path) -> None:
    replace(Network.found(NOW).join(), hosts=(HOME,)).save(tmp_path)
    path = tmp_path / "node.json"
    path.write_text(path.read_text().replace("home.example.net", "home example"))

    with pytest.raises(StorageError, match="is damaged"):
        NodeFile.load(tmp_path)
