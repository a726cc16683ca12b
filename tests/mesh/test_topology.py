"""Who is a member, whom a node learns of, and what nobody can take from another."""

import random
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mesh.network import DAY, NOW, Administrator, key_of, prefixes
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PublicKey
from wgpy.mesh.admission import Exclusion
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.rules import Rules
from wgpy.mesh.topology import Topology, derive

TOKEN, LATER_TOKEN = key_of(2), key_of(3)
SAYINGS = ("invite", "join", "join", "join", "revoke", "remove", "approve", "rule", "depart")
ANN, BOB, EVE = key_of(10), key_of(11), key_of(12)


@pytest.fixture
def administrator() -> Administrator:
    one = Administrator()
    one.found()
    one.invite(TOKEN, tags=("edge",), routes=prefixes("10.42.0.0/16"))
    one.join(ANN, TOKEN)
    one.join(BOB, TOKEN)
    return one


def names(topology: Topology) -> list[str]:
    return [member.name for member in topology.members]


def peer_names(topology: Topology, identity: object) -> list[str]:
    return [peer.name for peer in topology.peers(identity)]  # type: ignore[arg-type]


# -- Members --------------------------------------------------------------------------------------


def test_who_was_admitted_is_a_member_and_the_peer_of_everybody(administrator: Administrator) -> None:
    topology = administrator.topology()

    assert names(topology) == ["n10", "n11"]
    (peer,) = topology.peers(ANN.verify_key())
    assert peer.allowed_ips[0] == prefixes("100.80.0.11/32")[0]
    assert peer.address6 in IPv6Network("fd12:3456::/48")
    assert peer.tags == {"edge"}


def test_an_unknown_node_has_no_peers(administrator: Administrator) -> None:
    assert administrator.topology().peers(EVE.verify_key()) == ()


def test_before_the_network_is_known_there_is_nobody(administrator: Administrator) -> None:
    administrator.records.pop(0)

    assert names(administrator.topology()) == []


def test_a_token_that_the_administrator_never_signed_admits_nobody(administrator: Administrator) -> None:
    administrator.join(EVE, key_of(99))

    assert administrator.topology().excluded == {EVE.verify_key(): Exclusion.NO_TOKEN}


def test_a_token_admits_until_it_expires(administrator: Administrator) -> None:
    administrator.join(EVE, TOKEN, admitted=NOW + DAY)

    assert administrator.topology().excluded == {EVE.verify_key(): Exclusion.TOKEN_EXPIRED}


def test_who_was_removed_or_left_stays_away_even_if_it_speaks_again(administrator: Administrator) -> None:
    administrator.remove(ANN)
    administrator.depart(BOB)
    administrator.join(ANN, TOKEN, sequence=2)
    administrator.join(BOB, TOKEN, sequence=2)

    assert administrator.topology().excluded == {
        ANN.verify_key(): Exclusion.REMOVED,
        BOB.verify_key(): Exclusion.DEPARTED,
    }


def test_of_a_revoked_token_those_stay_that_are_named_whatever_date_others_claim(
    administrator: Administrator,
) -> None:
    administrator.revoke(TOKEN, ANN.verify_key())
    administrator.join(EVE, TOKEN, admitted=NOW - DAY)

    topology = administrator.topology()

    assert names(topology) == ["n10"]
    assert topology.excluded[EVE.verify_key()] is Exclusion.TOKEN_REVOKED


def test_a_membership_ends_by_itself_where_the_token_says_so(administrator: Administrator) -> None:
    administrator.invite(LATER_TOKEN, lifetime=DAY)
    administrator.join(EVE, LATER_TOKEN, admitted=NOW)

    assert names(administrator.topology(NOW + DAY - 1)) == ["n10", "n11", "n12"]
    assert administrator.topology(NOW + DAY).excluded == {EVE.verify_key(): Exclusion.MEMBERSHIP_EXPIRED}


def test_a_host_that_boots_in_1970_goes_by_the_newest_admin_record(administrator: Administrator) -> None:
    administrator.invite(LATER_TOKEN, lifetime=DAY)
    administrator.join(EVE, LATER_TOKEN)
    administrator.now += 2 * DAY
    administrator.rule("any", "any")

    assert administrator.topology(0).excluded == {EVE.verify_key(): Exclusion.MEMBERSHIP_EXPIRED}


# -- What is taken --------------------------------------------------------------------------------


def test_a_name_that_is_taken_is_not_given_again(administrator: Administrator) -> None:
    administrator.join(EVE, TOKEN, name="n10", admitted=NOW + 1)

    assert names(administrator.topology()) == ["n10", "n11", ""]


@pytest.mark.parametrize("address", ["100.80.0.10", "100.81.0.1", "100.80.0.0", "100.80.255.255"])
def test_an_address_that_is_taken_or_not_of_the_network_makes_no_member(
    administrator: Administrator, address: str
) -> None:
    administrator.join(EVE, TOKEN, address=IPv4Address(address), admitted=NOW + 1)

    assert administrator.topology().excluded == {EVE.verify_key(): Exclusion.ADDRESS_TAKEN}


def test_a_wireguard_key_that_is_taken_makes_no_member(administrator: Administrator) -> None:
    key = PublicKey((10).to_bytes(32, "little"))
    administrator.join(EVE, TOKEN, key=key, admitted=NOW + 1)

    assert administrator.topology().excluded == {EVE.verify_key(): Exclusion.KEY_TAKEN}


def test_an_antedated_record_takes_nothing_from_who_came_by_an_older_token(
    administrator: Administrator,
) -> None:
    administrator.invite(LATER_TOKEN, routes=prefixes("10.42.0.0/16"))
    administrator.join(ANN, TOKEN, sequence=2, routes=prefixes("10.42.1.0/24"))
    administrator.join(EVE, LATER_TOKEN, admitted=1, name="n10", routes=prefixes("10.42.1.0/25"))

    *_, eve = administrator.topology().members

    assert eve.identity == EVE.verify_key()
    assert eve.name == ""
    assert eve.routes == ()
    assert eve.requested == prefixes("10.42.1.0/25")


# -- Routes ---------------------------------------------------------------------------------------


def test_a_node_announces_what_its_token_allows_and_requests_the_rest(administrator: Administrator) -> None:
    routes = prefixes("10.42.3.0/24", "10.43.0.0/24", "10.0.0.0/8", "0.0.0.0/0", "::/0", "100.80.0.11/32")
    administrator.join(ANN, TOKEN, sequence=2, routes=routes)

    ann = administrator.topology().members[0]

    assert ann.routes == prefixes("10.42.3.0/24")
    assert ann.requested == routes[1:]


def test_what_is_approved_is_announced_too_until_the_approval_is_taken_back(
    administrator: Administrator,
) -> None:
    routes = prefixes("10.42.3.0/24", "192.168.1.0/24")
    administrator.join(ANN, TOKEN, sequence=2, routes=routes)
    administrator.approve(ANN, "192.168.0.0/16")
    assert administrator.topology().members[0].routes == routes

    administrator.approve(ANN)

    assert administrator.topology().members[0].routes == routes[:1]


def test_nobody_announces_the_addresses_of_nodes_even_if_that_is_approved(
    administrator: Administrator,
) -> None:
    routes = prefixes("100.80.0.11/32", "fd12:3456:1::/48", "100.64.0.0/10")
    administrator.join(ANN, TOKEN, sequence=2, routes=routes)
    administrator.approve(ANN, "100.0.0.0/8", "fd00::/8")

    assert administrator.topology().members[0].routes == ()


@pytest.mark.parametrize("route", ["0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/1", "8000::/1", "4000::/2"])
def test_nobody_announces_a_default_route_or_half_of_one_whatever_allows_it(
    administrator: Administrator, route: str
) -> None:
    token = key_of(5)
    administrator.invite(token, routes=prefixes(route))
    administrator.join(EVE, token, routes=prefixes(route))
    administrator.approve(EVE, route)

    (eve,) = (member for member in administrator.topology().members if member.identity == EVE.verify_key())

    assert eve.routes == ()
    assert eve.requested == prefixes(route)


# -- Rules ----------------------------------------------------------------------------------------


def test_with_the_first_rule_only_who_may_speak_learn_of_each_other(administrator: Administrator) -> None:
    administrator.invite(LATER_TOKEN, tags=("office",))
    administrator.join(EVE, LATER_TOKEN)
    administrator.rule("tag:office", "node:n10")

    topology = administrator.topology()

    assert peer_names(topology, EVE.verify_key()) == ["n10"]
    assert peer_names(topology, ANN.verify_key()) == ["n12"]
    assert peer_names(topology, BOB.verify_key()) == []
    eve, ann = topology.members[2], topology.members[0]
    assert Rules(topology).allow(eve, ann)
    assert not Rules(topology).allow(ann, eve)


def test_when_the_last_rule_is_taken_back_everybody_reaches_everybody(administrator: Administrator) -> None:
    administrator.rule("node:n10", "node:n10")
    administrator.rule("node:n10", "node:n10", allowed=False)

    assert peer_names(administrator.topology(), ANN.verify_key()) == ["n11"]


# -- Standing by ----------------------------------------------------------------------------------


def test_who_announces_the_same_prefix_as_an_earlier_node_stands_by_for_it(
    administrator: Administrator,
) -> None:
    routes = prefixes("10.42.3.0/24", "10.42.4.0/24")
    administrator.join(ANN, TOKEN, sequence=2, routes=routes[:1])
    administrator.join(BOB, TOKEN, sequence=2, routes=routes)

    ann, bob = administrator.topology().members

    assert (ann.routes, ann.standby, ann.requested) == (routes[:1], (), ())
    assert (bob.routes, bob.standby, bob.requested) == (routes[1:], routes[:1], ())
    assert bob.announced == (routes[1], routes[0])
    administrator.remove(ANN)
    (bob,) = administrator.topology().members
    assert (bob.routes, bob.standby) == (routes, ())


def test_who_has_no_right_to_a_prefix_or_only_a_part_of_it_does_not_stand_by(
    administrator: Administrator,
) -> None:
    token = key_of(5)
    administrator.invite(token)
    administrator.join(ANN, TOKEN, sequence=2, routes=prefixes("10.42.3.0/24"))
    administrator.join(BOB, TOKEN, sequence=2, routes=prefixes("10.42.3.0/25"))
    administrator.join(EVE, token, routes=prefixes("10.42.3.0/24"))

    _, bob, eve = administrator.topology().members

    assert (bob.standby, bob.requested) == ((), prefixes("10.42.3.0/25"))
    assert (eve.standby, eve.requested) == ((), prefixes("10.42.3.0/24"))


# -- The law --------------------------------------------------------------------------------------


def histories() -> st.SearchStrategy[Administrator]:
    """Anything that an administrator and hosts, honest or not, may say."""

    @st.composite
    def build(draw: st.DrawFn) -> Administrator:
        one = Administrator()
        one.found()
        tokens, hosts = [key_of(number) for number in (2, 3, 4)], [key_of(number) for number in range(10, 16)]
        nets = [
            "10.42.0.0/16",
            "10.42.1.0/24",
            "10.42.1.128/25",
            "192.168.0.0/16",
            "fd00:42::/64",
            "10.0.0.0/8",
            "0.0.0.0/0",
        ]
        some_routes = st.lists(st.sampled_from(nets), max_size=3, unique=True)
        for _ in range(draw(st.integers(3, 14))):
            host, token = draw(st.sampled_from(hosts)), draw(st.sampled_from(tokens))
            match draw(
                st.sampled_from(
                    ["invite", "join", "join", "join", "revoke", "remove", "approve", "tag", "rule", "depart"]
                )
            ):
                case "invite":
                    one.invite(
                        token, routes=prefixes(*draw(some_routes)), lifetime=draw(st.sampled_from([0, DAY]))
                    )
                case "join":
                    one.join(
                        host, token, sequence=draw(st.integers(1, 3)),
                        admitted=NOW + draw(st.integers(-2, 2)), name=draw(st.sampled_from(["a", "b", "c"])),
                        endpoints=draw(st.sampled_from([(), (Endpoint("192.0.2.1", 51820),)])),
                        address=IPv4Address("100.80.0.0") + draw(st.integers(0, 4)),
                        routes=prefixes(*draw(some_routes)),
                    )  # fmt: skip
                case "revoke":
                    one.revoke(token, host.verify_key())
                case "remove":
                    one.remove(host)
                case "approve":
                    one.approve(host, *draw(some_routes))
                case "tag":
                    one.tag(host, *draw(st.sampled_from([(), ("edge",), ("edge", "k8s")])))
                case "rule":
                    one.rule(draw(st.sampled_from(["any", "node:a"])), "node:b", allowed=draw(st.booleans()))
                case _:
                    one.depart(host)
        return one

    return build()


@settings(deadline=None)
@given(administrator=histories(), seed=st.integers(0, 1 << 32))
def test_any_order_and_repetition_of_the_same_records_gives_the_same_topology(
    administrator: Administrator, seed: int
) -> None:
    source = random.Random(seed)
    shuffled = administrator.records + source.choices(administrator.records, k=5)
    source.shuffle(shuffled)
    other = Ledger(administrator.key.verify_key())
    for signed in shuffled:
        other.add(signed)

    first, second = administrator.topology(), derive(other, NOW)

    assert first.members == second.members
    assert first.excluded == second.excluded
    assert set(first.rules) == set(second.rules)
    assert administrator.ledger().state_digest() == other.state_digest()


@settings(deadline=None)
@given(administrator=histories(), data=st.data())
def test_what_is_derived_from_what_was_before_is_what_is_derived_from_nothing(
    administrator: Administrator, data: st.DataObject
) -> None:
    ledger, topology = Ledger(administrator.key.verify_key()), None
    ends = st.integers(NOW - 2, NOW + 2) | st.integers(NOW + DAY - 2, NOW + DAY + 2)
    for signed in administrator.records:
        ledger.add(signed)
        now = data.draw(ends)
        topology = derive(ledger, now, topology)
        assert topology == derive(ledger, now)


def test_who_moves_is_the_only_one_that_is_judged_anew(administrator: Administrator) -> None:
    ledger = administrator.ledger()
    before = derive(ledger, NOW)
    ledger.add(administrator.join(BOB, TOKEN, sequence=2, endpoints=(Endpoint("192.0.2.1", 51820),)))

    ann, bob = derive(ledger, NOW, before).members

    assert ann is before.members[0]
    assert bob == replace(before.members[1], endpoints=(Endpoint("192.0.2.1", 51820),))


def test_who_is_the_same_is_the_same_object_whoever_comes_or_goes(administrator: Administrator) -> None:
    """So whoever makes something of members can see which are new without a look at them."""
    ledger = administrator.ledger()
    before = derive(ledger, NOW)
    ledger.add(administrator.join(EVE, TOKEN))
    ledger.add(administrator.remove(BOB))

    ann, _ = derive(ledger, NOW, before).members

    assert ann is before.members[0]


@settings(deadline=None)
@given(administrator=histories())
def test_peers_are_those_who_may_reach_each_other(administrator: Administrator) -> None:
    topology = administrator.topology()
    rules = Rules(topology)

    for me in topology.members:
        peers = {
            other.identity
            for other in topology.members
            if other is not me and (rules.allow(me, other) or rules.allow(other, me))
        }
        assert {peer.identity for peer in topology.peers(me.identity)} == peers
        others = (other for other in topology.members if other is not me)
        assert {other.identity for other in others if topology.are_peers(me, other)} == peers


@settings(deadline=None)
@given(administrator=histories())
def test_no_two_members_share_a_name_an_address_a_key_or_a_route(administrator: Administrator) -> None:
    members = administrator.topology().members
    routes = [prefix for member in members for prefix in member.allowed_ips]

    for unique in (
        [member.name for member in members if member.name],
        [member.address for member in members],
        [member.address6 for member in members],
        [member.key for member in members],
    ):
        assert len(set(unique)) == len(unique)
    for number, one in enumerate(routes):
        assert not any(one.version == other.version and one.overlaps(other) for other in routes[:number])
