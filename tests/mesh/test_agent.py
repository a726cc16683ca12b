"""A node beside its coordinator: what it is told, what it gives, and what stays when it is alone.

The interface is a real one whose device is a socketpair; the coordinator says what a test wants it to say.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, ip_network
from pathlib import Path

import pytest

from tests.mesh.network import DAY, key_of
from tests.mesh.nodes import Network
from tests.mesh.scripted import REFUSAL, SEEN, ScriptedCoordinator, scripted_coordinator
from tests.mesh.test_agent_store import damage_signature
from wgpy.contract.endpoint import Endpoint
from wgpy.driver.interface import Interface
from wgpy.host.tun import PacketSocket
from wgpy.keys import PublicKey
from wgpy.mesh.records import Node, decode
from wgpy.mesh.rules import GOSSIP
from wgpy.mesh.signing import Signed
from wgpy.mesh.wire import Delta, encode_line
from wgpy.node.agent_client import AgentError, RouteChange, Status
from wgpy.node.files import Journal, NodeFile
from wgpyd.agent.agent import Agent

TIMEOUT = 60.0  # seconds
HOME = Endpoint("127.0.0.1", 9)  # nobody listens there


@dataclass(slots=True)
class Scene:
    """A network of three, the first of which is ours."""

    network: Network
    coordinator: ScriptedCoordinator
    folder: Path

    @property
    def node(self) -> NodeFile:
        return self.network.nodes[0]

    @property
    def own(self) -> Signed:
        """What our node said when it joined."""
        identity = self.node.identity.verify_key()
        return next(signed for signed in self.network.records if decode(signed.body).signer == identity)

    def store(self) -> None:
        """Let the node know on its disk what was said by now."""
        self.network.store(self.node, self.folder)

    @property
    def others(self) -> set[PublicKey]:
        return {node.key.public_key() for node in self.network.nodes[1:]}

    @asynccontextmanager
    async def agent(self, clock: Callable[[], float] = time.time) -> AsyncIterator[Agent]:
        """Run the node from what is on its disk now."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        interface = Interface(PacketSocket(ours, name="no-such-link"))
        interface.start()
        agent = Agent("prod", self.folder, NodeFile.load(self.folder), interface, clock)
        try:
            await agent.start()
            try:
                yield agent
            finally:
                await agent.stop()
        finally:
            interface.close()
            theirs.close()


@asynccontextmanager
async def scene(tmp_path: Path, **token: object) -> AsyncIterator[Scene]:
    """What a node joined is on its disk, and its coordinator runs."""
    network = Network.found(int(time.time()), **token)
    for _ in range(3):
        network.join(HOME)
    async with scripted_coordinator(
        network.records, network.administrator.key.verify_key(), tmp_path
    ) as coordinator:
        network.nodes[0] = replace(network.nodes[0], url=coordinator.url, key_hash=coordinator.key_hash)
        folder = tmp_path / "prod"
        folder.mkdir()
        world = Scene(network, coordinator, folder)
        world.store()
        yield world


def in_a_scene(scenario: Callable[[Scene], Awaitable[None]]) -> Callable[[Path], None]:
    """Make a test of what is to happen in a scene."""

    async def play(tmp_path: Path) -> None:
        async with asyncio.timeout(TIMEOUT), scene(tmp_path) as world:
            await scenario(world)

    return lambda tmp_path: asyncio.run(play(tmp_path))


async def until(agent: Agent, holds: Callable[[Status], bool]) -> Status:
    """Return the first status of which that is true."""
    while not holds(status := await agent.control.status()):  # noqa: ASYNC110 - no one event is all it tells
        await asyncio.sleep(0)
    return status


async def configured(agent: Agent) -> set[PublicKey]:
    return {peer.public_key for peer in (await agent.interface.status()).peers}


def own_record(world: Scene) -> Node:
    """What the coordinator has of our node."""
    found = (decode(signed.body) for signed in world.coordinator.ledger)
    identity = world.node.identity.verify_key()
    return next(record for record in found if isinstance(record, Node) and record.signer == identity)


# -- Alone -------------------------------------------------------------------------------------------


@in_a_scene
async def test_a_node_is_up_from_its_disk_alone(world: Scene) -> None:
    world.coordinator.denies = True

    async with world.agent() as agent:
        assert await configured(agent) == world.others


@in_a_scene
async def test_a_damaged_journal_counts_as_far_as_it_is_good(world: Scene) -> None:
    world.coordinator.denies = True
    journal = world.folder / "records.jsonl"
    lines = [encode_line(Delta(1, (signed,))) for signed in world.network.records]
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1].replace(b"signer", b"sig\0er"))

    async with world.agent() as agent:
        assert await configured(agent) == {world.network.nodes[1].key.public_key()}


@in_a_scene
async def test_what_was_damaged_in_the_middle_of_a_journal_is_sent_again(
    world: Scene,
) -> None:
    journal = world.folder / "records.jsonl"
    journal.unlink()
    for number, signed in enumerate(world.network.records, start=1):
        Journal(world.folder).append(Delta(number, (signed,)))
    world.coordinator.revision = len(world.network.records)
    damage_signature(journal, world.network.records[-2])

    async with world.agent() as agent:
        await until(agent, lambda status: len(status.peers) == len(world.others))

        assert world.coordinator.followed[0] == world.coordinator.revision - 2
        status = await until(agent, lambda status: not any("damaged" in each for each in status.warnings))
        assert [rejected.source for rejected in status.rejected] == ["journal"]


@in_a_scene
async def test_while_the_coordinator_is_away_a_node_keeps_what_is_not_damaged(world: Scene) -> None:
    world.coordinator.denies = True
    damage_signature(world.folder / "records.jsonl", world.network.records[-1])

    async with world.agent() as agent:
        assert await configured(agent) == {world.network.nodes[1].key.public_key()}
        assert any("damaged on disk" in each for each in (await agent.control.status()).warnings)


@in_a_scene
async def test_a_node_whose_own_record_is_lost_says_it_again(world: Scene) -> None:
    world.coordinator.denies = True
    (world.folder / "records.jsonl").unlink()
    records = [signed for signed in world.network.records if signed != world.own]
    Journal(world.folder).append(Delta(1, tuple(records)))

    async with world.agent() as agent:
        assert await configured(agent) == world.others
        assert NodeFile.load(world.folder).sequence == world.node.sequence + 1


# -- News --------------------------------------------------------------------------------------------


@in_a_scene
async def test_a_node_that_joins_is_a_peer_at_once_and_after_the_next_start(world: Scene) -> None:
    async with world.agent() as agent:
        await until(agent, lambda status: status.connected)
        world.network.join()
        world.coordinator.send(world.network.records[-1])
        await until(agent, lambda status: len(status.peers) == 3)
    world.coordinator.denies = True

    async with world.agent() as agent:
        assert await configured(agent) == world.others


@in_a_scene
async def test_a_node_that_is_removed_is_no_peer_any_more(world: Scene) -> None:
    async with world.agent() as agent:
        await until(agent, lambda status: status.connected)

        world.coordinator.send(world.network.administrator.remove(world.network.nodes[2].identity))

        status = await until(agent, lambda status: len(status.peers) == 1)
        assert await configured(agent) == {world.network.nodes[1].key.public_key()}
        assert [excluded.reason for excluded in status.excluded] == ["it was removed"]


@in_a_scene
async def test_a_node_that_is_removed_is_told_with_the_rules_that_bind_its_identity(world: Scene) -> None:
    administrator, (_, other, gone) = world.network.administrator, world.network.nodes
    async with world.agent() as agent:
        await until(agent, lambda status: status.connected)
        for source in (other.identity, gone.identity):
            world.coordinator.send(administrator.rule(source, "any"))
        world.coordinator.send(administrator.remove(gone.identity))

        status = await until(agent, lambda status: len(status.rules) == 2 and bool(status.excluded))

    (excluded,) = status.excluded
    assert excluded.rules == (status.rules[1].number,)


@in_a_scene
async def test_a_node_that_is_removed_itself_has_no_peers_and_says_why(world: Scene) -> None:
    async with world.agent() as agent:
        await until(agent, lambda status: status.connected)

        world.coordinator.send(world.network.administrator.remove(world.node.identity))

        status = await until(agent, lambda status: not status.member and not status.connected)
        assert status.exclusion == "it was removed"
        assert "this node is no member: it was removed" in status.warnings
        assert await configured(agent) == set()


@in_a_scene
async def test_what_is_not_genuine_is_refused_and_what_came_with_it_counts(world: Scene) -> None:
    async with world.agent() as agent:
        await until(agent, lambda status: status.connected)
        genuine = world.network.administrator.rule("any", "any")
        forged = replace(world.network.administrator.rule("any", "node:n1"), signature=bytes(64))

        world.coordinator.send(forged, genuine)

        status = await until(agent, lambda status: status.rules != ())
        assert [(rule.source, rule.destination) for rule in status.rules] == [("any", "any")]
        assert (status.rejected_count, status.rejected[0].source) == (1, "coordinator")


@in_a_scene
async def test_a_rule_says_what_each_peer_may_begin(world: Scene) -> None:
    administrator, (_, one, other) = world.network.administrator, world.network.nodes
    async with world.agent() as agent:
        await until(agent, lambda status: status.connected)

        world.coordinator.send(administrator.rule("node:n1", "any"), administrator.rule("node:n2", "node:n1"))

        status = await until(agent, lambda status: len(status.rules) == 2)
        assert [(peer.name, peer.outbound_rule, peer.inbound_rule) for peer in status.peers] == [
            ("n2", 1, 2), ("n3", 1, 0)
        ]  # fmt: skip
        policies = {peer.public_key: peer.policy for peer in (await agent.interface.status()).peers}
        rules = {key: [permit.rule for permit in policy.permits or ()] for key, policy in policies.items()}
        assert rules == {one.key.public_key(): [GOSSIP, GOSSIP, 2], other.key.public_key(): [GOSSIP, GOSSIP]}


@in_a_scene
async def test_a_membership_ends_when_its_time_has_come_without_any_news(world: Scene) -> None:
    short = key_of(10)
    administrator = world.network.administrator
    administrator.invite(short, lifetime=DAY // 2 - 1)
    world.network.token = short
    world.network.join()
    async with world.agent() as agent:
        await until(agent, lambda status: status.connected)
        world.coordinator.send(*administrator.records[-2:])
        await until(agent, lambda status: len(status.peers) == 3)

        status = await until(agent, lambda status: len(status.peers) == 2)

        assert [excluded.reason for excluded in status.excluded] == ["its membership has expired"]


# -- The connection ----------------------------------------------------------------------------------


@in_a_scene
async def test_it_follows_from_where_it_was_when_the_coordinator_comes_back(world: Scene) -> None:
    async with world.agent() as agent:
        await until(agent, lambda status: status.connected)
        world.coordinator.send(world.network.administrator.rule("any", "any"))
        await until(agent, lambda status: status.rules != ())

        world.coordinator.hang_up()
        await world.coordinator.until(2)

        assert world.coordinator.followed[-1] == world.coordinator.revision


@in_a_scene
async def test_a_coordinator_that_lost_admin_records_is_given_them_back(world: Scene) -> None:
    lost = world.network.administrator.remove(key_of(77))
    world.store()

    async with world.agent():
        await world.coordinator.until_given(lost)

    assert lost in world.coordinator.ledger


@in_a_scene
async def test_a_coordinator_that_does_not_know_the_node_is_told_who_it_is(world: Scene) -> None:
    world.coordinator.denies = True

    async with world.agent():
        await world.coordinator.until_given(world.own)

    assert set(world.coordinator.given) == {*world.coordinator.ledger.for_everybody(), world.own}


@in_a_scene
async def test_a_coordinator_that_talks_nonsense_is_asked_anew(world: Scene) -> None:
    async with world.agent() as agent:
        await until(agent, lambda status: status.connected)

        world.coordinator.say(b"{}\n")

        status = await until(agent, lambda status: not status.connected)
        assert "cannot be understood" in status.trouble
        assert await configured(agent) == world.others


# -- What the node says ------------------------------------------------------------------------------


@in_a_scene
async def test_it_says_where_the_coordinator_sees_it_after_what_its_operator_gave(world: Scene) -> None:
    async with world.agent() as agent:
        await world.coordinator.until_given()

        said = own_record(world)
        assert said.endpoints[:2] == (HOME, Endpoint(SEEN, agent.interface.listen_port))
        assert said.sequence == NodeFile.load(world.folder).sequence == world.node.sequence + 1


@in_a_scene
async def test_it_says_nothing_as_long_as_nothing_changes(world: Scene) -> None:
    async with world.agent() as agent:
        await world.coordinator.until_given()
        world.coordinator.hang_up()
        await world.coordinator.until(2)
        await until(agent, lambda status: status.connected)

        assert len(world.coordinator.given) == 1


@in_a_scene
async def test_a_node_whose_file_is_older_than_its_record_speaks_above_it(world: Scene) -> None:
    world.coordinator.send(replace(world.node, sequence=41).signed((HOME,))[1])

    async with world.agent() as agent:
        await until(agent, lambda _: own_record(world).sequence > 42)

        assert own_record(world).sequence == NodeFile.load(world.folder).sequence == 43


@in_a_scene
async def test_two_hosts_with_one_identity_do_not_outdo_each_other_for_ever(world: Scene) -> None:
    async with world.agent() as agent:
        status = await until(agent, lambda status: status.connected)
        while not any(warning.startswith("another host publishes") for warning in status.warnings):
            other = replace(world.node, sequence=own_record(world).sequence + 10)
            world.coordinator.send(other.signed((HOME,))[1])
            status = await until(agent, lambda status: status.revision == world.coordinator.revision)


# -- What it is asked for ----------------------------------------------------------------------------


@in_a_scene
async def test_a_node_gets_another_name(world: Scene) -> None:
    async with world.agent() as agent:
        await until(agent, lambda status: status.connected)

        await agent.control.rename("attic")

        assert own_record(world).name == "attic"
        assert NodeFile.load(world.folder).name == "attic"


@in_a_scene
async def test_a_name_that_is_refused_changes_nothing(world: Scene) -> None:
    world.coordinator.refuses = True
    async with world.agent() as agent:
        await until(agent, lambda status: status.connected)

        with pytest.raises(AgentError, match=REFUSAL):
            await agent.control.rename("attic")

        assert (await agent.control.status()).name == NodeFile.load(world.folder).name == "n1"


@in_a_scene
async def test_a_name_that_is_none_is_refused_before_anybody_is_asked(world: Scene) -> None:
    async with world.agent() as agent:
        with pytest.raises(AgentError, match="is no name"):
            await agent.control.rename("Attic!")


PODS, OTHER_PODS = ip_network("10.42.1.0/24"), ip_network("10.42.2.0/24")


@in_a_scene
async def test_a_node_announces_routes_and_withdraws_them_while_it_runs(world: Scene) -> None:
    async with world.agent() as agent:
        await until(agent, lambda status: status.connected)

        await agent.control.change_routes(RouteChange((PODS, OTHER_PODS), ()))
        await agent.control.change_routes(RouteChange((), (PODS,)))

        assert own_record(world).routes == NodeFile.load(world.folder).routes == (OTHER_PODS,)
        assert (await agent.control.status()).requested == (OTHER_PODS,), "it waits for an approval"


@in_a_scene
async def test_routes_that_are_refused_change_nothing(world: Scene) -> None:
    world.coordinator.refuses = True
    async with world.agent() as agent:
        await until(agent, lambda status: status.connected)

        with pytest.raises(AgentError, match=REFUSAL):
            await agent.control.change_routes(RouteChange((PODS,), ()))

        assert (await agent.control.status()).requested == NodeFile.load(world.folder).routes == ()


@in_a_scene
async def test_a_default_route_that_a_node_of_an_older_version_announces_is_warned_of(world: Scene) -> None:
    replace(world.node, routes=(PODS, ip_network("::/0"))).save(world.folder)
    async with world.agent() as agent:
        status = await agent.control.status()

    sentence = "::/0 cannot be announced: it is a default route or a large part of one"
    assert [each.partition(",")[0] for each in status.warnings if "announced" in each] == [sentence]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (RouteChange((), (OTHER_PODS,)), "10.42.2.0/24 is not announced; this node announces 10.42.1.0/24"),
        (RouteChange((PODS,), ()), "10.42.1.0/24 is announced already"),
        (RouteChange(tuple(IPv4Network("10.64.0.0/16").subnets(8)), ()), "more than 256 routes"),
        (RouteChange((ip_network("0.0.0.0/1"),), ()), "is a default route or a large part of one"),
    ],
)
def test_a_change_of_routes_that_is_none_says_why(change: RouteChange, sentence: str, tmp_path: Path) -> None:
    async def scenario(world: Scene) -> None:
        replace(world.node, routes=(PODS,)).save(world.folder)
        async with world.agent() as agent:
            with pytest.raises(AgentError, match=sentence):
                await agent.control.change_routes(change)

        assert NodeFile.load(world.folder).routes == (PODS,)

    in_a_scene(scenario)(tmp_path)


@in_a_scene
async def test_a_node_that_leaves_says_so_and_keeps_nothing_but_the_administrators_key(world: Scene) -> None:
    (world.folder / "network.key").touch()
    async with world.agent() as agent:
        await agent.control.leave()
        await agent.interface.wait_closed()

    assert world.coordinator.given[-1] == world.node.departure()
    assert [path.name for path in world.folder.iterdir()] == ["network.key"]


@in_a_scene
async def test_a_node_stays_if_nobody_can_be_told_that_it_leaves(world: Scene) -> None:
    world.coordinator.refuses = True
    async with world.agent() as agent:
        with pytest.raises(AgentError, match=REFUSAL):
            await agent.control.leave()

        assert await configured(agent) == world.others
    assert NodeFile.load(world.folder).identity == world.node.identity
