"""No value that somebody signs ends, stalls or misleads who reads it; what is invalid is refused."""

import json
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mesh.coordinator import ALICE, BOB, NEW, Site, founded, in_a_loop
from tests.mesh.coordinator import TOKEN as SITE_TOKEN
from tests.mesh.network import EVERYTHING, NOW, Administrator, key_of, prefixes
from tests.mesh.test_agent import Scene, in_a_scene, own_record, until
from tests.mesh.test_record_bytes import one_of_each
from wgmesh import store
from wgmesh.audit import ADMINISTRATOR
from wgmesh.snapshot import Snapshot
from wgmesh.store import AuditEntry
from wgmesh.transaction import TOO_OFTEN, Transaction
from wgpy.address import overlap, parse_global_endpoint
from wgpy.mesh import codec
from wgpy.mesh.addressing import NEVER_ANNOUNCED
from wgpy.mesh.codec import MAX_NUMBER
from wgpy.mesh.ledger import Ledger, RecordRejected, RejectionReason
from wgpy.mesh.plan import LocalView, NodePlan, Routing, plan
from wgpy.mesh.records import Network, Node, RecordInvalid, decode, encode
from wgpy.mesh.signing import Signed, SigningKey
from wgpy.mesh.topology import derive
from wgpy.node.agent_client import AgentError
from wgpy.node.coordinator_client import Outcome
from wgpy.node.files import NodeFile

TOKEN, HOST, OTHER = key_of(2), key_of(3), key_of(4)
NUMBERS: Final = (0, 1, 2**31, 2**32, NOW, MAX_NUMBER - 1, MAX_NUMBER)
ENDPOINTS: Final = ((), ("[fe80::1]:1", "127.0.0.1:65535"))
MAPPED: Final = "::ffff:0:0/96"  # which no record can have
WIDE: Final = ("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "168.0.0.0/6", "::/0", "f000::/4", "fd00::/8")


# -- Sequence numbers ------------------------------------------------------------------------------


@in_a_scene
async def test_a_record_that_none_can_follow_ends_no_agent_which_says_how_to_go_on(world: Scene) -> None:
    theirs = replace(own_record(world), sequence=MAX_NUMBER, name="copy")
    async with world.agent() as agent:
        await until(agent, lambda status: status.connected)

        world.coordinator.send(world.node.identity.sign(encode(theirs)))

        status = await until(agent, lambda status: any("identity key" in each for each in status.warnings))
        assert any("join anew" in each for each in status.warnings)
        with pytest.raises(AgentError, match="join anew"):
            await agent.control.rename("other")
        assert NodeFile.load(world.folder).name == world.node.name
        await agent.control.leave()


@in_a_scene
async def test_the_last_sequence_number_but_one_can_be_followed(world: Scene) -> None:
    theirs = replace(own_record(world), sequence=MAX_NUMBER - 1, name="copy")
    async with world.agent() as agent:
        await until(agent, lambda status: status.connected)

        signed = world.node.identity.sign(encode(theirs))
        world.coordinator.send(signed)

        while own_record(world).sequence < MAX_NUMBER:
            await world.coordinator.changed()
        assert own_record(world).name == world.node.name


# -- Prefixes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", sorted({*map(str, NEVER_ANNOUNCED), "127.0.0.1/32", *WIDE} - {MAPPED}))
def test_what_is_a_hosts_own_or_its_links_is_routed_to_nobody_even_if_it_is_allowed(route: str) -> None:
    administrator = Administrator()
    administrator.found()
    administrator.invite(TOKEN, routes=(*prefixes("0.0.0.0/0", "::/0"), *EVERYTHING))
    administrator.approve(HOST, "0.0.0.0/0", "::/0", *map(str, EVERYTHING))
    administrator.join(HOST, TOKEN, routes=prefixes(route, "10.0.0.0/8", "2001:db8::/32"))

    (member,) = administrator.topology().members

    assert member.routes == prefixes("10.0.0.0/8", "2001:db8::/32")
    assert member.requested == prefixes(route)


@in_a_loop
async def test_a_coordinator_says_why_a_prefix_cannot_be_announced(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, _):
        outcomes = await site.submit(
            site.administrator.join(ALICE, SITE_TOKEN, sequence=2, routes=prefixes("127.0.0.0/8"))
        )

        reason = "127.0.0.0/8 cannot be announced: it overlaps 127.0.0.0/8, which is loopback"
        assert outcomes == [Outcome("refused", reason)]


@pytest.mark.parametrize(
    "endpoint", ["224.0.0.1:1", "[ff02::1]:1", "0.0.0.0:1", "[::]:1", "255.255.255.255:1", "192.0.2.1:0"]
)
def test_an_endpoint_is_the_address_of_one_host(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"not the address of a host|want a port"):
        parse_global_endpoint(endpoint)


# -- Text ------------------------------------------------------------------------------------------


def half_a_character(administrator: Administrator, key: SigningKey) -> Signed:
    """A record of a type that is no text, in JSON that is well-formed."""
    body = {
        "network": codec.BYTES.write(administrator.network), "signer": str(key.verify_key()),
        "type": "\ud800", "version": 1,
    }  # fmt: skip
    return key.sign(json.dumps(body, sort_keys=True, separators=(",", ":")).encode())


def test_half_a_character_is_no_text_wherever_it_stands(administrator: Administrator) -> None:
    signed = half_a_character(administrator, administrator.key)
    nested = signed.body.replace(b'"type":"\\ud800"', b'"type":"a","x":[{"\\udfff":1}]')

    for body in (signed.body, nested):
        with pytest.raises(RecordInvalid, match="only spelling"):
            decode(body)
    whole = signed.body.replace(b"\\ud800", b"\\ud83d\\ude00")
    assert decode(whole).network == administrator.network


@in_a_loop
async def test_a_coordinator_refuses_half_a_character_without_a_line_of_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with founded(tmp_path, ALICE) as (site, _):
        caplog.clear()

        for key in (ALICE, site.administrator.key):
            (outcome,) = await site.submit(half_a_character(site.administrator, key))
            assert outcome == Outcome("refused", "a record is damaged: not in its only spelling")
        assert caplog.records == []
        assert await site.submit(site.administrator.remove(OTHER)) == [NEW]


@in_a_scene
async def test_a_node_takes_half_a_character_for_a_record_that_is_none(world: Scene) -> None:
    async with world.agent() as agent:
        await until(agent, lambda status: status.connected)

        world.coordinator.send(half_a_character(world.network.administrator, world.node.identity))

        status = await until(agent, lambda status: bool(status.rejected_count))
        assert status.rejected[0].reason == RejectionReason.INVALID.value


# -- Anything --------------------------------------------------------------------------------------


@pytest.fixture
def administrator() -> Administrator:
    administrator = Administrator()
    administrator.found()
    return administrator


JSON: Final = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.floats(), st.sampled_from(NUMBERS), st.integers(),
        st.sampled_from(["", "\ud800", "\x00", "any", "node:", "1" * 5000, "0.0.0.0/0", "\u2028", "::%1"]),
        st.text(st.characters(codec=None), max_size=5),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


@given(st.sampled_from(range(len(one_of_each().records))), st.data())
def test_any_field_of_any_kind_may_be_anything(number: int, data: st.DataObject) -> None:
    known = one_of_each()
    body = json.loads(known.records[number].body)
    body[data.draw(st.sampled_from([*sorted(body), "more"]))] = data.draw(JSON)
    spelled = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()

    for key in (known.key, key_of(3)):
        judge_everywhere(known, [key.sign(spelled)])


def a_number() -> st.SearchStrategy[int]:
    return st.sampled_from(NUMBERS)


def some_prefixes() -> st.SearchStrategy[tuple[Any, ...]]:
    texts = [
        *sorted({*map(str, NEVER_ANNOUNCED)} - {MAPPED}),
        *WIDE,
        "10.0.0.0/8",
        "100.80.0.0/16",
        "2000::/3",
        "10.0.0.1/32",
    ]
    return st.lists(st.sampled_from(texts), max_size=4).map(lambda found: prefixes(*found))


@st.composite
def extremes(draw: st.DrawFn) -> Administrator:
    """Records that are valid, with the greatest and the least of each field."""
    one = Administrator(now=draw(a_number()))
    ranges, pools = ("0.0.0.0/1", "100.80.0.0/16", "10.0.0.0/32"), ("240.0.0.0/4", "224.0.0.0/32")
    one.sign(
        Network, name="a" * 63, mtu=draw(st.sampled_from([1280, 65535])),
        addresses=IPv4Network(draw(st.sampled_from(ranges))), pool=IPv4Network(draw(st.sampled_from(pools))),
        addresses6=IPv6Network(draw(st.sampled_from(["::/32", "ff00::/32", "fd12:3456::/32"]))),
    )  # fmt: skip
    one.invite(
        TOKEN, routes=draw(some_prefixes()), expires=draw(a_number()), uses=draw(a_number()),
        lifetime=draw(a_number()), tags=draw(st.sampled_from([(), ("a" * 63,)])),
    )  # fmt: skip
    one.rule(draw(st.sampled_from(["any", "node:n3"])), "any", allowed=draw(st.booleans()))
    for host in (HOST, OTHER):
        one.join(
            host, TOKEN, routes=draw(some_prefixes()), sequence=draw(a_number()), admitted=draw(a_number()),
            address=IPv4Address(draw(st.sampled_from([0, 2**32 - 1, 0x64500001, 0x7F000001]))),
            endpoints=tuple(map(parse_global_endpoint, draw(st.sampled_from(ENDPOINTS)))),
        )  # fmt: skip
    return one


@given(extremes())
def test_records_with_the_greatest_and_the_least_of_each_field_make_no_trouble(one: Administrator) -> None:
    judge_everywhere(one, [])


def judge_everywhere(known: Administrator, records: list[Signed]) -> None:
    """Give records to a node and to a coordinator, at several times, and to what they make of them."""
    ledger = Ledger(known.key.verify_key())
    for signed in [*known.records, *records]:
        try:
            ledger.add(signed)
        except RecordRejected as rejected:
            str(rejected).encode()
    for now in (0, NOW, MAX_NUMBER):
        topology = derive(ledger, now)
        if (network := ledger.charter()) is not None:
            address, versions = IPv4Address("100.80.0.3"), frozenset((4, 6))
            view = LocalView(HOST.verify_key(), address, {}, frozenset(), versions, Routing(7, 8))
            planned = plan(network, topology, view, NodePlan.empty())
            announced = product(planned.routes[2:], NEVER_ANNOUNCED)
            assert not any(overlap(route, never) for route, never in announced)
        transaction = Transaction(Snapshot(Ledger(known.key.verify_key())), now)
        for signed in [*known.records, *records]:
            transaction.submit(signed).reason.encode()
        told = Ledger(known.key.verify_key())
        for entry in transaction.finished(1).news(HOST.verify_key(), 0):
            told.add(entry.signed)  # a node takes all that it is sent


def test_a_node_of_all_extremes_is_one_of_these(administrator: Administrator) -> None:
    """So that the property above is about nodes that a ledger takes."""
    administrator.invite(TOKEN, expires=MAX_NUMBER, uses=MAX_NUMBER, lifetime=MAX_NUMBER)
    administrator.join(HOST, TOKEN, sequence=MAX_NUMBER, admitted=MAX_NUMBER - 1)

    assert isinstance(decode(administrator.records[-1].body), Node)
    assert len(administrator.topology().members) == 1


# -- How often -------------------------------------------------------------------------------------


@in_a_loop
async def test_a_node_that_changes_all_the_time_is_refused_whatever_its_address_and_holds_nobody_up(
    tmp_path: Path,
) -> None:
    async with founded(tmp_path, ALICE, BOB) as (site, _):
        changes = [site.administrator.join(ALICE, SITE_TOKEN, sequence=number) for number in range(2, 202)]
        outcomes = await site.submit(*changes)

        assert outcomes[:100] == [NEW] * 100
        assert outcomes.count(Outcome("refused", TOO_OFTEN)) > 90
        later = await site.submit(
            site.administrator.join(BOB, SITE_TOKEN, sequence=2), site.administrator.remove(ALICE)
        )
        assert later == [NEW, NEW]


def test_no_number_of_changes_of_nodes_pushes_the_administrator_out_of_the_audit_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_AUDIT", 5)
    site = Site.create(tmp_path)
    with closing(site.store()) as opened:
        opened.note(AuditEntry(1, ADMINISTRATOR, "removal of web-1", "::1"))
        for number in range(20):
            opened.note(AuditEntry(2 + number, "web-2", "changed: endpoints", "::1"))

        entries = opened.audit(3)

    assert [(entry.time, entry.who) for entry in entries] == [
        (1, ADMINISTRATOR), (19, "web-2"), (20, "web-2"), (21, "web-2"),
    ]  # fmt: skip
    with closing(site.store()) as opened:
        assert len(opened.audit()) == 1 + 5
