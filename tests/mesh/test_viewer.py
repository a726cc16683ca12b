"""What a node makes of records of nodes that no rule joins with it, of whose changes nobody tells it."""

from typing import Any

import pytest
from hypothesis import given, settings

from tests.mesh.network import NOW, Administrator, key_of, prefixes
from tests.mesh.test_topology import histories
from wgpy.keys import PublicKey
from wgpy.mesh.member import Member
from wgpy.mesh.topology import derive

OFFICE, SERVERS, OTHERS = (key_of(number) for number in (101, 102, 103))
ANN, BOB, OLD = key_of(10), key_of(11), key_of(12)
KEY = PublicKey(bytes(31) + b"\x07")


def one_with_an_old_node(
    rule: tuple[str, str] | None = ("tag:office", "tag:servers"), **old: Any
) -> Administrator:
    """Ann in the office, a server that joined as Bob did, and a node of before that no rule joins with Ann.

    old: what Ann last knew of the older node.
    """
    one = Administrator()
    one.found()
    one.invite(OTHERS, routes=prefixes("10.42.0.0/16"))
    one.invite(OFFICE, tags=("office",))
    one.invite(SERVERS, tags=("servers",), routes=prefixes("10.42.0.0/16"))
    one.join(OLD, OTHERS, **old)
    one.join(ANN, OFFICE)
    one.join(BOB, SERVERS, name="web", key=KEY, routes=prefixes("10.42.3.0/24"))
    if rule is not None:
        one.rule(*rule)
    return one


def bob_as_seen_by_ann(one: Administrator) -> Member | None:
    return derive(one.ledger(), NOW, viewer=ANN.verify_key()).member(BOB.verify_key())


@pytest.mark.parametrize(
    "old",
    [{"name": "web"}, {"key": KEY}, {"routes": prefixes("10.42.0.0/20")}],
    ids=lambda old: next(iter(old)),
)
def test_what_was_once_known_of_another_node_takes_nothing_from_a_peer(old: dict[str, Any]) -> None:
    one = one_with_an_old_node(**old)

    bob = bob_as_seen_by_ann(one)

    assert bob is not None
    assert (bob.name, bob.key, bob.routes) == ("web", KEY, prefixes("10.42.3.0/24"))
    assert bob != one.topology().member(BOB.verify_key())


@pytest.mark.parametrize("rule", [None, ("any", "any"), ("any", "tag:office")])
def test_whom_a_rule_joins_keeps_what_it_had_first(rule: tuple[str, str] | None) -> None:
    one = one_with_an_old_node(rule, name="web")

    bob = bob_as_seen_by_ann(one)

    assert bob == one.topology().member(BOB.verify_key())


def test_who_is_no_member_sees_all_others() -> None:
    one = one_with_an_old_node()
    one.remove(ANN)

    seen = derive(one.ledger(), NOW, viewer=ANN.verify_key())

    assert seen == one.topology()


@settings(deadline=None)
@given(administrator=histories())
def test_a_node_sees_the_peers_that_the_network_says_it_has(administrator: Administrator) -> None:
    ledger, topology = administrator.ledger(), administrator.topology()
    for member in topology.members:
        seen = derive(ledger, NOW, viewer=member.identity)

        peers = {peer.identity for peer in topology.peers(member.identity)}
        assert peers <= {peer.identity for peer in seen.peers(member.identity)}
