"""A rule is for an identity: no name that is taken or given up lets anybody reach anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mesh.network import DAY, NOW, Administrator, key_of
from wgmesh.snapshot import Snapshot
from wgmesh.transaction import Transaction
from wgpy.mesh.clock import written
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.records import KINDS, NAME, Rule, decode, identity_of, node_selector
from wgpy.mesh.rules import Rules, lost
from wgpy.mesh.selectors import names_of, naming, naming_only_by_name, rule_text, shown_rule
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.topology import Topology
from wgpyd.agent.membership import Membership
from wgpyd.agent.warnings import Warnings

TOKEN = key_of(2)
LAPTOP, SRV, MALLORY = key_of(10), key_of(11), key_of(12)


@pytest.fixture
def administrator() -> Administrator:
    one = Administrator()
    one.found()
    one.invite(TOKEN)
    one.join(LAPTOP, TOKEN, name="laptop")
    one.join(SRV, TOKEN, name="srv")
    one.join(MALLORY, TOKEN, name="mallory")
    return one


def begun(topology: Topology) -> set[tuple[str, str]]:
    """Who may begin to whom, by names."""
    rules = Rules(topology)
    return {
        (one.name, other.name)
        for one in topology.members
        for other in topology.members
        if one is not other and rules.allow(one, other)
    }


# -- Selectors ------------------------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=32))
def test_the_selector_of_an_identity_is_its_own_and_older_programs_read_it(identity: bytes) -> None:
    key = VerifyKey(identity)
    selector = node_selector(key)

    assert identity_of(selector) == key
    assert NAME.fullmatch(selector.removeprefix("node:"))


@pytest.mark.parametrize(
    "selector",
    [
        "any", "tag:web", "node:web", "node:", f"tag:{'a' * 52}", f"node:{'a' * 51}", f"node:{'a' * 53}",
        f"node:{'1' * 52}", f"node:{'a' * 51}b", f"node:{'A' * 52}",
    ],
)  # fmt: skip
def test_what_is_no_identity_selects_none(selector: str) -> None:
    assert identity_of(selector) is None


# -- Names ----------------------------------------------------------------------------------------


def test_a_member_that_takes_a_name_reaches_nothing_new(administrator: Administrator) -> None:
    administrator.rule(LAPTOP, SRV)
    assert begun(administrator.topology()) == {("laptop", "srv")}

    administrator.join(LAPTOP, TOKEN, name="desk", sequence=2)
    administrator.join(MALLORY, TOKEN, name="laptop", sequence=2)

    assert begun(administrator.topology()) == {("desk", "srv")}


@pytest.mark.parametrize("end", ["remove", "depart"])
def test_a_node_that_takes_the_name_of_one_that_is_gone_reaches_nothing(
    administrator: Administrator, end: str
) -> None:
    administrator.rule(LAPTOP, SRV)
    getattr(administrator, end)(LAPTOP)
    administrator.join(MALLORY, TOKEN, name="laptop", sequence=2)

    assert begun(administrator.topology()) == set()


def test_a_destination_is_bound_as_a_source_is(administrator: Administrator) -> None:
    administrator.rule("any", SRV)
    administrator.join(SRV, TOKEN, name="old", sequence=2)
    administrator.join(MALLORY, TOKEN, name="srv", sequence=2)

    assert {other for _, other in begun(administrator.topology())} == {"old"}


def test_a_name_that_looks_like_an_identity_is_none(administrator: Administrator) -> None:
    administrator.rule(LAPTOP, SRV)
    name = node_selector(LAPTOP.verify_key()).removeprefix("node:")
    administrator.join(MALLORY, TOKEN, name=name, sequence=2)

    assert begun(administrator.topology()) == {("laptop", "srv")}


def test_a_rule_of_an_older_version_is_read_as_it_was_meant(administrator: Administrator) -> None:
    administrator.rule("node:laptop", "node:srv")

    assert begun(administrator.topology()) == {("laptop", "srv")}


@pytest.mark.parametrize("host", [MALLORY, key_of(13)])
def test_at_a_coordinator_nobody_takes_the_name_in_a_rule_of_an_older_version(
    administrator: Administrator, host: object
) -> None:
    administrator.rule("node:backup", "node:srv")
    transaction = Transaction(Snapshot(Ledger(administrator.key.verify_key())), NOW)
    assert {transaction.submit(signed).verdict for signed in administrator.records} == {"new"}

    outcome = transaction.submit(administrator.join(host, TOKEN, name="backup", sequence=2))  # type: ignore[arg-type]

    assert outcome.reason.startswith("a rule of an older version is for whoever has the name backup: ")
    # Who has such a name keeps it.
    assert transaction.submit(administrator.join(SRV, TOKEN, name="srv", sequence=2)).verdict == "new"


# -- What people read -----------------------------------------------------------------------------


def test_a_rule_is_shown_with_the_name_that_its_node_has_now(administrator: Administrator) -> None:
    administrator.rule(LAPTOP, "tag:servers")
    administrator.join(LAPTOP, TOKEN, name="desk", sequence=2)
    topology = administrator.topology()

    names = names_of(administrator.ledger().nodes(), topology)

    assert shown_rule(topology.rules[0], names) == "node:desk tag:servers"
    assert rule_text("node:desk tag:servers") == "desk to tag:servers"
    assert shown_rule(topology.rules[0], {}) == f"node:{LAPTOP.verify_key()} tag:servers"


def test_a_node_that_is_gone_has_its_name_until_a_member_has_it(administrator: Administrator) -> None:
    administrator.remove(LAPTOP)
    nodes, topology = administrator.ledger().nodes(), administrator.topology()
    assert names_of(nodes, topology)[LAPTOP.verify_key()] == "laptop"

    administrator.join(MALLORY, TOKEN, name="laptop", sequence=2)
    nodes, topology = administrator.ledger().nodes(), administrator.topology()

    names = names_of(nodes, topology)
    assert names[MALLORY.verify_key()] == "laptop"
    assert LAPTOP.verify_key() not in names


def test_the_rules_for_a_node_are_found_on_both_sides(administrator: Administrator) -> None:
    administrator.rule(LAPTOP, "any")
    administrator.rule("any", LAPTOP)
    administrator.rule("any", SRV)
    administrator.rule("node:laptop", "any")
    rules = administrator.topology().rules

    assert list(naming(rules, LAPTOP.verify_key())) == list(rules[:2])
    assert list(naming_only_by_name(rules, "laptop")) == [rules[3]]


def test_the_audit_log_names_the_nodes_of_a_rule(administrator: Administrator) -> None:
    rule = decode(administrator.rule(LAPTOP, "tag:servers").body)
    assert isinstance(rule, Rule)
    kind = next(kind for kind in KINDS if kind.record is Rule)

    assert kind.audit(rule, None, lambda identity: "laptop") == "rule node:laptop to tag:servers"


def test_the_log_of_an_expiry_names_the_rules_for_the_node(caplog: pytest.LogCaptureFixture) -> None:
    limited, one = key_of(3), Administrator()
    one.found()
    one.invite(limited, lifetime=DAY)
    one.join(LAPTOP, limited, name="laptop")
    one.rule(LAPTOP, "any")
    times = [NOW]
    membership = Membership(one.ledger(), SRV.verify_key(), Warnings(), lambda: times[-1])

    membership.derive()
    assert not caplog.messages
    times.append(NOW + DAY)
    membership.derive()

    expired, now = written(NOW - DAY // 2 + DAY), written(NOW + DAY)
    (message,) = caplog.messages
    assert message == (
        f"{LAPTOP.verify_key()} is no member: its membership has expired: {expired}, and this host's clock "
        f"says {now}; rules for it: laptop to any"
    )


def test_a_node_logs_its_own_expiry_once_with_both_times(caplog: pytest.LogCaptureFixture) -> None:
    limited, one = key_of(3), Administrator()
    one.found()
    one.invite(limited, lifetime=DAY)
    one.join(LAPTOP, limited)
    warnings, now = Warnings(), [NOW]
    membership = Membership(one.ledger(), LAPTOP.verify_key(), warnings, lambda: now[0])
    own = (
        f"this node is no member: its membership has expired: {written(NOW - DAY // 2 + DAY)}, and this "
        f"host's clock says {written(NOW + DAY)}"
    )

    for now[0] in (NOW, NOW + DAY, NOW + DAY + 60):
        membership.derive()

    assert list(warnings) == [own]
    assert caplog.messages.count(own) == 1
    now[0] = NOW
    membership.derive()
    assert not list(warnings)


# -- What a change takes --------------------------------------------------------------------------


def test_a_first_rule_takes_everything_that_it_does_not_allow(administrator: Administrator) -> None:
    before = administrator.topology()
    administrator.rule(LAPTOP, SRV)
    after = administrator.topology()
    laptop, srv, mallory = (host.verify_key() for host in (LAPTOP, SRV, MALLORY))

    found = lost(before, before.with_rules(after.rules))

    assert found == lost(before, after)
    assert found == {laptop: {mallory}, srv: {laptop, mallory}, mallory: {laptop, srv}}
    assert lost(after, before) == {}
    assert begun(before.with_rules(after.rules)) == begun(after)


def test_a_rule_that_allows_everything_takes_nothing(administrator: Administrator) -> None:
    before = administrator.topology()
    administrator.rule("any", "any")

    assert lost(before, administrator.topology()) == {}
