"""Answers of a site's own name server become such that the mesh can use."""

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest

from tests.dns.zones import MappedSite, question
from wgpy.dns.message import name_of, read_query, write_query
from wgpy.dns.renaming import Renaming
from wgpy.dns.rewriting import is_forwardable, rewrite

NAME = "www.office.example."


def rewritten(
    *answer: str, kind: str = "A", authority: str = "", payload: int | None = None, limit: int = 65535,
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
) -> dns.message.Message:  # fmt: skip
    """Return what is made of records, each `NAME TTL TYPE DATA`."""
    asked = question(NAME, kind, payload=payload)
    reply = dns.message.make_response(dns.message.from_wire(asked))
    reply.flags |= dns.flags.AD | dns.flags.AA
    reply.set_rcode(rcode)
    reply.answer = [record(text) for text in answer]
    reply.authority = [record(authority)] if authority else []
    found = rewrite(read_query(asked), reply.to_wire(), MappedSite(), limit)
    assert len(found) <= limit
    assert int.from_bytes(found[:2]) == reply.id
    return dns.message.from_wire(found)


def record(text: str) -> dns.rrset.RRset:
    name, ttl, kind, data = text.split(maxsplit=3)
    return dns.rrset.from_text(name, int(ttl), "IN", kind, data)


def shown(message: dns.message.Message) -> list[str]:
    return [line for found in message.answer for line in found.to_text().replace(" IN ", " ").split("\n")]


def test_an_address_of_the_site_is_a_mapped_one_for_a_minute_at_most() -> None:
    assert shown(rewritten(f"{NAME} 3600 A 192.168.1.10")) == [f"{NAME} 60 A 100.96.4.10"]
    assert shown(rewritten(f"{NAME} 5 A 192.168.1.10")) == [f"{NAME} 5 A 100.96.4.10"]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("A", "203.0.113.7"),
        ("A", "192.168.2.10"),
        ("A", "127.0.0.1"),
        ("AAAA", "2001:db8::1"),
        ("AAAA", "::ffff:192.168.1.10"),
        ("APL", "1:192.168.1.0/24"),
        ("DS", "1 8 2 " + "00" * 32),
        ("DNSKEY", "256 3 8 AAAA"),
    ],
)
def test_what_is_outside_the_site_or_is_to_be_verified_is_dropped(kind: str, data: str) -> None:
    found = rewritten(f"{NAME} 60 {kind} {data}", kind=kind)

    assert found.rcode() == dns.rcode.NOERROR
    assert not shown(found)


def test_a_chain_of_aliases_is_kept_and_what_does_not_belong_to_it_is_not() -> None:
    found = rewritten(
        f"{NAME} 60 CNAME a.office.example.",
        "a.office.example. 60 CNAME b.elsewhere.example.",
        "b.elsewhere.example. 60 A 192.168.1.10",
        "bank.example. 60 A 192.168.1.66",
    )

    assert shown(found) == [
        f"{NAME} 60 CNAME a.office.example.",
        "a.office.example. 60 CNAME b.elsewhere.example.",
        "b.elsewhere.example. 60 A 100.96.4.10",
    ]


def test_aliases_in_a_circle_end() -> None:
    assert len(shown(rewritten(f"{NAME} 60 CNAME a.", f"a. 60 CNAME {NAME}"))) == 2


def test_hints_of_a_service_are_mapped_ones_and_go_where_they_are_outside() -> None:
    both = f'{NAME} 60 HTTPS 1 . alpn="h2" ipv4hint=192.168.1.10,203.0.113.7 ipv6hint=2001:db8::1'
    assert shown(rewritten(both, kind="HTTPS")) == [f'{NAME} 60 HTTPS 1 . alpn="h2" ipv4hint="100.96.4.10"']


def test_a_service_that_cannot_be_without_its_hints_is_dropped_with_them() -> None:
    needed = f"{NAME} 60 SVCB 1 . mandatory=ipv4hint ipv4hint=203.0.113.7"
    assert not shown(rewritten(needed, kind="SVCB"))


def test_other_records_stay() -> None:
    for kind, data in (("MX", "10 mail.office.example."), ("TXT", '"192.168.1.10"'), ("SRV", "0 0 5060 s.")):
        assert shown(rewritten(f"{NAME} 60 {kind} {data}", kind=kind)) == [f"{NAME} 60 {kind} {data}"]


def test_no_name_is_no_name_and_is_remembered_for_a_minute_at_most() -> None:
    soa = "office.example. 3600 SOA ns.office.example. root.office.example. 1 3600 600 86400 3600"
    found = rewritten(authority=soa, rcode=dns.rcode.NXDOMAIN)

    assert found.rcode() == dns.rcode.NXDOMAIN
    assert [(str(one.name), one.ttl) for one in found.authority] == [("office.example.", 60)]


def test_an_answer_is_verified_by_nobody_and_not_ours() -> None:
    found = rewritten(f"{NAME} 60 A 192.168.1.10", payload=4096)

    assert found.flags == dns.flags.QR | dns.flags.RD | dns.flags.RA
    assert found.payload == 1232


def test_an_answer_that_is_too_long_for_who_asks_is_cut_off() -> None:
    many = [f"{NAME} 60 TXT {number:0200}" for number in range(5)]
    found = rewritten(*many, kind="TXT", limit=512)

    assert found.flags & dns.flags.TC
    assert not found.answer
    assert len(shown(rewritten(*many, kind="TXT"))) == 5


def test_a_question_comes_back_in_the_letters_that_it_had() -> None:
    asked = question("wWw.OFFICE.example.")
    reply = dns.message.make_response(dns.message.from_wire(question(NAME))).to_wire()

    found = rewrite(read_query(asked), reply, MappedSite(), 512)

    assert dns.message.from_wire(found).question[0].name.to_text() == "wWw.OFFICE.example."


@pytest.mark.parametrize("data", [b"", b"\0" * 11, b"\0\1\x80\0" + b"\0" * 8, b"\xff" * 40])
def test_what_is_no_answer_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="site's name server"):
        rewrite(read_query(question(NAME)), data, MappedSite(), 512)


def test_a_server_is_asked_without_signatures_and_for_no_whole_zone() -> None:
    query = read_query(dns.message.make_query(NAME, "A", want_dnssec=True).to_wire())
    asked = dns.message.from_wire(write_query(query, 7))

    assert (asked.id, asked.flags, asked.ednsflags, asked.payload) == (7, dns.flags.RD, 0, 1232)
    assert asked.question[0].name.to_text() == NAME
    assert is_forwardable(query)
    for kind in ("AXFR", "IXFR"):
        assert not is_forwardable(read_query(question(NAME, kind)))


# -- A domain with another name in the mesh ----------------------------------------------------------

HERE, THERE = "blue.prod.mesh.", "cluster.local."
BLUE = Renaming(name_of("blue.prod.mesh"), name_of("cluster.local"))


def renamed(name: str, *answer: str, kind: str = "A", authority: str = "") -> dns.message.Message:
    """Return what is made of an answer to a question about a name in the mesh."""
    query = read_query(question(name, kind))
    asked = dns.message.from_wire(write_query(BLUE.asked(query), 7))
    reply = dns.message.make_response(asked)
    reply.answer = [record(text) for text in answer]
    reply.authority = [record(authority)] if authority else []
    found = dns.message.from_wire(rewrite(query, reply.to_wire(), MappedSite(), 65535, BLUE))
    assert found.question[0].name == dns.name.from_text(name)
    assert found.id == query.id
    return found


def test_a_service_of_a_cluster_is_asked_and_answered_by_its_name_in_the_mesh() -> None:
    found = renamed(f"Web.shop.svc.{HERE}", f"web.shop.svc.{THERE} 30 A 192.168.1.10")

    assert shown(found) == [f"Web.shop.svc.{HERE} 30 A 100.96.4.10"]  # in the letters that it had


def test_targets_within_the_domain_are_called_as_the_mesh_does_and_others_stay() -> None:
    name = f"_http._tcp.web.shop.svc.{HERE}"
    found = renamed(
        name,
        f"_http._tcp.web.shop.svc.{THERE} 30 SRV 0 50 80 db-0.web.shop.svc.{THERE}",
        kind="SRV",
    )
    alias = renamed(f"ext.shop.svc.{HERE}", f"ext.shop.svc.{THERE} 30 CNAME www.example.", kind="A")

    assert shown(found) == [f"{name} 30 SRV 0 50 80 db-0.web.shop.svc.{HERE}"]
    assert shown(alias) == [f"ext.shop.svc.{HERE} 30 CNAME www.example."]


def test_what_is_not_there_is_remembered_by_the_name_of_the_domain_in_the_mesh() -> None:
    soa = f"{THERE} 30 SOA ns.dns.{THERE} hostmaster.{THERE} 1 2 3 4 5"

    found = renamed(f"no.shop.svc.{HERE}", authority=soa)

    assert [str(rrset.name) for rrset in found.authority] == [HERE]


def test_a_name_that_is_too_long_in_the_mesh_is_an_error() -> None:
    deep = ".".join(["a" * 60] * 3)
    long = Renaming(tuple(b"b" * 60 for _ in range(2)), name_of("x"))
    name = f"c.{'b' * 60}.{'b' * 60}."
    query = read_query(question(name, "CNAME"))
    reply = dns.message.make_response(dns.message.from_wire(write_query(long.asked(query), 7)))
    reply.answer = [record(f"c.x. 30 CNAME {deep}.x.")]

    with pytest.raises(ValueError, match="none in the mesh"):
        rewrite(query, reply.to_wire(), MappedSite(), 65535, long)


def test_a_question_about_another_domain_is_none_for_the_server() -> None:
    with pytest.raises(ValueError, match="another domain"):
        BLUE.asked(read_query(question("web.shop.svc.green.prod.mesh.")))
