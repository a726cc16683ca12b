"""The tags that a node has by its token, and those that the administrator gives it later."""

from dataclasses import replace

import pytest

from tests.mesh.network import NOW, Administrator, key_of, prefixes
from wgpy.mesh.ledger import RecordRejected, RejectionReason
from wgpy.mesh.records import Tags, decode, encode, kind_of
from wgpy.mesh.rules import lost
from wgpy.mesh.signing import SigningKey
from wgpy.mesh.topology import derive

TOKEN, LATER_TOKEN = key_of(2), key_of(3)
ANN, EVE = key_of(10), key_of(12)


@pytest.fixture
def administrator() -> Administrator:
    one = Administrator()
    one.found()
    one.invite(TOKEN, tags=("edge",))
    one.join(ANN, TOKEN)
    return one


def tags_of(administrator: Administrator, node: SigningKey) -> set[str]:
    (member,) = (one for one in administrator.topology().members if one.identity == node.verify_key())
    return set(member.tags)


def test_a_node_has_the_tags_of_its_token_until_it_is_given_others(administrator: Administrator) -> None:
    administrator.invite(LATER_TOKEN, tags=("office",))
    administrator.join(EVE, LATER_TOKEN)
    assert tags_of(administrator, EVE) == {"office"}

    administrator.tag(EVE, "edge", "k8s")
    assert tags_of(administrator, EVE) == {"edge", "k8s"}
    administrator.tag(EVE)
    assert tags_of(administrator, EVE) == set()


def test_of_a_nodes_tags_and_its_tokens_the_newer_count(administrator: Administrator) -> None:
    administrator.tag(EVE, "old")
    administrator.invite(LATER_TOKEN, tags=("office",))
    administrator.join(EVE, LATER_TOKEN)

    assert tags_of(administrator, EVE) == {"office"}


def test_tags_select_a_node_in_rules_at_once(administrator: Administrator) -> None:
    administrator.rule("tag:office", "node:n10")
    before = administrator.topology()
    administrator.tag(EVE, "office")
    administrator.invite(LATER_TOKEN)
    administrator.join(EVE, LATER_TOKEN)
    administrator.tag(EVE, "office")

    after = derive(administrator.ledger(), NOW, before)

    assert [peer.name for peer in after.peers(EVE.verify_key())] == ["n10"]


def test_who_joins_anew_under_a_name_has_no_tags_of_who_had_it(administrator: Administrator) -> None:
    administrator.tag(ANN, "office")
    administrator.remove(ANN)
    administrator.join(EVE, TOKEN, name="n10")

    assert tags_of(administrator, EVE) == {"edge"}


def test_who_loses_its_tags_can_no_longer_begin_to_whom_they_joined_it_with(
    administrator: Administrator,
) -> None:
    administrator.join(EVE, TOKEN)
    administrator.rule("tag:edge", "tag:edge")
    before = administrator.topology()
    administrator.tag(EVE)

    found = lost(before, administrator.topology())

    ann, eve = ANN.verify_key(), EVE.verify_key()
    assert found == {ann: frozenset({eve}), eve: frozenset({ann})}


def test_the_audit_log_has_what_a_token_and_later_tags_grant() -> None:
    one = Administrator()
    token = decode(one.invite(TOKEN, tags=("k8s",), routes=prefixes("10.42.0.0/16")).body)
    tags = decode(one.tag(ANN, "edge", "k8s").body)
    nothing = decode(one.tag(ANN).body)

    lines = [kind_of(record).audit(record, None, lambda _: "web") for record in (token, tags, nothing)]

    assert lines[0].endswith(" for 9 nodes with tags k8s, which may announce 10.42.0.0/16")
    assert lines[1:] == ["tags of web: edge, k8s", "tags of web: none"]


def test_a_node_cannot_give_itself_tags(administrator: Administrator) -> None:
    ledger = administrator.ledger()
    tags = Tags(
        network=administrator.network, signer=ANN.verify_key(), sequence=99, time=NOW,
        identity=ANN.verify_key(), tags=("office",),
    )  # fmt: skip

    with pytest.raises(RecordRejected) as rejected:
        ledger.add(ANN.sign(encode(tags)))
    forged = replace(tags, signer=administrator.key.verify_key())
    with pytest.raises(RecordRejected) as forgery:
        ledger.add(ANN.sign(encode(forged)))

    assert rejected.value.reason is forgery.value.reason is RejectionReason.BAD_SIGNATURE
