"""An exit: a site of default routes, which nodes use that name it themselves, and no other."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_network

import pytest

from tests.mesh.network import EVERYTHING, NOW, Administrator, ingress_of, key_of, prefixes, site
from wgpy.contract.orders import Permit
from wgpy.keys import PublicKey
from wgpy.mesh.addressing import DEFAULT_ROUTES
from wgpy.mesh.plan import LocalView, NodePlan, Routing, plan
from wgpy.mesh.records import AnnouncedSite
from wgpy.mesh.rules import allowed_ip
from wgpy.mesh.signing import SigningKey
from wgpy.mesh.sites import SiteExclusion, is_within
from wgpyd.agent.reconcile.routes import Route, exit_changes

TOKEN, PLAIN_TOKEN, ANN, BOB, EVE = map(key_of, (2, 3, 11, 12, 13))
INTERNET = site("internet", "0.0.0.0/0", "::/0")
ALLOWED = frozenset(map(allowed_ip, DEFAULT_ROUTES))
TABLE = 152_000_007


def network(*announced: AnnouncedSite, of: SigningKey = ANN) -> Administrator:
    """Ann, whose token allows an exit, and Bob and Eve, whose token allows every prefix but none."""
    administrator = Administrator()
    administrator.found()
    administrator.invite(TOKEN, routes=DEFAULT_ROUTES)
    administrator.invite(PLAIN_TOKEN, routes=EVERYTHING)
    for key, token, name in ((ANN, TOKEN, "ann"), (BOB, PLAIN_TOKEN, "bob"), (EVE, PLAIN_TOKEN, "eve")):
        administrator.join(key, token, name=name)
    administrator.announce(of, *announced)
    return administrator


def planned(administrator: Administrator, exit_name: str, node: SigningKey = BOB) -> NodePlan:
    topology = administrator.topology()
    member, charter = topology.member(node.verify_key()), administrator.ledger().charter()
    assert member is not None
    assert charter is not None
    own = {ip_network("192.168.1.0/24"): "a network of eth0"}
    routing = Routing(7, 8, 0, TABLE)
    versions = frozenset({4, 6})
    view = LocalView(member.identity, member.address, own, frozenset(), versions, routing, exit_name)
    return plan(charter, topology, view, NodePlan.empty())


def allowed(found: NodePlan) -> list[str]:
    """Names of the peers that get what no other peer has."""
    return [peer.member.name for peer in found.peers if ALLOWED & found.tunnels[peer.member.key].allowed_ips]


# -- Who may announce one --------------------------------------------------------------------------


def test_a_token_that_names_default_routes_allows_an_exit_and_nothing_else() -> None:
    topology = network(INTERNET, site("office", "192.168.7.0/24")).topology()

    assert [one.name for one in topology.sites] == ["internet"]
    assert [one.reason for one in topology.excluded_sites] == [SiteExclusion.NO_RIGHT]


def test_a_token_for_every_other_prefix_allows_no_exit_but_an_approval_does() -> None:
    administrator = network(INTERNET, of=BOB)
    assert administrator.topology().sites == ()

    administrator.approve(BOB, "0.0.0.0/0", "::/0")

    assert [one.name for one in administrator.topology().sites] == ["internet"]


def test_each_version_has_to_be_allowed() -> None:
    administrator = network(INTERNET, of=BOB)

    administrator.approve(BOB, "0.0.0.0/0")

    assert administrator.topology().sites == ()


def test_a_default_route_among_other_prefixes_is_no_exit() -> None:
    administrator = network(site("mixed", "0.0.0.0/0", "10.7.0.0/24"))
    administrator.approve(ANN, "10.0.0.0/8", "0.0.0.0/0")

    topology = administrator.topology()

    assert topology.sites == ()
    assert [one.reason for one in topology.excluded_sites] == [SiteExclusion.NEVER]


def test_an_exit_is_in_the_way_of_no_other_site_nor_of_another_exit() -> None:
    administrator = network(INTERNET)
    administrator.approve(BOB, "0.0.0.0/0")
    administrator.announce(
        BOB, site("office", "192.168.7.0/24", since=NOW + 1), site("v4", "0.0.0.0/0", since=NOW + 1)
    )

    assert [one.name for one in administrator.topology().sites] == ["internet", "office", "v4"]


# -- Who uses it -----------------------------------------------------------------------------------


def test_a_node_that_names_no_exit_is_as_if_there_were_none() -> None:
    found, without = planned(network(INTERNET), ""), planned(network(), "")

    assert found.exit is None
    assert found.tunnels == without.tunnels
    assert (found.routes, found.reserved) == (without.routes, without.reserved)


def test_a_node_that_names_it_sends_to_its_gateway_what_nobody_else_has() -> None:
    found, without = planned(network(INTERNET), "internet"), planned(network(INTERNET), "")

    assert found.exit is not None
    assert (found.exit.gateway, found.exit.routes, found.exit.trouble) == (
        ANN.verify_key(), DEFAULT_ROUTES, "",
    )  # fmt: skip
    assert allowed(found) == ["ann"]
    assert (found.routes, found.reserved) == (without.routes, without.reserved)
    assert [peer.left_out for peer in found.peers] == [(), ()]


def test_of_an_exit_with_one_version_the_other_one_leads_nowhere() -> None:
    found = planned(network(site("v4", "0.0.0.0/0")), "v4")

    assert found.exit is not None
    assert found.exit.routes == prefixes("0.0.0.0/0")


def test_an_exit_of_two_gateways_is_reached_by_the_one_that_comes_first() -> None:
    administrator = network(INTERNET)
    administrator.approve(EVE, "0.0.0.0/0", "::/0")
    administrator.announce(EVE, replace(INTERNET, priority=10, since=NOW + 1))

    found = planned(administrator, "internet")

    assert allowed(found) == ["eve"]
    assert found.exit is not None
    assert found.exit.gateway == EVE.verify_key()


@pytest.mark.parametrize(
    ("announced", "exit_name", "node", "why"),
    [
        ((), "internet", BOB, "no site of that name has a default route"),
        ((INTERNET,), "elsewhere", BOB, "no site of that name has a default route"),
        ((INTERNET,), "internet", ANN, "this node is a gateway of internet itself"),
    ],
)
def test_what_is_not_there_is_no_reason_to_use_the_hosts_own_way(
    announced: Sequence[AnnouncedSite], exit_name: str, node: SigningKey, why: str
) -> None:
    found = planned(network(*announced), exit_name, node)

    assert found.exit is not None
    assert (found.exit.routes, allowed(found)) == ((), [])
    assert why in found.exit.trouble
    assert "`wgpy mesh use --none`" in found.exit.warning


def test_a_site_that_is_no_exit_is_not_used_as_one() -> None:
    administrator = network(site("office", "10.7.0.0/24"), of=EVE)

    found = planned(administrator, "office")

    assert found.exit is not None
    assert found.exit.routes == ()


def test_a_gateway_of_an_exit_uses_no_other_one_so_that_nothing_goes_round_in_circles() -> None:
    administrator = network(INTERNET)
    administrator.approve(EVE, "0.0.0.0/0")
    administrator.announce(EVE, site("other", "0.0.0.0/0", since=NOW + 1))

    found = planned(administrator, "other", ANN)

    assert found.exit is not None
    assert (found.exit.routes, allowed(found)) == ((), [])


def test_the_networks_of_a_gateway_are_not_all_that_there_is() -> None:
    """Its peers' routes are not within a site of its own."""
    administrator = network(INTERNET)
    administrator.join(EVE, PLAIN_TOKEN, sequence=2, name="eve", routes=prefixes("10.7.0.0/16"))

    found = planned(administrator, "", ANN)

    assert ip_network("10.7.0.0/16") in found.routes
    assert [site.name for site in found.own_sites] == ["internet"]


def test_with_rules_an_exit_is_used_by_those_whom_a_rule_joins_with_its_gateway() -> None:
    administrator = network(INTERNET)
    administrator.rule(EVE, ANN)

    for node, peers in ((EVE, ["ann"]), (BOB, [])):
        assert allowed(planned(administrator, "internet", node)) == peers


# -- The routes of the host ------------------------------------------------------------------------


def carried_out(lines: Sequence[str], before: Sequence[str] = ()) -> list[str]:
    """What a table has then. Each line must succeed."""
    found = list(before)
    for line in lines:
        _, verb, route = line.split(" ", 2)
        found.append(route) if verb == "add" else found.remove(route)
    return found


INTO = [f"{prefix} dev mesh0 table {TABLE} proto 151" for prefix in DEFAULT_ROUTES]
NOWHERE = [f"unreachable {prefix} table {TABLE} proto 151 metric 4278198272" for prefix in DEFAULT_ROUTES]
FOUND = [
    *(
        Route(prefix, "mesh0", protocol="151", metric=metric, table=str(TABLE))
        for prefix, metric in zip(DEFAULT_ROUTES, (0, 1024), strict=True)
    ),
    *(
        Route(prefix, protocol="151", metric=4278198272, kind="7", table=str(TABLE))
        for prefix in DEFAULT_ROUTES
    ),
]


def test_both_versions_lead_nowhere_before_either_leads_into_the_interface() -> None:
    exit_ = planned(network(INTERNET), "internet").exit

    lines = exit_changes([], exit_, "mesh0", TABLE)

    assert carried_out(lines) == [*NOWHERE, *INTO]
    assert exit_changes(FOUND, exit_, "mesh0", TABLE) == ()


def test_default_routes_have_the_mtu_of_the_way_to_their_gateway() -> None:
    exit_ = planned(network(INTERNET), "internet").exit

    lines = exit_changes(FOUND, exit_, "mesh0", TABLE, mtus=dict.fromkeys(DEFAULT_ROUTES, 1280))

    assert carried_out(lines, [*NOWHERE, *INTO]) == [*NOWHERE, *(f"{route} mtu 1280" for route in INTO)]


def test_without_its_gateway_an_exit_leads_nowhere_and_never_anywhere_else() -> None:
    exit_ = planned(network(), "internet").exit

    lines = exit_changes(FOUND, exit_, "mesh0", TABLE)

    assert carried_out(lines, [*INTO, *NOWHERE]) == NOWHERE


def test_of_an_exit_that_is_used_no_more_no_route_stays() -> None:
    assert carried_out(exit_changes(FOUND, None, "mesh0", TABLE), [*INTO, *NOWHERE]) == []


def test_routes_of_others_and_of_other_tables_stay() -> None:
    others = [
        Route(ip_network("0.0.0.0/0"), "eth0", "192.0.2.1"),
        replace(FOUND[0], table="151000007"),
        replace(FOUND[0], protocol="16"),
    ]

    assert exit_changes(others, None, "mesh0", TABLE) == ()


# -- The exit of clients -----------------------------------------------------------------------------


PHONE, LAPTOP = (PublicKey(bytes((number,)) + bytes(31)) for number in (5, 6))
OUTSIDE, IN_THE_MESH, AT_OFFICE = "192.0.2.7", "100.80.0.12", "192.168.7.9"


def entered(to: str = "site:internet", *announced: AnnouncedSite) -> Administrator:
    """With a phone that enters by Bob and may begin to one destination."""
    administrator = network(INTERNET, *announced)
    administrator.client(PHONE, BOB, destinations=(to,))
    return administrator


def test_what_clients_send_goes_to_the_gateway_of_their_exit_and_the_node_uses_none_itself() -> None:
    found, without = planned(entered(), ""), planned(network(INTERNET), "")

    assert found.client_exit is not None
    assert (found.client_exit.exit.gateway, found.client_exit.exit.routes) == (
        ANN.verify_key(), DEFAULT_ROUTES,
    )  # fmt: skip
    assert found.client_exit.users == {PHONE}
    assert found.client_exit.warnings == ()
    assert allowed(found) == ["ann"]
    assert found.exit is None
    assert (found.routes, found.reserved) == (without.routes, without.reserved)


def test_a_client_with_an_exit_begins_to_nothing_of_the_mesh() -> None:
    office = site("office", AT_OFFICE + "/32", since=NOW + 1)
    administrator = entered("site:internet", office)
    administrator.approve(ANN, AT_OFFICE + "/32")
    permits = planned(administrator, "").filter[PHONE]

    assert permits is not None
    assert [_lets_in(permits, one) for one in (OUTSIDE, IN_THE_MESH, AT_OFFICE)] == [True, False, False]


def _lets_in(permits: Sequence[Permit], address: str) -> bool:
    prefix = ip_network(address)
    assert all(one.destination is not None for one in permits)
    return any(
        is_within(prefix, ip_network((one.destination.address, one.destination.prefix_length)))
        for one in permits
        if one.destination
    )


@pytest.mark.parametrize("to", ["any", "node:bob", "site:elsewhere"])
def test_a_client_that_names_no_exit_has_none(to: str) -> None:
    found = planned(entered(to), "")

    assert found.client_exit is None
    assert allowed(found) == []


def test_a_rule_gives_a_client_an_exit() -> None:
    administrator = network(INTERNET)
    administrator.client(PHONE, BOB)
    administrator.rule(administrator.scope(f"client:{PHONE}"), administrator.scope("site:internet:443/tcp"))

    found = planned(administrator, "")

    assert allowed(found) == ["ann"]
    assert found.client_exit is not None
    assert found.client_exit.users == {PHONE}


def test_a_gateway_of_an_exit_passes_clients_on_to_none() -> None:
    administrator = network(INTERNET)
    administrator.client(PHONE, ANN, destinations=("site:internet",))

    found = planned(administrator, "", ANN)

    assert found.client_exit is None
    permits = found.filter[PHONE]
    assert permits is not None
    assert _lets_in(permits, OUTSIDE)


def two_exits() -> Administrator:
    administrator = network(INTERNET)
    administrator.approve(EVE, "0.0.0.0/0")
    administrator.announce(EVE, site("other", "0.0.0.0/0", since=NOW + 1))
    administrator.client(PHONE, BOB, destinations=("site:other",))
    administrator.client(LAPTOP, BOB, destinations=("site:internet",))
    return administrator


@pytest.mark.parametrize(
    ("own", "gateway", "left"), [("", "eve", LAPTOP), ("other", "eve", LAPTOP), ("internet", "ann", PHONE)]
)
def test_the_clients_of_a_node_have_one_exit_that_of_the_node_or_of_the_first_client(
    own: str, gateway: str, left: PublicKey
) -> None:
    found = planned(two_exits(), own)

    assert allowed(found) == [gateway]
    assert found.client_exit is not None
    assert left not in found.client_exit.users
    assert found.filter[left] == ()
    assert [f"c{bytes(left)[0]}: another exit" in one for one in found.client_exit.warnings] == [True]


def test_what_a_client_sends_goes_nowhere_once_its_exit_is_gone() -> None:
    administrator = network()
    whole = (replace(ingress_of(PHONE, BOB), prefixes=DEFAULT_ROUTES),)
    administrator.client(PHONE, BOB, ingresses=whole, destinations=("site:internet",))

    found = planned(administrator, "")

    assert found.client_exit is not None
    assert found.client_exit.exit.routes == ()
    assert found.filter[PHONE] == ()


def test_the_table_of_clients_leaves_out_what_others_reach_by_this_host() -> None:
    behind = prefixes("10.7.0.0/16", "fd00:7::/64")
    exit_ = planned(entered(), "").client_exit

    assert exit_ is not None
    lines = exit_changes([], exit_.exit, "mesh0", TABLE, behind)
    assert [line for line in carried_out(lines) if "throw" in line] == [
        f"throw {prefix} table {TABLE} proto 151" for prefix in behind
    ]
