"""Relays: which nodes are some, whose peers they are, and by which a node reaches its peers.

Alice (office) may begin to Bob (servers); no rule joins Carol with anybody.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from tests.mesh.coordinator import ALICE, BOB, CAROL, Site, in_a_loop
from tests.mesh.network import NOW, Administrator, key_of, prefixes
from tests.mesh.test_audience import all_received, nodes
from wgpy.contract.endpoint import Endpoint
from wgpy.mesh.plan import LocalView, NodePlan, Peer, Routing, plan
from wgpy.mesh.records import Paths, RegisteredRelay
from wgpy.mesh.rules import GOSSIP, allowed_ip
from wgpy.mesh.signing import SigningKey
from wgpy.mesh.topology import Topology, derive
from wgpyd.agent.warm_up import in_order

OFFICE, SERVERS, OTHERS, HUBS = (key_of(number) for number in (1001, 1002, 1003, 1004))
HUB, SPARE = key_of(20), key_of(21)
NODES = {"alice": ALICE, "bob": BOB, "carol": CAROL, "hub": HUB, "spare": SPARE}


def network(*, rules: bool = True) -> Administrator:
    """A network with a token for relays, whose nodes are hub and spare."""
    one = Administrator()
    one.found()
    one.invite(OFFICE, tags=("office",))
    one.invite(SERVERS, tags=("servers",))
    one.invite(OTHERS)
    one.invite(HUBS, routes=prefixes("10.42.0.0/16"))
    one.relay(HUBS)
    tokens = (OFFICE, SERVERS, OTHERS, HUBS, HUBS)
    for (name, identity), token in zip(NODES.items(), tokens, strict=True):
        one.join(identity, token, name=name)
    if rules:
        one.rule("tag:office", "tag:servers")
    return one


def peers(topology: Topology, identity: SigningKey) -> list[str]:
    return sorted(member.name for member in topology.peers(identity.verify_key()))


# -- Which nodes are relays --------------------------------------------------------------------------


def test_a_node_is_a_relay_by_its_token() -> None:
    assert relays(network()) == {"hub", "spare"}


def test_a_node_is_a_relay_by_its_identity() -> None:
    one = network()
    one.relay(CAROL)

    assert relays(one) == {"hub", "spare", "carol"}


def test_of_a_node_and_its_token_the_newer_record_counts() -> None:
    one = network()

    one.relay(HUB, allowed=False)
    assert relays(one) == {"spare"}

    one.relay(HUBS)
    assert relays(one) == {"hub", "spare"}

    one.relay(HUBS, allowed=False)
    assert relays(one) == set()


def test_a_node_that_is_no_member_is_no_relay() -> None:
    one = network()
    one.remove(HUB)

    assert relays(one) == {"spare"}


def test_no_node_makes_itself_a_relay() -> None:
    one = network()
    one.register(CAROL, (CAROL, 1))

    assert relays(one) == {"hub", "spare"}


def relays(one: Administrator) -> set[str]:
    topology = one.topology()
    members = filter(None, map(topology.member, topology.relays))
    return {member.name for member in members}


# -- Whose peers they are ----------------------------------------------------------------------------


def test_a_relay_is_everybodys_peer_and_everybody_is_its() -> None:
    topology = network().topology()

    assert peers(topology, CAROL) == ["hub", "spare"]
    assert peers(topology, ALICE) == ["bob", "hub", "spare"]
    assert peers(topology, HUB) == ["alice", "bob", "carol", "spare"]


def test_whom_a_relay_alone_makes_a_peer_no_rule_joins() -> None:
    topology = network().topology()
    carol, hub = (topology.member(identity.verify_key()) for identity in (CAROL, HUB))
    assert carol
    assert hub

    assert topology.are_peers(carol, hub)
    assert topology.are_peers(hub, carol)
    assert not topology.are_joined(carol, hub)
    assert topology.joined_peers(CAROL.verify_key()) == ()
    assert topology.destinations(carol) == frozenset()


def test_a_pair_that_no_rule_joins_stays_unknown_to_each_other() -> None:
    topology = network().topology()
    alice, carol = (topology.member(identity.verify_key()) for identity in (ALICE, CAROL))
    assert alice
    assert carol

    assert not topology.are_peers(alice, carol)


@pytest.mark.parametrize("viewer", NODES)
def test_each_node_derives_relays_for_itself(viewer: str) -> None:
    one, identity = network(), NODES[viewer]

    own = derive(one.ledger(), NOW, viewer=identity.verify_key())

    assert peers(own, identity) == peers(one.topology(), identity)


def test_other_paths_to_a_node_are_known_without_deriving_all_anew() -> None:
    one = network()
    ledger = one.ledger()
    before = derive(ledger, NOW)
    ledger.add(one.register(BOB, (HUB, 10)))

    after = derive(ledger, NOW, before)

    assert paths_of(after, BOB).relays == (RegisteredRelay(HUB.verify_key(), 10),)
    assert after == one.topology()
    assert after.member(CAROL.verify_key()) is before.member(CAROL.verify_key())


def test_the_newest_paths_of_a_node_count() -> None:
    one = network()
    one.register(BOB, (HUB, 10), sequence=2)
    one.register(BOB, (SPARE, 10), sequence=1)

    assert [relay.identity for relay in paths_of(one.topology(), BOB).relays] == [HUB.verify_key()]


def paths_of(topology: Topology, identity: SigningKey) -> Paths:
    member = topology.member(identity.verify_key())
    assert member
    assert member.paths
    return member.paths


# -- The plan ----------------------------------------------------------------------------------------


def planned(one: Administrator, identity: SigningKey, before: NodePlan | None = None) -> NodePlan:
    topology = one.topology()
    network = one.ledger().charter()
    assert network
    address = IPv4Address("100.80.0.9")
    view = LocalView(identity.verify_key(), address, {}, frozenset(), frozenset((4, 6)), Routing(7, 8))
    return plan(network, topology, view, before or NodePlan.empty())


def peer_of(found: NodePlan, name: str) -> Peer:
    return next(peer for peer in found.peers if peer.member.name == name)


def relays_to(found: NodePlan, name: str) -> list[str]:
    names = {peer.member.key: peer.member.name for peer in found.peers}
    return [names[key] for key in peer_of(found, name).tunnel.relays]


def test_between_a_node_and_a_relay_digests_alone_are_compared_unless_a_rule_says_more() -> None:
    one = network()

    for identity, other in ((CAROL, "hub"), (HUB, "carol")):
        found = planned(one, identity)
        permits = found.filter[peer_of(found, other).member.key]
        assert permits is not None
        assert [permit.rule for permit in permits] == [GOSSIP, GOSSIP]

    one.rule("tag:office", HUB)
    found = planned(one, HUB)
    permits = found.filter[peer_of(found, "alice").member.key]
    assert permits is not None
    assert [permit.rule for permit in permits] == [GOSSIP, GOSSIP, 2]


def test_nothing_behind_a_relay_is_used_unless_a_rule_joins_it() -> None:
    one = network()
    one.join(HUB, HUBS, name="hub", routes=prefixes("10.42.3.0/24"), sequence=2)
    route = prefixes("10.42.3.0/24")

    before = planned(one, CAROL)
    assert peer_of(before, "hub").routes == ()
    assert allowed_ip(route[0]) not in peer_of(before, "hub").tunnel.allowed_ips

    one.rule(CAROL, HUB)
    after = planned(one, CAROL, before)
    assert peer_of(after, "hub").routes == route
    assert after == planned(one, CAROL)


def test_a_peer_is_reached_by_the_relays_that_it_publishes_the_shortest_way_first() -> None:
    one = network(rules=False)
    one.register(BOB, (HUB, 10), (SPARE, 50))
    assert relays_to(planned(one, CAROL), "bob") == ["hub", "spare"]

    one.register(CAROL, (HUB, 90), (SPARE, 20))
    assert relays_to(planned(one, CAROL), "bob") == ["spare", "hub"]


def test_what_is_no_relay_any_more_leads_to_nobody() -> None:
    one = network()
    one.register(BOB, (HUB, 10), (CAROL, 1))
    before = planned(one, ALICE)
    assert relays_to(before, "bob") == ["hub"]

    one.relay(HUB, allowed=False)

    assert relays_to(planned(one, ALICE, before), "bob") == []


def test_a_relay_is_reached_by_no_relay_nor_uses_itself() -> None:
    one = network()
    one.register(HUB, (SPARE, 10))
    one.register(BOB, (HUB, 10), (SPARE, 10))

    assert relays_to(planned(one, CAROL), "hub") == []
    assert relays_to(planned(one, HUB), "bob") == ["spare"]


def test_a_relay_that_starts_calls_those_first_that_register_with_it() -> None:
    one = network()
    one.register(CAROL, (HUB, 10))
    one.register(ALICE, (SPARE, 10))
    found = planned(one, HUB)

    names = {peer.member.key: peer.member.name for peer in found.peers}
    called = [names[key] for key in in_order(found)]

    assert called[0] == "carol"
    assert sorted(called) == ["alice", "bob", "carol", "spare"]


def test_a_node_knows_of_itself_whether_it_is_a_relay() -> None:
    assert planned(network(), HUB).is_relay
    assert not planned(network(), CAROL).is_relay


def test_what_a_node_found_out_of_itself_is_tried_after_its_endpoints() -> None:
    one = network()
    one.join(BOB, SERVERS, name="bob", sequence=2, endpoints=(Endpoint("192.0.2.1", 1),))
    one.register(BOB, endpoints=(Endpoint("198.51.100.1", 2), Endpoint("192.0.2.1", 1)))

    found = peer_of(planned(one, ALICE), "bob").tunnel.endpoints

    assert found == (Endpoint("192.0.2.1", 1), Endpoint("198.51.100.1", 2))


# -- What cannot be said -----------------------------------------------------------------------------

PATHS = Paths(network=bytes(16), signer=ALICE.verify_key(), sequence=1, endpoints=(), relays=(), nat="")
RELAY = RegisteredRelay(HUB.verify_key(), 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"endpoints": tuple(Endpoint("192.0.2.1", port) for port in range(1, 18))},
        {"relays": (RELAY, RELAY)},
        {"relays": tuple(RegisteredRelay(key_of(number).verify_key(), 1) for number in range(5))},
        {"nat": "Two words"},
    ],
    ids=["endpoints", "twice", "relays", "nat"],
)
def test_no_node_says_more_of_its_paths_than_there_is_room_for(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="."):
        replace(PATHS, **fields)


@pytest.mark.parametrize("latency", [-1, 60_001])
def test_no_relay_is_further_away_than_a_minute(latency: int) -> None:
    with pytest.raises(ValueError, match="latency"):
        RegisteredRelay(HUB.verify_key(), latency)


# -- What the coordinator tells whom -----------------------------------------------------------------


@asynccontextmanager
async def a_site(folder: Path) -> AsyncIterator[Site]:
    site = Site.create(folder)
    async with site.serve():
        one = site.administrator
        one.found()
        one.invite(OFFICE, tags=("office",))
        one.invite(SERVERS, tags=("servers",))
        one.invite(HUBS)
        for identity, token in ((ALICE, OFFICE), (BOB, SERVERS), (CAROL, HUBS)):
            one.join(identity, token)
        one.rule("tag:office", "tag:servers")
        await site.submit_all()
        yield site


@pytest.mark.parametrize("by", [HUBS, CAROL], ids=["token", "identity"])
@in_a_loop
async def test_everybody_is_told_of_a_new_relay_which_is_told_of_everybody(
    tmp_path: Path, by: SigningKey
) -> None:
    async with a_site(tmp_path) as site, site.follow(ALICE) as alice, site.follow(CAROL) as carol:
        assert nodes([*(await alice.received()).records]) == {"n11", "n12"}
        assert nodes([*(await carol.received()).records]) == {"n13"}

        await site.submit(site.administrator.relay(by))

        assert "n13" in nodes(await all_received(site, alice))
        assert {"n11", "n12"} <= nodes(await all_received(site, carol))


@in_a_loop
async def test_who_joins_by_a_token_for_relays_is_told_of_everybody(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site, site.follow(ALICE) as alice:
        await alice.received()
        await site.submit(site.administrator.relay(HUBS))
        await site.submit(site.administrator.join(HUB, HUBS, name="hub"))

        assert "hub" in nodes(await all_received(site, alice))
        async with site.follow(HUB) as hub:
            assert nodes([*(await hub.received()).records]) == {"n11", "n12", "n13", "hub"}


@in_a_loop
async def test_paths_are_told_to_whom_a_rule_joins_and_to_relays(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        await site.submit(site.administrator.relay(CAROL))
        signed = site.administrator.register(BOB, (CAROL, 10))
        async with site.follow(ALICE) as alice, site.follow(CAROL) as carol, site.follow(BOB) as bob:
            followers = (alice, carol, bob)
            for follower in followers:
                await follower.received()

            await site.submit(signed)

            for follower in followers:
                assert signed in await all_received(site, follower)


@in_a_loop
async def test_paths_of_nobody_who_is_known_are_refused(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        (outcome,) = await site.submit(site.administrator.register(SPARE, (CAROL, 10)))

    assert outcome.verdict == "refused"
