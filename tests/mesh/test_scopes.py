"""Rules with ports: what they let begin, and that programs which know no ports let nothing begin by them."""

import json

import pytest

from tests.mesh.network import NOW, Administrator, key_of, prefixes, selector_of
from wgmesh.snapshot import Snapshot
from wgmesh.transaction import Transaction
from wgpy.contract.constants import MAX_PERMITS
from wgpy.contract.orders import Permit
from wgpy.mesh.ledger import Ledger, RecordRejected
from wgpy.mesh.member import Member
from wgpy.mesh.ports import TCP, UDP, Ports
from wgpy.mesh.records import NAME, End, Rule, Scope, Unknown, decode
from wgpy.mesh.rules import GOSSIP, Rules, lost, narrowed, reach
from wgpy.mesh.selectors import naming, parse_end, rule_text, shown_rule
from wgpy.mesh.signing import Signed
from wgpy.mesh.topology import Topology, derive

TOKEN, TAGGED = key_of(2), key_of(3)
LAPTOP, SRV, DEV = key_of(10), key_of(11), key_of(12)
POSTGRES = Ports(TCP, 5432, 5432)
SSH = Ports(TCP, 22, 22)


@pytest.fixture
def administrator() -> Administrator:
    """Who admitted laptop, srv, and dev with the tag dev."""
    one = Administrator()
    one.found()
    one.invite(TOKEN)
    one.invite(TAGGED, tags=("dev",))
    one.join(LAPTOP, TOKEN, name="laptop")
    one.join(SRV, TOKEN, name="srv")
    one.join(DEV, TAGGED, name="dev")
    return one


def members(topology: Topology) -> dict[str, Member]:
    return {member.name: member for member in topology.members}


def to_srv(administrator: Administrator, ports: str) -> str:
    return administrator.scope(f"node:{SRV.verify_key()}:{ports}")


def permits_of(topology: Topology, name: str) -> list[Permit]:
    """What a member may begin to srv, but for gossip."""
    found = Rules(topology).permits(members(topology)["srv"]).get(members(topology)[name].key)
    return [permit for permit in found or () if permit.rule != GOSSIP]


# -- What a rule with ports lets begin -------------------------------------------------------------


def test_a_rule_with_ports_lets_its_source_begin_to_these_alone(administrator: Administrator) -> None:
    administrator.rule("tag:dev", to_srv(administrator, "5432/tcp,1000-2000/udp"))
    topology = administrator.topology()
    dev, srv, laptop = (members(topology)[name] for name in ("dev", "srv", "laptop"))
    rules = Rules(topology)

    assert topology.peers(srv.identity) == (dev,)
    assert topology.peers(laptop.identity) == ()
    assert permits_of(topology, "dev") == [Permit(1, TCP, None, 5432, 5432), Permit(1, UDP, None, 1000, 2000)]
    assert rules.allow(dev, srv)
    assert not rules.allow(srv, dev)
    assert rules.between(dev, srv, POSTGRES) == topology.rules[0]
    assert rules.between(dev, srv, SSH) is None
    assert rules.between(dev, srv, Ports(TCP, 5432, 5433)) is None


def test_icmp_is_that_of_both_versions(administrator: Administrator) -> None:
    administrator.rule("any", to_srv(administrator, "icmp"))

    assert permits_of(administrator.topology(), "dev") == [Permit(1, 1), Permit(1, 58)]


def test_of_several_rules_the_first_one_that_is_for_the_port_is_named(administrator: Administrator) -> None:
    administrator.rule("tag:dev", to_srv(administrator, "22/tcp"))
    administrator.rule(DEV, to_srv(administrator, "5432/tcp"))
    administrator.rule("any", SRV)
    topology = administrator.topology()
    dev, srv = members(topology)["dev"], members(topology)["srv"]
    rules = Rules(topology)

    assert rules.between(dev, srv) == topology.rules[0]
    assert rules.between(dev, srv, SSH) == topology.rules[0]
    assert rules.between(dev, srv, POSTGRES) == topology.rules[1]
    assert rules.between(dev, srv, Ports(UDP, 53, 53)) == topology.rules[2]
    assert [permit.rule for permit in permits_of(topology, "dev")] == [1, 2, 3]
    assert [permit.rule for permit in permits_of(topology, "laptop")] == [3]


def test_a_rule_with_ports_and_one_without_are_two(administrator: Administrator) -> None:
    scope = to_srv(administrator, "22/tcp")
    administrator.rule("any", SRV)
    administrator.rule("any", scope)
    administrator.rule("any", SRV, allowed=False)
    topology = administrator.topology()

    assert [rule.destination for rule in topology.rules] == [scope]
    assert permits_of(topology, "dev") == [Permit(2, TCP, None, 22, 22)]


def test_the_same_ports_in_another_spelling_are_the_same_scope(administrator: Administrator) -> None:
    assert to_srv(administrator, "22,80/tcp") == to_srv(administrator, "80/tcp,22/tcp")
    assert to_srv(administrator, "22,80/tcp") != to_srv(administrator, "22/tcp")
    assert len(administrator.topology().ends) == 2


def test_more_permits_than_a_data_path_takes_are_those_of_the_first_rules(
    administrator: Administrator,
) -> None:
    each = ",".join(map(str, range(1, 511, 2)))  # as many ranges as one rule takes
    for number in range(MAX_PERMITS // 255 + 2):
        administrator.rule(f"node:a{number}", to_srv(administrator, f"{number + 1000}/udp"))
        shifted = ",".join(str(int(port) + 512 * number) for port in each.split(","))
        administrator.rule("any", to_srv(administrator, f"{shifted}/tcp"))

    found = Rules(administrator.topology()).permits(members(administrator.topology())["srv"])
    permits = found[members(administrator.topology())["dev"].key]

    assert permits is not None
    assert len(permits) == MAX_PERMITS
    assert [permit.rule for permit in permits] == sorted(permit.rule for permit in permits)


# -- Programs that know no ports -------------------------------------------------------------------


def of_an_older_program(signed: Signed, administrator: Administrator) -> Signed:
    """The same record as it is to a program that does not know its version."""
    body = signed.body.replace(b'"type":"scope","version":1', b'"type":"scope","version":2')
    return administrator.key.sign(body)


def test_a_program_that_knows_no_scopes_lets_nothing_begin_by_one(administrator: Administrator) -> None:
    administrator.rule("tag:dev", to_srv(administrator, "5432/tcp"))
    older = Ledger(administrator.key.verify_key())
    for signed in administrator.records:
        older.add(of_an_older_program(signed, administrator) if b'"scope"' in signed.body else signed)
    topology = derive(older, NOW)

    assert any(isinstance(decode(signed.body), Unknown) for signed in older)
    assert [rule.source for rule in topology.rules] == ["tag:dev"]
    assert all(topology.peers(member.identity) == () for member in topology.members)


def test_so_is_it_where_a_scope_is_withheld_until_it_is_there(administrator: Administrator) -> None:
    administrator.rule("tag:dev", to_srv(administrator, "5432/tcp"))
    ledger = Ledger(administrator.key.verify_key())
    scope = next(signed for signed in administrator.records if isinstance(decode(signed.body), Scope))
    for signed in administrator.records:
        if signed != scope:
            ledger.add(signed)
    before = derive(ledger, NOW)

    ledger.add(scope)

    assert all(before.peers(member.identity) == () for member in before.members)
    assert derive(ledger, NOW, before) == administrator.topology()


def test_the_selector_of_a_scope_is_a_tag_for_older_programs_and_no_identity() -> None:
    selector = parse_end("web:80/tcp").rule_selector

    assert selector.startswith("tag:scope-")
    assert NAME.fullmatch(selector.removeprefix("tag:"))


def test_a_coordinator_tells_a_node_of_peers_that_a_scope_gives_it_whichever_comes_first(
    administrator: Administrator,
) -> None:
    scope = parse_end(f"node:{SRV.verify_key()}:22/tcp")
    administrator.rule("node:gone", "any")
    transaction = Transaction(Snapshot(Ledger(administrator.key.verify_key())), NOW)
    for signed in administrator.records:
        transaction.submit(signed)
    transaction.submit(administrator.rule(DEV, scope.rule_selector))
    before = transaction.finished(1)

    transaction = Transaction(before, NOW)
    transaction.submit(administrator.sign(Scope, end=scope))
    after = transaction.finished(2)

    told = {getattr(entry.record, "name", "") for entry in after.news(DEV.verify_key(), 1)}
    assert told == {"", "srv"}


# -- Records ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selector", "within", "ports", "why"),
    [
        ("any", (), (), "needs no scope"),
        ("tag:dev", (), (), "needs no scope"),
        ("group:dev", (), (SSH,), "neither any nor node, tag, site or client"),
        ("tag:", (), (SSH,), "neither any"),
        ("node:srv", prefixes("10.0.0.0/8"), (), "prefixes are of a site"),
        ("site:office", (), (POSTGRES, SSH), "in their order"),
        ("site:office", (), (SSH, SSH), "in their order"),
        ("any", (), tuple(Ports(TCP, port, port) for port in range(1, 515, 2)), "more than 256"),
    ],
)
def test_what_is_no_scope_is_refused(
    administrator: Administrator, selector: str, within: tuple[object, ...], ports: object, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        administrator.sign(Scope, end=End(selector, within, ports))  # type: ignore[arg-type]


def test_a_scope_is_about_its_end_and_nothing_else(administrator: Administrator) -> None:
    administrator.scope("web:22/tcp")
    body = json.loads(administrator.records[-1].body)
    body["subject"] = "A" * 43 + "="
    forged = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()

    with pytest.raises(RecordRejected):
        administrator.ledger().add(administrator.key.sign(forged))


# -- What people read and write --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("any", End("any")),
        ("any:22/tcp", End("any", (), (SSH,))),
        ("web-1", End("node:web-1")),
        ("web-1:22/tcp", End("node:web-1", (), (SSH,))),
        ("node:any:22/tcp", End("node:any", (), (SSH,))),
        ("tag:dev:22/tcp", End("tag:dev", (), (SSH,))),
        ("tag:80", End("tag:80")),
        ("site:office", End("site:office")),
        ("office/192.168.1.10", End("site:office", prefixes("192.168.1.10/32"))),
        ("office/192.168.1.0/28:22/tcp", End("site:office", prefixes("192.168.1.0/28"), (SSH,))),
        ("office/[fd00::/64]:22/tcp", End("site:office", prefixes("fd00::/64"), (SSH,))),
        ("client:alice", End("client:alice")),
        (f"{SRV.verify_key()}:22/tcp", End(selector_of(SRV), (), (SSH,))),
        (f"node:{SRV.verify_key()}", End(selector_of(SRV))),
    ],
)
def test_an_end_is_read_as_it_is_meant(text: str, expected: End) -> None:
    end = parse_end(text)

    assert end == expected
    assert parse_end(end.text) == end


@pytest.mark.parametrize(
    "text", ["", ":", "tag:", "web:", "Web", "web:ssh", "office/192.168.1.1/24", "office/x"]
)
def test_what_is_no_end_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_end(text)


def test_a_rule_with_ports_is_shown_and_found_by_its_node(administrator: Administrator) -> None:
    administrator.rule("tag:dev", to_srv(administrator, "22,80/tcp"))
    topology = administrator.topology()
    (rule,) = topology.rules
    identity = SRV.verify_key()

    text = shown_rule(rule, {identity: "srv"}, topology.ends)

    assert text == "tag:dev node:srv:22/tcp,80/tcp"
    assert rule_text(text) == "tag:dev to srv:22/tcp,80/tcp"
    assert list(naming(topology.rules, identity, topology.ends)) == [rule]
    assert shown_rule(rule, {}, topology.ends) == f"tag:dev node:{identity}:22/tcp,80/tcp"


# -- What a change takes ---------------------------------------------------------------------------


def test_a_rule_with_ports_leaves_these_of_what_it_takes(administrator: Administrator) -> None:
    before = administrator.topology()
    end = parse_end(f"node:{SRV.verify_key()}:5432/tcp")
    rule = Rule(
        network=administrator.network, signer=administrator.key.verify_key(), sequence=9, time=NOW,
        source="tag:dev", destination=end.rule_selector, allowed=True,
    )  # fmt: skip
    laptop, srv, dev = (host.verify_key() for host in (LAPTOP, SRV, DEV))

    after = before.with_rules((rule,), end)

    assert lost(before, after) == {laptop: {srv, dev}, srv: {laptop, dev}, dev: {laptop}}
    assert narrowed(before, after) == {dev: {srv: (POSTGRES,)}}
    assert narrowed(after, before) == {}


def test_fewer_ports_are_a_loss_and_more_are_none(administrator: Administrator) -> None:
    administrator.rule("tag:dev", to_srv(administrator, "5432/tcp"))
    before = administrator.topology()
    administrator.rule("any", to_srv(administrator, "22/tcp"))
    after = administrator.topology()
    srv, dev = SRV.verify_key(), DEV.verify_key()

    assert narrowed(before, after) == {}
    assert lost(before, after) == {}
    assert narrowed(after, before) == {dev: {srv: (POSTGRES,)}}
    assert lost(after, before) == {LAPTOP.verify_key(): {srv}}


def test_a_rule_without_ports_beside_one_with_them_is_for_all_ports(administrator: Administrator) -> None:
    administrator.rule(DEV, to_srv(administrator, "22/tcp"))
    administrator.rule("any", SRV)
    topology = administrator.topology()

    found = reach(topology, members(topology)["dev"])

    assert (found.whole, found.ports) == (frozenset({SRV.verify_key()}), {})
