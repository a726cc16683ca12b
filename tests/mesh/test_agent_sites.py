"""A node that becomes a gateway of sites, and is none any more, beside the real coordinator.

What a node does to its host is left out.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.mesh.coordinator import Site as Coordination
from tests.mesh.coordinator import in_a_loop
from tests.mesh.network import Administrator, prefixes
from tests.mesh.nodes import Network
from wgpy.mesh.plan import NodePlan, plan
from wgpy.mesh.records import AnnouncedSite, Sites, decode
from wgpy.mesh.records import Network as NetworkRecord
from wgpy.mesh.topology import Topology, derive
from wgpy.node.agent_client import AgentError, RouteChange, Site, SiteAddition
from wgpy.node.files import NodeFile
from wgpy.node.site_report import report_sites
from wgpyd.agent.host_networks import NOWHERE
from wgpyd.agent.identity import LocalIdentity, OwnPaths
from wgpyd.agent.publisher import Publisher
from wgpyd.agent.sites import SiteAnnouncer
from wgpyd.agent.store import RecordStore
from wgpyd.agent.subscription import Subscription
from wgpyd.agent.warnings import Warnings
from wgpyd.agent.withholding_detector import WithholdingDetector

LAN = "192.168.1.0/24"


def addition(name: str = "office", *wanted: str, **changes: object) -> SiteAddition:
    usual = SiteAddition(name, prefixes(*(wanted or (LAN,))), "either", False, 100, False)
    return replace(usual, **changes)  # type: ignore[arg-type]


class Gateway:
    """A node as the coordinator knows it, without a host: what it is, knows and announces."""

    def __init__(self, folder: Path) -> None:
        node = NodeFile.load(folder)
        self.folder = folder
        self.store = RecordStore(folder, node.network, node.identity.verify_key())
        self.identity = LocalIdentity(folder, node, self.store.ledger)
        withholding = WithholdingDetector(self.store.ledger)
        self.subscription = Subscription(self.identity, self.store, withholding, lambda: None)
        self.publisher = Publisher(self.identity, self.store, self.subscription, Warnings())
        self.sites = SiteAnnouncer(self.identity, self.store, self.subscription, self.publisher)

    @property
    def network(self) -> NetworkRecord:
        network = self.store.ledger.charter()
        assert network is not None
        return network

    @property
    def plan(self) -> NodePlan:
        view = self.identity.view(NOWHERE)
        return plan(self.network, self.topology, view, NodePlan.empty())

    @property
    def topology(self) -> Topology:
        return derive(self.store.ledger, int(time.time()), viewer=self.identity.key)

    def status(self) -> tuple[Site, ...]:
        used = {site.name: peer.member.name for peer in self.plan.peers for site in peer.sites}
        return tuple(report_sites(self.topology, self.identity.key, used))

    def publish(self) -> None:
        """Do what an agent does whenever it wakes."""
        self.publisher.publish(self.network, NOWHERE, 0, OwnPaths())

    async def until(self, holds: Callable[[tuple[Site, ...]], object]) -> tuple[Site, ...]:
        """Return the first status of which that is true."""
        while not holds(status := self.status()):  # noqa: ASYNC110 - no one event is all it tells
            await asyncio.sleep(0.01)
        return status


class World:
    """A network with the nodes n1 to n3, which may announce 10.0.0.0/8 and 192.168.0.0/16."""

    def __init__(self, folder: Path, site: Coordination) -> None:
        self.folder = folder
        self.site = site
        self.network = Network(site.administrator, url=site.address.url, key_hash=site.address.key_hash)
        self.administrator: Administrator = site.administrator
        self.administrator.found()
        self.administrator.invite(self.network.token, routes=prefixes("10.0.0.0/8", "192.168.0.0/16"))
        self.nodes = [self.network.join() for _ in range(3)]

    def place(self, number: int) -> Path:
        return self.folder / f"n{number}"

    @asynccontextmanager
    async def node(self, number: int) -> AsyncIterator[Gateway]:
        """Run a node from what is on its disk, from when the coordinator sends it news."""
        gateway = Gateway(self.place(number))
        following = asyncio.create_task(gateway.subscription.run())
        try:
            while not gateway.subscription.connected:  # noqa: ASYNC110 - no one event is all it tells
                await asyncio.sleep(0.01)
            yield gateway
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


@asynccontextmanager
async def a_world(folder: Path) -> AsyncIterator[World]:
    site = Coordination.create(folder / "coordinator")
    async with site.serve():
        world = World(folder, site)
        await site.submit_all()
        for number, node in enumerate(world.nodes, 1):
            world.place(number).mkdir()
            world.network.store(node, world.place(number))
        yield world


def shown(sites: tuple[Site, ...]) -> list[tuple[str, str, str, bool]]:
    """Return of each site its name, what the mesh routes for it, by whom, and whether it is of the node."""
    return [(one.name, ", ".join(map(str, one.mapped)), one.used, one.own) for one in sites]


@in_a_loop
async def test_a_site_is_announced_reached_and_withdrawn_while_nodes_run(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.node(1) as gateway, world.node(2) as other:
        answer = await gateway.sites.add(addition())

        assert answer == ""
        assert shown(gateway.status()) == [("office", LAN, "", True)]
        assert shown(await other.until(lambda sites: sites)) == [("office", LAN, "n1", False)]

        await gateway.sites.remove("office")

        assert gateway.status() == ()
        await other.until(lambda sites: not sites)
        assert NodeFile.load(world.place(1)).sites == ()


@in_a_loop
async def test_a_second_site_of_the_same_prefixes_is_mapped_and_its_node_says_why(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.node(1) as home, world.node(2) as office:
        await home.sites.add(addition("home"))

        answer = await office.sites.add(addition("office"))

        assert answer == "home already is 192.168.1.0/24"
        sites = [("home", LAN, "", True), ("office", "100.96.0.0/24", "n2", False)]
        assert sorted(shown(await home.until(lambda sites: len(sites) == 2))) == sites
        text = f"{LAN} of home is not used here: it overlaps {LAN}, of office, a site of this node"
        assert (text,) in [peer.left_out for peer in office.plan.peers]


@in_a_loop
async def test_nodes_that_announce_sites_at_one_moment_have_them_both(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.node(1) as one, world.node(2) as two:
        await asyncio.gather(
            *(agent.sites.add(addition(name)) for agent, name in ((one, "home"), (two, "office")))
        )

        sites = await one.until(lambda sites: len(sites) == 2)

    assert {site.mapped for site in sites} == {prefixes(LAN), prefixes("100.96.0.0/24")}
    assert {site.exclusion for site in sites} == {""}


@in_a_loop
async def test_another_gateway_of_a_site_takes_over_when_the_first_withdraws_it(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, AsyncExitStack() as stack:
        first, second, other = [await stack.enter_async_context(world.node(i)) for i in (1, 2, 3)]
        await first.sites.add(addition(face="mapped"))
        answer = await second.sites.add(addition(priority=200))
        assert answer == "office has another gateway already"
        status = await other.until(lambda sites: any(len(one.gateways) == 2 for one in sites))
        assert shown(status) == [("office", "100.96.0.0/24", "n1", False)]

        await first.sites.remove("office")

        status = await other.until(lambda sites: sites[0].used == "n2")
        assert shown(status) == [("office", "100.96.0.0/24", "n2", False)]


@in_a_loop
async def test_a_site_without_the_right_is_in_force_once_it_is_approved(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.node(1) as gateway:
        await gateway.sites.add(addition("vpc", "172.16.0.0/12"))
        (site,) = gateway.status()
        assert (site.own, site.exclusion) == (True, "nobody has approved it")

        await world.site.submit(world.administrator.approve(world.nodes[0].identity, "172.16.0.0/12"))

        await gateway.until(lambda sites: not sites[0].exclusion)


@in_a_loop
async def test_a_site_that_is_not_in_force_for_an_overlap_is_added_again_with_other_prefixes(
    tmp_path: Path,
) -> None:
    async with a_world(tmp_path) as world, world.node(1) as blue, world.node(2) as green:
        vpc, why = "172.16.0.0/16", "it overlaps what the mesh routes to another node"
        for name, agent in (("blue", blue), ("green", green)):
            await agent.sites.add(addition(name, vpc, face="real"))
        for node in world.nodes[:2]:
            await world.site.submit(world.administrator.approve(node.identity, vpc))
        status = await blue.until(lambda sites: sorted(one.exclusion for one in sites) == ["", why])
        first, second = status  # who was first within a second, a comparison of keys decides
        later = blue if second.name == "blue" else green
        await later.until(lambda sites: sorted(one.exclusion for one in sites) == ["", why])

        answer = await later.sites.add(addition(second.name, vpc))

        assert answer == f"{first.name} already is {vpc}"
        faces = {(one.name, one.mapped, one.exclusion) for one in later.status()}
        assert faces == {
            (first.name, prefixes(vpc), ""), (second.name, prefixes("100.96.0.0/16"), ""),
        }  # fmt: skip


@in_a_loop
async def test_options_of_a_site_change_without_a_new_announcement(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.node(1) as gateway:
        await gateway.sites.add(addition())
        (before,) = NodeFile.load(world.place(1)).sites

        await gateway.sites.add(addition(priority=7, is_routed=True, firewall=True))

        node = NodeFile.load(world.place(1))
        assert node.sites == (replace(before, priority=7, is_routed=True),)
        assert node.firewall == ("office",)
        (site,) = gateway.status()
        assert [(one.priority, one.is_routed) for one in site.gateways] == [(7, True)]
        await gateway.sites.remove("office")
        assert NodeFile.load(world.place(1)).firewall == ()


@in_a_loop
async def test_options_that_are_not_given_stay_as_they_are(tmp_path: Path) -> None:
    kept = ("is_routed", "firewall", "servers", "zones")
    async with a_world(tmp_path) as world, world.node(1) as gateway:
        first = addition(is_routed=True, firewall=True, servers=(ip_address("192.168.1.53"),), zones=("lan",))
        await gateway.sites.add(gateway.sites.completed(replace(first, kept=("priority",))))
        (before,) = NodeFile.load(world.place(1)).sites

        await gateway.sites.add(gateway.sites.completed(addition(priority=5, kept=kept)))

        node = NodeFile.load(world.place(1))
        assert node.sites == (replace(before, priority=5),)
        assert (before.is_routed, before.priority, node.firewall) == (True, 100, ("office",))
        closed = gateway.sites.completed(addition(kept=("priority", *kept[:1], *kept[2:])))
        assert (closed.firewall, closed.priority, closed.is_routed) == (False, 5, True)


@in_a_loop
async def test_zones_of_a_site_come_and_go_and_are_shown(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.node(1) as gateway:
        server, zones = (ip_address("192.168.1.53"),), ("office.example", "lan")
        await gateway.sites.add(addition(servers=server, zones=zones))
        (site,) = gateway.status()
        assert (site.servers, site.zones, site.waiting) == ((), (), zones)
        await world.site.submit(world.administrator.approve_zones(world.nodes[0].identity, *zones))
        (site,) = await gateway.until(lambda sites: not sites[0].waiting)
        assert (site.servers, site.zones) == (server, zones)

        with pytest.raises(AgentError, match=r"192.168.2.53 is no address of the site"):
            await gateway.sites.add(addition(servers=(ip_address("192.168.2.53"),), zones=zones))
        await gateway.sites.add(addition())

        (site,) = gateway.status()
        assert (site.servers, site.zones) == ((), ())


@in_a_loop
async def test_hosts_of_a_routed_site_need_routes_to_the_ranges_of_the_mesh(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.node(1) as gateway:
        wanted = addition("blue", "10.42.0.0/16", is_routed=True)

        assert [str(one) for one in gateway.sites.ranges_back(wanted)] == ["100.96.0.0/12", "100.80.0.0/16"]
        assert gateway.sites.ranges_back(replace(wanted, is_routed=False)) == ()


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (addition("office", "10.7.0.0/16"), "announces office as 192.168.1.0/24 with its real face already"),
        (addition("office", face="mapped"), "`wgpy mesh site remove office` first"),
        (addition("lab", "192.168.1.128/25"), "overlap, and this node is a gateway of office already"),
        (addition("n2", "10.7.0.0/16"), "n2 is the name of a node: choose another name for the site"),
        (addition("lab", "10.7.0.0/16", "10.7.1.0/24"), "10.7.0.0/16 and 10.7.1.0/24 overlap: name one"),
        (addition("lab", "0.0.0.0/1"), "0.0.0.0/1 cannot be announced: it is a default route"),
        (addition("lab", "100.80.0.0/24"), "overlaps 100.80.0.0/16, the range of prod itself"),
        (addition("lab", "10.0.0.0/11", face="mapped"), "has no /11 left in its pool 100.96.0.0/12"),
    ],
)
def test_a_site_that_cannot_be_says_why_and_leaves_nothing(
    tmp_path: Path, wanted: SiteAddition, sentence: str
) -> None:
    @in_a_loop
    async def scenario() -> None:
        async with a_world(tmp_path) as world, world.node(1) as gateway:
            await gateway.sites.add(addition())
            before = NodeFile.load(world.place(1)).sites
            with pytest.raises(AgentError) as refused:
                await gateway.sites.add(wanted)

            assert sentence in str(refused.value)
            assert NodeFile.load(world.place(1)).sites == before
            assert [one.name for one in gateway.status()] == ["office"]

    scenario()


@pytest.mark.parametrize(
    ("face", "route", "known"),
    [("real", LAN, LAN), ("real", "192.168.0.0/16", LAN), ("mapped", "100.96.0.0/25", "100.96.0.0/24")],
)
def test_a_route_in_the_way_of_a_site_of_the_same_node_is_refused_with_what_to_do(
    tmp_path: Path, face: str, route: str, known: str
) -> None:
    @in_a_loop
    async def scenario() -> None:
        async with a_world(tmp_path) as world, world.node(1) as gateway:
            await gateway.sites.add(addition("plant", face=face))
            with pytest.raises(AgentError) as refused:
                await gateway.publisher.change_routes(RouteChange(prefixes(route), ()))

            assert str(refused.value) == (
                f"{route} overlaps {known}, which the mesh routes to this node for the site plant, and a "
                "route would put the site out of force: leave the route out, or `wgpy mesh site "
                "remove plant` first"
            )
            assert [one.exclusion for one in gateway.status()] == [""]

    scenario()


@in_a_loop
async def test_the_network_behind_a_mapped_site_or_an_exit_may_be_a_route_too(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.node(1) as gateway:
        await world.site.submit(world.administrator.approve(world.nodes[0].identity, "0.0.0.0/0"))
        await gateway.sites.add(addition("plant", face="mapped"))
        await gateway.sites.add(addition("internet", "0.0.0.0/0"))

        await gateway.publisher.change_routes(RouteChange(prefixes(LAN), ()))

        assert NodeFile.load(world.place(1)).routes == prefixes(LAN)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (["127.0.0.0/8"], "127.0.0.0/8 cannot be announced: it overlaps 127.0.0.0/8, which is loopback"),
        (["100.80.0.0/24"], "overlaps 100.80.0.0/16, the range of prod itself"),
        (["100.97.0.0/24"], "overlaps 100.96.0.0/12, the pool of prod itself"),
    ],
)
def test_what_is_no_site_on_any_host_is_refused_before_the_host_is_looked_at(
    tmp_path: Path, wanted: list[str], sentence: str
) -> None:
    @in_a_loop
    async def scenario() -> None:
        async with a_world(tmp_path) as world, world.node(1) as gateway:
            with pytest.raises(AgentError) as refused:
                await gateway.sites.check(addition("x", *wanted))

            assert sentence in str(refused.value)

    scenario()


@in_a_loop
async def test_a_site_that_is_not_there_is_not_removed(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.node(1) as gateway:
        await gateway.sites.add(addition("lab"))
        with pytest.raises(AgentError, match="this node is no gateway of a site office; its sites: lab"):
            await gateway.sites.remove("office")


@in_a_loop
async def test_without_the_coordinator_no_site_is_announced_and_nothing_stays(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        pass
    gateway = Gateway(world.place(1))

    with pytest.raises(AgentError, match="does not answer"):
        await gateway.sites.add(addition())

    assert NodeFile.load(world.place(1)).sites == ()
    assert gateway.status() == ()


@in_a_loop
async def test_what_the_file_of_a_node_has_is_announced_after_a_restart(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        async with world.node(1) as gateway:
            await gateway.sites.add(addition())
        changed = replace(NodeFile.load(world.place(1)), sites=())
        changed.save(world.place(1))  # as a node does that is killed before it has told the coordinator

        async with world.node(1) as gateway:
            gateway.publish()
            assert gateway.status() == ()
            while await announced(world):  # noqa: ASYNC110 - another process tells no event
                await asyncio.sleep(0.01)


@in_a_loop
async def test_a_coordinator_that_lost_the_sites_of_a_node_is_given_them_back(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        before = world.site.copy(tmp_path / "backup")
        async with world.node(1) as gateway:
            await gateway.sites.add(addition())
    world.site = before
    async with before.serve():
        replace(NodeFile.load(world.place(1)), url=before.address.url).save(world.place(1))
        async with world.node(1):
            while not await announced(world):  # noqa: ASYNC110 - another process tells no event
                await asyncio.sleep(0.01)


async def announced(world: World) -> tuple[AnnouncedSite, ...]:
    """Return what the coordinator knows of the sites of all nodes."""
    async with world.site.ask(world.administrator.key) as coordinator:
        found = [decode(signed.body) for signed in await coordinator.records()]
    return tuple(site for record in found if isinstance(record, Sites) for site in record.sites)
