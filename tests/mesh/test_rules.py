"""Who may begin to whom, and what a data path is told of it."""

import pytest
from hypothesis import given, settings

from tests.mesh.network import Administrator, key_of, prefixes
from tests.mesh.test_topology import histories
from wgpy.contract.constants import MAX_RULES
from wgpy.contract.orders import AllowedIP, Permit
from wgpy.mesh.member import Member
from wgpy.mesh.ports import TCP, UDP
from wgpy.mesh.rules import GOSSIP, OTHERS, Rules
from wgpy.mesh.topology import Topology, derive
from wgpy.mesh.wire import GOSSIP_PORT, PATHS_PORT

OFFICE, SERVERS = key_of(2), key_of(3)
DESK, LAPTOP, WEB = key_of(10), key_of(11), key_of(12)


@pytest.fixture
def administrator() -> Administrator:
    """Who admitted n10 and n11 of the office, and n12, a server with a route behind it."""
    one = Administrator()
    one.found()
    one.invite(OFFICE, tags=("office",))
    one.invite(SERVERS, tags=("servers",), routes=prefixes("10.42.0.0/16"))
    one.join(DESK, OFFICE)
    one.join(LAPTOP, OFFICE)
    one.join(WEB, SERVERS, routes=prefixes("10.42.3.0/24"))
    return one


def members(topology: Topology) -> tuple[Member, Member, Member]:
    desk, laptop, web = topology.members
    return desk, laptop, web


def permitted(topology: Topology, local: Member) -> dict[str, list[str]]:
    """The rules by which each peer may begin at a member, by the peer's name."""
    rules = Rules(topology)
    texts, found = rules.texts(), rules.permits(local)
    return {
        peer.name: list(dict.fromkeys(texts[permit.rule] for permit in found[peer.key] or ()))
        for peer in topology.peers(local.identity)
    }


# -- Direction ------------------------------------------------------------------------------------


def test_without_a_rule_everybody_may_begin_anything_and_nobody_is_asked(
    administrator: Administrator,
) -> None:
    topology = administrator.topology()
    desk, laptop, web = members(topology)
    rules = Rules(topology)

    assert rules.allow(desk, web)
    assert rules.between(desk, web) is None
    assert rules.permits(desk) == {laptop.key: None, web.key: None}


def test_a_rule_lets_its_source_begin_and_nobody_else(administrator: Administrator) -> None:
    administrator.rule("tag:office", "tag:servers")
    topology = administrator.topology()
    desk, laptop, web = members(topology)
    rules = Rules(topology)

    rule = rules.between(desk, web)
    assert rule is not None
    assert rule.text == "tag:office tag:servers"
    assert rules.between(web, desk) is None
    assert not rules.allow(web, desk)
    assert not rules.allow(desk, laptop)


def test_who_may_begin_to_anybody_is_not_opened_by_that(administrator: Administrator) -> None:
    administrator.rule("node:n11", "any")
    topology = administrator.topology()
    desk, laptop, web = members(topology)

    assert permitted(topology, web) == {"n11": ["gossip", "node:n11 any"]}
    assert permitted(topology, desk) == {"n11": ["gossip", "node:n11 any"]}
    assert permitted(topology, laptop) == {"n10": ["gossip"], "n12": ["gossip"]}


def test_two_rules_make_two_ways(administrator: Administrator) -> None:
    administrator.rule("node:n10", "node:n12")
    administrator.rule("node:n12", "node:n10")
    topology = administrator.topology()
    desk, _, web = members(topology)

    assert permitted(topology, web) == {"n10": ["gossip", "node:n10 node:n12"]}
    assert permitted(topology, desk) == {"n12": ["gossip", "node:n12 node:n10"]}


def test_of_several_rules_the_first_decides_and_all_are_given(administrator: Administrator) -> None:
    administrator.rule("tag:office", "any")
    administrator.rule("node:n10", "node:n12")
    administrator.rule("any", "tag:servers")
    topology = administrator.topology()
    desk, _, web = members(topology)

    rule = Rules(topology).between(desk, web)
    assert rule is not None
    assert rule.text == "tag:office any"
    texts = ["gossip", "tag:office any", "node:n10 node:n12", "any tag:servers"]
    assert permitted(topology, web)["n10"] == texts


@settings(deadline=None)
@given(administrator=histories())
def test_a_peer_is_permitted_something_exactly_if_a_rule_lets_it_begin(administrator: Administrator) -> None:
    topology = administrator.topology()
    rules = Rules(topology)

    for local in topology.members:
        permits = rules.permits(local)
        assert list(permits) == [peer.key for peer in topology.peers(local.identity)]
        for peer in topology.peers(local.identity):
            given = permits[peer.key]
            assert rules.allow(peer, local) == (given is None or any(one.rule != GOSSIP for one in given))
            assert (given is None) == (not topology.rules)


# -- Permits --------------------------------------------------------------------------------------


def test_a_permit_of_a_rule_is_for_the_node_and_the_routes_behind_it(administrator: Administrator) -> None:
    administrator.rule("any", "tag:servers")
    topology = administrator.topology()
    desk, _, web = members(topology)

    *_, permit = Rules(topology).permits(web)[desk.key] or ()

    assert permit == Permit(rule=1, protocol=0, destination=None, first_port=0, last_port=65535)


def test_peers_may_compare_records_and_agree_on_a_path_whoever_of_them_may_begin_anything_else(
    administrator: Administrator,
) -> None:
    administrator.rule("any", "tag:servers")
    topology = administrator.topology()
    desk, _, web = members(topology)

    address = AllowedIP(desk.address6.packed, 128)
    records = Permit(GOSSIP, TCP, address, GOSSIP_PORT, GOSSIP_PORT)
    paths = Permit(GOSSIP, UDP, address, PATHS_PORT, PATHS_PORT)
    assert Rules(topology).permits(desk) == {web.key: (records, paths)}


# -- Numbers --------------------------------------------------------------------------------------


def test_a_rule_keeps_its_number_whatever_becomes_of_it_and_of_others(administrator: Administrator) -> None:
    ledger = administrator.ledger()

    def numbers() -> dict[str, int]:
        texts = Rules(derive(ledger, administrator.now)).texts()
        return {text: number for number, text in texts.items() if " " in text}

    for pair in (("any", "node:n10"), ("any", "node:n11"), ("any", "node:n12")):
        ledger.add(administrator.rule(*pair))
    before = numbers()
    ledger.add(administrator.rule("any", "node:n10", allowed=False))
    ledger.add(administrator.rule("node:n10", "any"))
    ledger.add(administrator.rule("any", "node:n10"))

    assert before == {"any node:n10": 1, "any node:n11": 2, "any node:n12": 3}
    assert numbers() == before | {"node:n10 any": 4}


def test_rules_beyond_the_last_number_share_it(administrator: Administrator) -> None:
    for number in range(MAX_RULES + 5):
        administrator.rule(f"node:a{number}", "node:b")
    administrator.rule("tag:office", "tag:servers")
    topology = administrator.topology()
    desk, _, web = members(topology)
    rules = Rules(topology)

    texts = rules.texts()
    assert set(texts) == set(range(MAX_RULES))
    assert (texts[OTHERS - 1], texts[OTHERS]) == (f"node:a{OTHERS - 2} node:b", "others")
    assert [permit.rule for permit in rules.permits(web)[desk.key] or ()] == [GOSSIP, GOSSIP, OTHERS]
    rule = rules.between(desk, web)
    assert rule is not None
    assert rule.text == "tag:office tag:servers"
