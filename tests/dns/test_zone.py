"""What a node answers about the names of its network."""

from ipaddress import ip_address, ip_network

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import pytest

from tests.dns.zones import OLD, WEB1, answered, ask, owners, question, zone
from wgpy.dns.addresses import dashed, read_dashed, read_reverse, reverse_zones
from wgpy.dns.message import Query
from wgpy.dns.responder import respond
from wgpy.dns.zone import NEGATIVE_TTL, TTL, Zone, apexes

NAME_OF_WEB1 = "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.5.4.3.2.1.d.f.ip6.arpa"


def test_a_node_has_its_addresses_of_both_families() -> None:
    assert ask("web1.prod.mesh", "A") == ("NOERROR", ["100.80.3.4"])
    assert ask("web1.prod.mesh", "AAAA") == ("NOERROR", ["fd12:3456::7"])
    assert ask("WEB1.Prod.MESH", "ANY") == ("NOERROR", ["100.80.3.4", "fd12:3456::7"])


@pytest.mark.parametrize("rrtype", ["AAAA", "TXT", "MX", "HTTPS", "SRV", "CNAME", "PTR", "SOA", "DS"])
def test_what_a_name_does_not_have_is_empty_and_no_error(rrtype: str) -> None:
    answer = answered(question("old.prod.mesh", rrtype), zone())

    assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])
    assert owners(answer.authority) == ["prod.mesh."]


@pytest.mark.parametrize(
    "name", ["web2.prod.mesh", "www.web1.prod.mesh", "_tcp.prod.mesh", "5.3.80.100.in-addr.arpa"]
)
def test_what_is_not_there_does_not_exist_for_a_few_seconds(name: str) -> None:
    answer = answered(question(name), zone())

    assert (answer.rcode(), answer.answer) == (dns.rcode.NXDOMAIN, [])
    (soa,) = answer.authority
    assert (soa.ttl, soa[0].minimum) == (NEGATIVE_TTL, NEGATIVE_TTL)


def test_an_address_has_the_name_of_its_node() -> None:
    assert ask("4.3.80.100.in-addr.arpa", "PTR") == ("NOERROR", ["web1.prod.mesh."])
    assert ask(NAME_OF_WEB1, "PTR") == ("NOERROR", ["web1.prod.mesh."])


@pytest.mark.parametrize(
    ("name", "apex"),
    [
        ("9.9.80.100.in-addr.arpa", "80.100.in-addr.arpa."),
        ("x.3.80.100.in-addr.arpa", "80.100.in-addr.arpa."),
        ("9.9.111.100.in-addr.arpa", "111.100.in-addr.arpa."),
        ("04.3.80.100.in-addr.arpa", "80.100.in-addr.arpa."),
        (f"8{NAME_OF_WEB1[1:]}", "6.5.4.3.2.1.d.f.ip6.arpa."),
    ],
)
def test_an_address_without_a_node_is_denied_by_the_zone_of_its_range(name: str, apex: str) -> None:
    answer = answered(question(name, "PTR"), zone())

    assert (answer.rcode(), owners(answer.authority)) == (dns.rcode.NXDOMAIN, [apex])


def test_a_part_of_a_reverse_name_exists_as_names_may_be_below_it() -> None:
    assert ask("3.80.100.in-addr.arpa", "PTR") == ("NOERROR", [])
    assert ask("80.100.in-addr.arpa", "NS") == ("NOERROR", ["web1.prod.mesh."])


def test_the_zone_has_an_authority_and_a_server() -> None:
    assert ask("prod.mesh", "NS") == ("NOERROR", ["web1.prod.mesh."])
    assert ask("prod.mesh", "SOA")[1][0].startswith("web1.prod.mesh. hostmaster.prod.mesh. ")
    assert ask("prod.mesh", "A") == ("NOERROR", [])


def test_the_host_of_a_site_is_called_by_its_real_address() -> None:
    assert ask("192-168-1-10.office.prod.mesh", "A") == ("NOERROR", ["100.96.4.10"])
    assert ask("192-168-1-10.office.prod.mesh", "AAAA") == ("NOERROR", [])
    assert ask("192-168-2-10.office.prod.mesh", "A") == ("NXDOMAIN", [])
    assert ask("10.office.prod.mesh", "A") == ("NXDOMAIN", [])
    assert ask("office.prod.mesh", "A") == ("NOERROR", [])
    assert ask("10.4.96.100.in-addr.arpa", "PTR") == ("NOERROR", ["192-168-1-10.office.prod.mesh."])


@pytest.mark.parametrize(
    "name",
    ["example.net", "mesh", "web1.lab.mesh", "prod.mesh.example.net", "web1", "1.1.168.192.in-addr.arpa",
     "100.in-addr.arpa", "in-addr.arpa", "1.0.0.2.ip6.arpa", "."],
)  # fmt: skip
def test_a_name_elsewhere_is_not_answered(name: str) -> None:
    assert isinstance(respond(zone(), question(name), by_tcp=False), Query)


def test_who_may_know_less_is_told_that_the_rest_does_not_exist() -> None:
    less = zone().only({b"old"}, set())

    assert ask("old.prod.mesh", "A", less) == ("NOERROR", [str(OLD[0])])
    for name in ("web1.prod.mesh", "192-168-1-10.office.prod.mesh"):
        assert ask(name, "A", less) == ("NXDOMAIN", [])
    assert ask("4.3.80.100.in-addr.arpa", "PTR", less) == ("NXDOMAIN", [])
    assert ask("10.4.96.100.in-addr.arpa", "PTR", less) == ("NXDOMAIN", [])


def test_nobody_copies_the_zone_and_other_classes_and_operations_are_refused() -> None:
    assert ask("prod.mesh", "AXFR") == ("REFUSED", [])
    chaos = dns.message.make_query("web1.prod.mesh", "TXT", dns.rdataclass.CH).to_wire()
    assert answered(chaos, zone()).rcode() == dns.rcode.REFUSED
    notify = dns.message.make_query("prod.mesh", "SOA")
    notify.set_opcode(dns.opcode.NOTIFY)
    assert answered(notify.to_wire(), zone()).rcode() == dns.rcode.NOTIMP


def test_an_answer_is_authoritative_and_lives_for_a_minute() -> None:
    answer = answered(question("web1.prod.mesh"), zone())

    assert answer.flags & dns.flags.AA
    assert answer.answer[0].ttl == TTL


def test_the_domains_are_those_of_names_and_of_addresses() -> None:
    ranges = ip_network("100.80.0.0/15"), ip_network("fd12:3456::/32")

    assert [b".".join(apex).decode() for apex in apexes("prod", ranges)] == [
        "prod.mesh", "80.100.in-addr.arpa", "81.100.in-addr.arpa", "6.5.4.3.2.1.d.f.ip6.arpa",
    ]  # fmt: skip
    assert len(list(reverse_zones(ip_network("100.96.0.0/12")))) == 16


def test_a_single_address_may_be_a_range() -> None:
    one = Zone.of("prod", "web1", {"web1": WEB1}, (ip_network("100.80.3.4/32"),))

    assert ask("4.3.80.100.in-addr.arpa", "PTR", one) == ("NOERROR", ["web1.prod.mesh."])


@pytest.mark.parametrize(
    ("address", "label"),
    [
        ("192.168.1.10", b"192-168-1-10"),
        ("fd00:42::7", b"fd00-42--7"),
        ("fd00::", b"fd00--0"),
        ("::1", b"0--1"),
    ],
)
def test_an_address_is_written_with_dashes_and_read_back(address: str, label: bytes) -> None:
    assert dashed(ip_address(address)) == label
    assert read_dashed(label) == ip_address(address)


@pytest.mark.parametrize(
    "label", [b"1-2-3", b"1-2-3-256", b"01-2-3-4", b"-", b"fe80--1%1", b"web-1", b"\xff-1"]
)
def test_another_label_is_no_address(label: bytes) -> None:
    assert read_dashed(label) is None


def test_a_name_outside_of_arpa_is_no_reverse_name() -> None:
    assert read_reverse((b"4", b"3", b"80", b"100", b"mesh")) is None
