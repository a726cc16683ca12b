"""A topology that grew is the one that all records give, whatever happened and whoever looks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mesh.network import DAY, EVERYTHING, NOW, Administrator, ingress_of, key_of, prefixes, site
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PublicKey
from wgpy.mesh.ledger import MAX_CHANGES, Ledger, Verdict
from wgpy.mesh.signing import SigningKey, VerifyKey
from wgpy.mesh.topology import Topology, derive

TOKENS = [key_of(number) for number in (2, 3, 4)]
HOSTS = [key_of(number) for number in range(10, 22)]
NAMES = ["a", "b", "c", "d", "e", "f", "g", "h"]
SELECTORS: list[str | SigningKey] = ["any", "tag:edge", "tag:k8s", "node:a", "node:b", HOSTS[0], HOSTS[1]]
CLIENT = PublicKey(b"\x05" + bytes(30) + b"\x01")


# -- Any history ----------------------------------------------------------------------------------


@dataclass
class Writer:
    """Signs what an administrator and hosts, honest or not, may say."""

    draw: st.DrawFn
    one: Administrator

    def say(self) -> None:
        often = ["join"] * 10 + ["move"] * 3 + ["paths"] * 2
        seldom = ["invite", "revoke", "remove", "depart", "tag", "rule", "relay", "client", "site", "approve"]
        getattr(self, self.draw(st.sampled_from([*often, *seldom, "scope"])))()

    def host(self) -> SigningKey:
        return self.draw(st.sampled_from(HOSTS))

    def join(self) -> None:
        """Most hosts take nothing from another."""
        host, number = self.host(), self.draw(st.integers(0, 9))
        key = self.draw(st.sampled_from([CLIENT, PublicKey(bytes(31) + b"\x07")]))
        self.one.join(
            host, self.draw(st.sampled_from(TOKENS)), sequence=self.draw(st.integers(1, 3)),
            admitted=NOW + self.draw(st.integers(-3, 3)),
            **({} if number else {"name": self.draw(st.sampled_from(NAMES))}),
            **({} if number != 1 else {"address": IPv4Address("100.80.0.0") + self.draw(st.integers(0, 12))}),
            **({} if number != 2 else {"key": key}),
            **({} if number != 3 else {"routes": prefixes("10.42.0.0/16")}),
        )  # fmt: skip

    def move(self) -> None:
        endpoint = Endpoint("192.0.2.1", self.draw(st.integers(1, 3)))
        token, sequence = self.draw(st.sampled_from(TOKENS)), self.draw(st.integers(2, 6))
        self.one.join(self.host(), token, sequence=sequence, endpoints=(endpoint,))

    def paths(self) -> None:
        relays = [(self.host(), 5)] if self.draw(st.booleans()) else []
        self.one.register(self.host(), *relays, sequence=self.draw(st.integers(1, 4)))

    def invite(self) -> None:
        self.one.invite(
            self.draw(st.sampled_from(TOKENS)), routes=self.draw(st.sampled_from([(), EVERYTHING])),
            lifetime=self.draw(st.sampled_from([0, DAY])), tags=self.draw(st.sampled_from([(), ("edge",)])),
        )  # fmt: skip

    def revoke(self) -> None:
        self.one.revoke(self.draw(st.sampled_from(TOKENS)), self.host().verify_key())

    def remove(self) -> None:
        self.one.remove(self.host())

    def depart(self) -> None:
        self.one.depart(self.host())

    def tag(self) -> None:
        self.one.tag(self.host(), *self.draw(st.sampled_from([(), ("edge",), ("edge", "k8s")])))

    def rule(self) -> None:
        ends = st.sampled_from(SELECTORS)
        self.one.rule(self.draw(ends), self.draw(ends), allowed=self.draw(st.booleans()))

    def relay(self) -> None:
        self.one.relay(self.draw(st.sampled_from([*HOSTS, *TOKENS])), allowed=self.draw(st.booleans()))

    def client(self) -> None:
        ingress = ingress_of(CLIENT, self.host())
        if self.draw(st.booleans()):
            ingress = replace(ingress, address=IPv4Address("100.80.0.0") + self.draw(st.integers(10, 21)))
        self.one.client(
            CLIENT, HOSTS[0], name=self.draw(st.sampled_from(["x", "a", "n12"])), ingresses=(ingress,),
            expires=self.draw(st.sampled_from([0, NOW + 1])), destinations=("node:b",),
            removed=self.draw(st.booleans()),
        )  # fmt: skip

    def site(self) -> None:
        sites = [site("office", "192.168.7.0/24")] if self.draw(st.booleans()) else []
        self.one.announce(self.host(), *sites, sequence=self.draw(st.integers(1, 3)))

    def approve(self) -> None:
        self.one.approve(self.host(), "192.168.7.0/24")

    def scope(self) -> None:
        ends = ["tag:edge:22", "site:office", f"client:{CLIENT.base64()}"]
        scope = self.one.scope(self.draw(st.sampled_from(ends)))
        self.one.rule(*self.draw(st.permutations([scope, "any"])))


@st.composite
def histories(draw: st.DrawFn) -> Administrator:
    one = Administrator()
    one.found()
    for token in TOKENS[: draw(st.integers(1, 3))]:
        tags = draw(st.sampled_from([(), ("edge",)]))
        one.invite(token, lifetime=draw(st.sampled_from([0, DAY])), tags=tags)
    writer = Writer(draw, one)
    for _ in range(draw(st.integers(1, 25))):
        writer.say()
    return one


TIMES = st.sampled_from([0, NOW - 3, NOW, NOW, NOW, NOW, NOW, NOW + 1, NOW + 2, NOW + DAY - 1, NOW + DAY + 1])
VIEWERS = st.sampled_from([None, HOSTS[0].verify_key(), HOSTS[1].verify_key()])


@settings(deadline=None)
@given(administrator=histories(), viewer=VIEWERS, data=st.data())
def test_what_grew_record_by_record_is_what_all_records_give(
    administrator: Administrator, viewer: VerifyKey | None, data: st.DataObject
) -> None:
    """While the clock goes on, back, or was never set."""
    ledger, topology = Ledger(administrator.key.verify_key()), None
    for signed in administrator.records:
        ledger.add(signed)
        now = data.draw(TIMES)
        topology = derive(ledger, now, topology, viewer)
        assert_same(topology, derive_anew(ledger, now, viewer), now)


@settings(deadline=None)
@given(administrator=histories(), viewer=VIEWERS, data=st.data())
def test_who_missed_records_and_hears_them_in_any_order_derives_the_same(
    administrator: Administrator, viewer: VerifyKey | None, data: st.DataObject
) -> None:
    """Also who hears some twice, and whose topology is of a copy of its ledger."""
    records = data.draw(st.permutations(administrator.records))
    ledger, topology = Ledger(administrator.key.verify_key()), None
    while records:
        count = data.draw(st.integers(1, 6))
        for signed in [*records[:count], *records[:1]]:
            ledger.add(signed)
        records = records[count:]
        now = data.draw(TIMES)
        topology = derive(ledger.copy() if data.draw(st.booleans()) else ledger, now, topology, viewer)
        assert_same(topology, derive_anew(ledger, now, viewer), now)


@settings(deadline=None)
@given(administrator=histories(), data=st.data())
def test_what_was_tried_and_taken_back_leaves_nothing(
    administrator: Administrator, data: st.DataObject
) -> None:
    ledger, untouched = (Ledger(administrator.key.verify_key()) for _ in range(2))
    topology = derive(ledger, NOW)
    for signed in administrator.records:
        judged, last = ledger.judge(signed), ledger.last_change
        if judged.verdict is not Verdict.NEW:
            continue
        ledger.keep(judged)
        tried = derive(ledger, NOW, topology)
        if ledger.is_admin_record(judged) or data.draw(st.booleans()):
            untouched.add(signed)
            topology = tried
        else:
            ledger.take_back(last)
        assert list(ledger) == list(untouched)
        assert ledger.state_digest() == untouched.state_digest()
        assert_same(derive(ledger, NOW, topology), derive_anew(untouched, NOW, None), NOW)


# -- What grows -----------------------------------------------------------------------------------


@pytest.fixture
def administrator() -> Administrator:
    one = Administrator()
    one.found()
    for number, token in enumerate(TOKENS):
        one.invite(token, tags=(f"t{number}",), uses=9 + MAX_CHANGES)
    for host in HOSTS[:6]:
        one.join(host, TOKENS[1])
    return one


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("rules", [[], [("tag:t0", "tag:t1")], [("any", "tag:t2"), ("tag:t1", "any")]])
def test_a_node_that_joins_is_all_that_changes(
    administrator: Administrator, token: SigningKey, rules: Sequence[tuple[str, str]]
) -> None:
    """Among the first, the last, or between others, as its token is."""
    for rule in rules:
        administrator.rule(*rule)
    ledger = administrator.ledger()
    before = derive(ledger, NOW)
    ledger.add(administrator.join(HOSTS[7], token))

    after = derive(ledger, NOW, before)

    assert after.changed == frozenset([HOSTS[7].verify_key()])
    assert_same(after, derive_anew(ledger, NOW, None), NOW)
    assert len(before.members) + 1 == len(after.members)


def test_nodes_that_return_with_other_endpoints_and_paths_are_all_that_changes(
    administrator: Administrator,
) -> None:
    ledger = administrator.ledger()
    before = derive(ledger, NOW)
    for host in HOSTS[:3]:
        ledger.add(administrator.join(host, TOKENS[1], sequence=2, endpoints=(Endpoint("192.0.2.9", 9),)))
        ledger.add(administrator.register(host))

    after = derive(ledger, NOW, before)

    assert after.changed == frozenset(host.verify_key() for host in HOSTS[:3])
    assert_same(after, derive_anew(ledger, NOW, None), NOW)


def test_who_takes_what_another_has_has_all_judged_anew(administrator: Administrator) -> None:
    ledger = administrator.ledger()
    before = derive(ledger, NOW)
    of_another = PublicKey((11).to_bytes(32, "little"))
    ledger.add(administrator.join(HOSTS[7], TOKENS[0], name="n10", key=of_another))

    after = derive(ledger, NOW, before)

    assert after.changed is None
    assert_same(after, derive_anew(ledger, NOW, None), NOW)


def test_more_changes_than_are_known_have_all_judged_anew(administrator: Administrator) -> None:
    ledger = administrator.ledger()
    before = derive(ledger, NOW)
    moved = (
        administrator.join(HOSTS[0], TOKENS[1], sequence=2 + number, endpoints=(Endpoint("192.0.2.9", 9),))
        for number in range(MAX_CHANGES + 1)
    )
    for signed in moved:
        ledger.add(signed)

    assert derive(ledger, NOW, before).changed is None
    assert_same(derive(ledger, NOW, before), derive_anew(ledger, NOW, None), NOW)


# -- Helpers --------------------------------------------------------------------------------------


def derive_anew(ledger: Ledger, now: int, viewer: VerifyKey | None) -> Topology:
    """Return what a process derives that begins with these records."""
    other = Ledger(ledger.key)
    for signed in ledger:
        other.add(signed)
    return derive(other, now, viewer=viewer)


def assert_same(one: Topology, other: Topology, now: int) -> None:
    assert set(one.rules) == set(other.rules)
    assert replace(one, rules=(), rule_numbers=()) == replace(other, rules=(), rule_numbers=())
    assert one.until == other.until
    assert one.holds_at(now) == other.holds_at(now)
    for member in other.members:
        assert one.member(member.identity) == member
        assert one.peers(member.identity) == other.peers(member.identity)
        assert one.joined_peers(member.identity) == other.joined_peers(member.identity)
        assert one.destinations(member) == other.destinations(member)
        for selector in member.selectors:
            assert one.selected(selector) == other.selected(selector)
