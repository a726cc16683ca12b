"""Clients: who is one, by which node the others reach it, and what it may begin.

Alice's phone and Bob's laptop enter by Gate. Web and Db are nodes that may be reached; Db has routes.
"""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, ip_address

import pytest

from tests.mesh.network import ADDRESSES6, NOW, Administrator, key_of, prefixes, site
from wgpy.contract.constants import MAX_PERMITS
from wgpy.contract.orders import AllowedIP, Permit
from wgpy.keys import PublicKey
from wgpy.mesh.addressing import client_address6
from wgpy.mesh.clients import ClientExclusion, Clients
from wgpy.mesh.plan import LocalView, NodePlan, Routing, Tunnel, plan
from wgpy.mesh.records import Client, Ingress, client_key_of, client_selector, decode, node_selector
from wgpy.mesh.signing import SigningKey
from wgpyd.agent.client_status import unfiltered

TOKEN, GATE, WEB, DB = key_of(2), key_of(11), key_of(12), key_of(13)
ALICE, BOB = (PublicKey(bytes((number,)) + bytes(31)) for number in (5, 6))
BEHIND_DB = "10.42.3.0/24"
OF_WEB, OF_DB, OF_GATE = "100.80.0.12", "100.80.0.13", "100.80.0.11"
OF_ALICE, OF_BOB = "100.80.200.5", "100.80.200.6"


@pytest.fixture
def admin() -> Administrator:
    one = Administrator()
    one.found()
    one.invite(TOKEN, routes=prefixes("10.42.0.0/16"))
    one.join(GATE, TOKEN, name="gate")
    one.join(WEB, TOKEN, name="web")
    one.join(DB, TOKEN, name="db", routes=prefixes(BEHIND_DB))
    return one


# -- Who is a client ---------------------------------------------------------------------------------


def test_a_client_is_a_peer_of_its_gateway_and_behind_it_for_the_others(admin: Administrator) -> None:
    admin.client(ALICE, GATE)

    address6 = client_address6(ADDRESSES6, ALICE, GATE.verify_key())
    allowed = {ip(OF_ALICE), AllowedIP(address6.packed, 128)}
    assert planned(admin, GATE).tunnels[ALICE] == Tunnel(frozenset(allowed), ())
    assert ALICE not in planned(admin, WEB).tunnels
    assert allowed < planned(admin, WEB).tunnels[key(GATE)].allowed_ips
    assert not allowed & planned(admin, WEB).tunnels[key(DB)].allowed_ips


def test_a_client_has_an_address_of_its_own_at_each_gateway(admin: Administrator) -> None:
    gateways = [ingress(GATE), replace(ingress(WEB), address=IPv4Address("100.80.200.9"))]
    admin.client(ALICE, GATE, ingresses=tuple(gateways))

    assert ip(OF_ALICE) in planned(admin, DB).tunnels[key(GATE)].allowed_ips
    assert ip("100.80.200.9") in planned(admin, DB).tunnels[key(WEB)].allowed_ips
    assert planned(admin, GATE).tunnels[ALICE].allowed_ips == {
        ip(OF_ALICE), AllowedIP(gateways[0].address6.packed, 128),
    }  # fmt: skip


def test_a_client_that_expires_is_none_from_that_second_on(admin: Administrator) -> None:
    admin.client(ALICE, GATE, expires=NOW + 60)

    assert admin.topology().until == NOW + 60
    assert ALICE in planned(admin, GATE, NOW + 59).tunnels
    assert ALICE not in planned(admin, GATE, NOW + 60).tunnels
    assert planned(admin, WEB, NOW + 60).tunnels[key(GATE)] == planned(fresh(admin), WEB).tunnels[key(GATE)]


def test_a_client_that_is_removed_is_none(admin: Administrator) -> None:
    admin.client(ALICE, GATE)
    admin.client(ALICE, GATE, removed=True, ingresses=())

    assert admin.topology().clients == ()
    assert excluded(admin) == {ALICE: ClientExclusion.REMOVED}


def test_a_client_whose_gateway_leaves_is_none(admin: Administrator) -> None:
    admin.client(ALICE, GATE)
    admin.remove(GATE)

    assert excluded(admin) == {ALICE: ClientExclusion.NO_INGRESS}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": "web"}, ClientExclusion.NAME_TAKEN),
        ({"name": "c6"}, ClientExclusion.NAME_TAKEN),
        ({"ingresses": "100.80.0.12"}, ClientExclusion.NO_INGRESS),
        ({"ingresses": OF_BOB}, ClientExclusion.NO_INGRESS),
        ({"ingresses": "192.0.2.1"}, ClientExclusion.NO_INGRESS),
    ],
)
def test_a_client_takes_nothing_from_nodes_and_from_earlier_clients(
    admin: Administrator, fields: dict[str, object], reason: ClientExclusion
) -> None:
    admin.client(BOB, GATE)
    if isinstance(address := fields.get("ingresses"), str):
        fields = {"ingresses": (replace(ingress(GATE), address=IPv4Address(address)),)}

    admin.client(ALICE, GATE, **fields)

    assert excluded(admin) == {ALICE: reason}
    assert [client.key for client in admin.topology().clients] == [BOB]


def test_a_client_has_no_address_that_is_derived_for_another(admin: Administrator) -> None:
    address6 = client_address6(ADDRESSES6, BOB, GATE.verify_key())
    admin.client(ALICE, GATE, ingresses=(replace(ingress(GATE), address6=address6),))

    assert excluded(admin) == {ALICE: ClientExclusion.NO_INGRESS}


def test_the_key_of_a_node_is_no_clients(admin: Administrator) -> None:
    admin.client(key(WEB), GATE)

    assert excluded(admin) == {key(WEB): ClientExclusion.KEY_TAKEN}


def test_the_selector_of_a_client_has_one_spelling() -> None:
    selector = client_selector(ALICE)

    assert client_key_of(selector) == ALICE
    assert client_key_of(selector.upper()) is client_key_of("client:alice") is client_key_of("any") is None


# -- What it may begin -------------------------------------------------------------------------------


def test_without_rules_and_destinations_everybody_may_begin_to_everybody(admin: Administrator) -> None:
    admin.client(ALICE, GATE)

    assert planned(admin, GATE).filter == {ALICE: None, key(WEB): None, key(DB): None}


def test_a_client_with_destinations_begins_to_these_alone(admin: Administrator) -> None:
    admin.client(ALICE, GATE, destinations=(node_selector(DB.verify_key()),))

    assert begun(admin, GATE, ALICE, OF_DB, "10.42.3.7", OF_WEB, OF_GATE, OF_BOB) == {OF_DB, "10.42.3.7"}


def test_a_tag_as_destination_is_for_nodes_that_get_it_later(admin: Administrator) -> None:
    admin.client(ALICE, GATE, destinations=("tag:servers",))
    assert begun(admin, GATE, ALICE, OF_WEB, OF_DB) == set()

    admin.tag(WEB, "servers")

    assert begun(admin, GATE, ALICE, OF_WEB, OF_DB) == {OF_WEB}


def test_a_destination_with_ports_is_these_ports_alone_at_its_gateway_and_at_the_node(
    admin: Administrator,
) -> None:
    admin.rule("tag:nobody", "any")
    ports = admin.scope(f"node:{DB.verify_key()}:5432/tcp")
    admin.client(ALICE, GATE, destinations=(ports,))

    for node, peer in ((GATE, ALICE), (DB, key(GATE))):
        permits = planned(admin, node).filter[peer]
        assert permits is not None
        found = {(one.protocol, one.first_port, one.last_port) for one in permits if one.rule}
        assert found == {(6, 5432, 5432)}
    assert begun(admin, GATE, ALICE, OF_DB, OF_WEB) == {OF_DB}
    assert GATE.verify_key() in peers(admin, DB)
    assert WEB.verify_key() not in peers(admin, GATE)


def test_a_part_of_a_site_as_destination_is_no_more_of_the_site(admin: Administrator) -> None:
    admin.announce(DB, site("office", "10.42.7.0/24", mapped=("100.96.4.0/24",)))
    part = admin.scope("office/10.42.7.9:443/tcp")

    admin.client(ALICE, GATE, destinations=(part,))

    assert begun(admin, GATE, ALICE, "100.96.4.9", "100.96.4.8", OF_DB) == {"100.96.4.9"}


def test_a_destination_whose_scope_is_withheld_is_nobody(admin: Administrator) -> None:
    part = admin.scope("tag:servers:80/tcp")
    admin.tag(WEB, "servers")
    admin.records.pop(-2)  # the scope's

    admin.client(ALICE, GATE, destinations=(part,))

    assert begun(admin, GATE, ALICE, OF_WEB, OF_DB, OF_GATE) == set()


def test_a_client_may_ask_its_gateway_for_names(admin: Administrator) -> None:
    admin.client(ALICE, GATE, destinations=("tag:servers",), ingresses=(replace(ingress(GATE), names=True),))

    permits = planned(admin, GATE).filter[ALICE]
    assert permits is not None
    assert {(one.protocol, one.first_port, one.last_port) for one in permits} == {(6, 53, 53), (17, 53, 53)}
    assert begun(admin, GATE, ALICE, OF_GATE, OF_WEB) == {OF_GATE}


def test_rules_for_a_client_have_a_direction(admin: Administrator) -> None:
    admin.client(ALICE, GATE)
    admin.client(BOB, GATE)
    admin.rule(WEB, admin.scope(client_selector(ALICE)))
    admin.rule(admin.scope(client_selector(BOB)), DB)

    assert begun(admin, GATE, key(WEB), OF_ALICE, OF_BOB, OF_GATE) == {OF_ALICE}
    assert begun(admin, GATE, ALICE, OF_WEB, OF_DB, OF_GATE, OF_BOB) == set()
    assert begun(admin, GATE, BOB, OF_WEB, OF_DB, OF_GATE, OF_ALICE) == {OF_DB}
    assert begun(admin, DB, key(GATE), OF_DB, "10.42.3.7") == {OF_DB, "10.42.3.7"}
    assert begun(admin, WEB, key(GATE), OF_WEB) == set()


def test_a_gateway_may_begin_nothing_that_only_its_clients_may(admin: Administrator) -> None:
    admin.announce(DB, site("office", "10.42.7.0/24", mapped=("100.96.4.0/24",)))
    admin.client(ALICE, GATE, destinations=("site:office",))
    admin.client(BOB, WEB, name="bob")
    admin.rule(admin.scope(client_selector(ALICE)), DB)
    admin.rule(admin.scope(client_selector(ALICE)), admin.scope(client_selector(BOB)))

    for node, addresses in ((DB, {OF_DB, "100.96.4.9"}), (WEB, {OF_BOB})):
        assert begun(admin, node, key(GATE), *addresses, source=OF_ALICE) == addresses
        assert begun(admin, node, key(GATE), *addresses, source=OF_GATE) == set()
        assert begun(admin, node, key(GATE), *addresses, source="100.80.200.9") == set()


def test_a_gateway_keeps_what_rules_let_it_begin_itself(admin: Administrator) -> None:
    admin.client(ALICE, GATE, destinations=("tag:servers",))
    admin.rule(GATE, DB)

    assert begun(admin, DB, key(GATE), OF_DB, source=OF_GATE) == {OF_DB}


def test_a_gateway_asks_for_the_names_of_a_site_for_its_clients(admin: Administrator) -> None:
    named = site("office", "10.42.7.0/24", servers=(IPv4Address("10.42.7.53"),), zones=("office.example",))
    admin.announce(DB, named)
    admin.approve_zones(DB, "office.example")
    admin.client(ALICE, GATE, destinations=("site:office",))
    admin.rule("tag:nobody", "any")

    permits = planned(admin, DB).filter[key(GATE)]

    assert permits is not None
    own = {(one.protocol, one.first_port, one.last_port) for one in permits if one.rule and not one.source}
    assert own == {(6, 53, 53), (17, 53, 53)}


def test_clients_reach_each_other_if_a_rule_says_so_also_by_different_gateways(admin: Administrator) -> None:
    admin.client(ALICE, GATE)
    admin.client(BOB, WEB)
    admin.rule(*map(admin.scope, (client_selector(ALICE), client_selector(BOB))))

    assert begun(admin, GATE, ALICE, OF_BOB, OF_WEB) == {OF_BOB}
    assert begun(admin, WEB, key(GATE), OF_BOB, OF_WEB) == {OF_BOB}
    assert begun(admin, GATE, key(WEB), OF_ALICE) == set()


def test_destinations_count_beside_rules(admin: Administrator) -> None:
    admin.client(ALICE, GATE, destinations=(node_selector(DB.verify_key()),))
    admin.rule("tag:nobody", "any")

    assert begun(admin, GATE, ALICE, OF_DB, OF_WEB) == {OF_DB}
    assert begun(admin, DB, key(GATE), OF_DB) == {OF_DB}


def test_a_rule_for_any_is_for_clients_without_destinations(admin: Administrator) -> None:
    admin.client(ALICE, GATE, destinations=("tag:servers",))
    admin.client(BOB, GATE)
    admin.rule("any", DB)
    admin.rule(DB, "any")

    assert begun(admin, GATE, ALICE, OF_DB) == set()
    assert begun(admin, GATE, BOB, OF_DB, OF_WEB) == {OF_DB}
    assert begun(admin, GATE, key(DB), OF_ALICE, OF_BOB, OF_GATE) == {OF_BOB, OF_GATE}


def test_whom_a_client_joins_know_each_other_though_no_rule_joins_them(admin: Administrator) -> None:
    admin.rule("tag:nobody", "any")
    admin.rule(WEB, DB)  # so that neither is without a rule
    assert WEB.verify_key() not in peers(admin, GATE)

    admin.client(ALICE, GATE, destinations=(node_selector(WEB.verify_key()),))

    assert peers(admin, GATE) >= {WEB.verify_key()}
    assert GATE.verify_key() in peers(admin, WEB)
    assert ip(OF_ALICE) in planned(admin, WEB).tunnels[key(GATE)].allowed_ips


@pytest.mark.parametrize("is_with_rules", [False, True])
def test_a_client_may_begin_to_a_site_and_the_sites_gateway_lets_it_in(
    admin: Administrator, is_with_rules: bool
) -> None:
    admin.announce(DB, site("office", "10.42.7.0/24", mapped=("100.96.4.0/24",)))
    admin.client(ALICE, GATE, destinations=("site:office",))
    if is_with_rules:
        admin.rule("tag:nobody", "any")

    assert begun(admin, GATE, ALICE, "100.96.4.9", OF_DB, OF_WEB) == {"100.96.4.9"}
    assert "100.96.4.9" in begun(admin, DB, key(GATE), "100.96.4.9")
    assert DB.verify_key() in peers(admin, GATE)
    if is_with_rules:
        assert begun(admin, DB, key(GATE), OF_DB) == set()
        assert WEB.verify_key() not in peers(admin, GATE)


def test_a_client_that_may_begin_to_more_than_can_be_filtered_is_reported(admin: Administrator) -> None:
    admin.client(ALICE, GATE, destinations=("tag:crowd",))
    plan = planned(admin, GATE)
    assert list(unfiltered(admin.topology(), plan)) == []

    full = replace(plan, filter={ALICE: tuple(map(Permit, range(MAX_PERMITS)))})

    (sentence,) = unfiltered(admin.topology(), full)
    assert sentence.startswith(f"the client c5 may begin to more than {MAX_PERMITS} prefixes")
    full = replace(plan, filter={key(WEB): tuple(map(Permit, range(MAX_PERMITS)))})
    (sentence,) = unfiltered(admin.topology(), full)
    assert sentence.startswith(f"rules let web begin to more than {MAX_PERMITS} ports here")


def test_a_client_is_given_as_many_permits_as_a_peer_may_have(admin: Administrator) -> None:
    selectors = tuple(sorted(node_selector(key_of(1000 + number).verify_key()) for number in range(200)))
    for number in range(200):
        admin.join(key_of(1000 + number), TOKEN, routes=prefixes(f"10.42.{number + 4}.0/28"))
    admin.client(ALICE, GATE, destinations=selectors)

    permits = planned(admin, GATE).filter[ALICE]

    assert permits is not None
    assert len(permits) == min(MAX_PERMITS, 3 * len(selectors))


# -- Helpers -----------------------------------------------------------------------------------------


def ip(address: str) -> AllowedIP:
    packed = ip_address(address).packed
    return AllowedIP(packed, 8 * len(packed))


def key(identity: SigningKey) -> PublicKey:
    """The WireGuard key of a node of `Administrator.node`."""
    return PublicKey(bytes(identity)[::-1])


def ingress(gateway: SigningKey) -> Ingress:
    client = decode(Administrator().client(ALICE, gateway).body)
    assert isinstance(client, Client)
    return client.ingresses[0]


def fresh(admin: Administrator) -> Administrator:
    """As it was before the last record."""
    del admin.records[-1]
    return admin


def peers(admin: Administrator, node: SigningKey) -> set[object]:
    return {peer.identity for peer in admin.topology().peers(node.verify_key())}


def excluded(admin: Administrator) -> dict[PublicKey, ClientExclusion]:
    ledger = admin.ledger()
    charter = ledger.charter()
    assert charter is not None
    return Clients(
        charter, admin.topology().members, ledger.admin_records(Client).values(), admin.now
    ).excluded


def planned(admin: Administrator, node: SigningKey, now: int = NOW) -> NodePlan:
    topology, charter = admin.topology(now), admin.ledger().charter()
    member = topology.member(node.verify_key())
    assert charter is not None
    assert member is not None
    view = LocalView(member.identity, member.address, {}, frozenset(), frozenset((4, 6)), Routing(7, 8))
    return plan(charter, topology, view, NodePlan.empty())


def begun(
    admin: Administrator, node: SigningKey, peer: PublicKey, *addresses: str, source: str = ""
) -> set[str]:
    """Return to which of these addresses a peer of a node may begin anything there.

    source: the address by which it begins, "" for any.
    """
    permits = planned(admin, node).filter.get(peer, ())
    if permits is None:
        return set(addresses)
    by = [one for one in permits if not (source and one.source) or _contains(one.source, source)]
    return {one for one in addresses if _let_in(by, one)}


def _let_in(permits: Sequence[Permit], address: str) -> bool:
    return any(
        permit.destination is None or _contains(permit.destination, address)
        for permit in permits
        if permit.rule or permit.destination is None
    )


def _contains(prefix: AllowedIP, address: str) -> bool:
    packed = ip_address(address).packed
    if len(packed) != len(prefix.address):
        return False
    shift = 8 * len(packed) - prefix.prefix_length
    return int.from_bytes(packed) >> shift == int.from_bytes(prefix.address) >> shift
