"""IPv4 addresses in the prefixes of a NAT64, by the examples of RFC 6052 and RFC 7050."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import pytest

from wgpy.contract.endpoint import Endpoint
from wgpy.paths.exchange import Candidate, PathKind
from wgpy.paths.nat64 import (
    embedded,
    prefix_of,
    reached,
    reached_candidates,
    version,
    without_synthesized,
)

ADDRESS = IPv4Address("192.0.2.33")
# RFC 6052 section 2.4.
EXAMPLES = [
    ("2001:db8::/32", "2001:db8:c000:221::"),
    ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
    ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
    ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
    ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
    ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
]


@pytest.mark.parametrize(("prefix", "address"), EXAMPLES)
def test_an_ipv4_address_is_embedded_as_the_rfc_shows(prefix: str, address: str) -> None:
    assert embedded(IPv6Network(prefix), ADDRESS) == IPv6Address(address)


@pytest.mark.parametrize("prefix", [prefix for prefix, _ in EXAMPLES])
@pytest.mark.parametrize("known", ["192.0.0.170", "192.0.0.171"])
def test_the_prefix_is_found_by_the_well_known_addresses(prefix: str, known: str) -> None:
    network = IPv6Network(prefix)
    others = IPv6Address("2001:db8::1"), embedded(network, ADDRESS)

    assert prefix_of([*others, embedded(network, IPv4Address(known))]) == network


def test_both_well_known_addresses_are_of_one_prefix() -> None:
    network = IPv6Network("2001:db8:122:300::/56")

    both = [embedded(network, IPv4Address(known)) for known in ("192.0.0.170", "192.0.0.171")]
    assert prefix_of(both) == network


@pytest.mark.parametrize("addresses", [[], ["2001:db8::1"], ["::1", "64:ff9b::1"]])
def test_other_addresses_are_of_no_prefix(addresses: list[str]) -> None:
    assert prefix_of(map(IPv6Address, addresses)) is None


def test_an_endpoint_is_reached_by_the_prefix_if_it_is_of_ipv4() -> None:
    prefix = IPv6Network("64:ff9b::/96")
    four, six = Endpoint("192.0.2.33", 51820), Endpoint("2001:db8::1", 51820)

    assert reached(four, prefix) == Endpoint("64:ff9b::c000:221", 51820)
    assert reached(six, prefix) == six
    assert reached(four, None) == four


@pytest.mark.parametrize("prefix", ["::/96", "::ffff:0:0/96", "fe80::/64", "ff0e::/96", "64:ff9b:2::/96"])
def test_the_dns_gives_no_prefix_where_no_host_is(prefix: str) -> None:
    address = embedded(IPv6Network(prefix), IPv4Address("192.0.0.170"))

    assert prefix_of([address]) is None


def test_of_a_long_answer_the_beginning_counts() -> None:
    good = embedded(IPv6Network("64:ff9b::/96"), IPv4Address("192.0.0.170"))
    others = [IPv6Address(f"2001:db8::{number}") for number in range(16)]

    assert prefix_of([*others, good]) is None
    assert prefix_of([*others[:15], good]) == IPv6Network("64:ff9b::/96")


def test_the_well_known_prefix_leads_to_no_private_network() -> None:
    at_home = Endpoint("192.168.1.7", 51820)

    assert reached(at_home, IPv6Network("64:ff9b::/96")) == at_home
    assert reached(at_home, IPv6Network("2001:db8::/96")) == Endpoint("2001:db8::c0a8:107", 51820)


def test_a_candidate_stays_of_the_kind_that_its_host_told() -> None:
    told = Candidate(Endpoint("192.0.2.33", 7000), PathKind.REFLEXIVE)

    assert reached_candidates([told], IPv6Network("64:ff9b::/96")) == (
        Candidate(Endpoint("64:ff9b::c000:221", 7000), PathKind.REFLEXIVE),
    )
    assert reached_candidates([told], None) == (told,)


def test_an_endpoint_beyond_the_nat64_is_of_ipv4() -> None:
    prefix = IPv6Network("64:ff9b::/96")
    found = {address: version(Endpoint(address, 1), prefix) for address in ("64:ff9b::1", "2001:db8::1")}

    assert found == {"64:ff9b::1": 4, "2001:db8::1": 6}
    assert version(Endpoint("192.0.2.33", 1), None) == version(Endpoint("192.0.2.33", 1), prefix) == 4
    assert version(Endpoint("64:ff9b::1", 1), None) == 6


@pytest.mark.parametrize(("prefix", "synthesized"), EXAMPLES)
def test_what_a_dns64_made_is_no_address_of_the_name(prefix: str, synthesized: str) -> None:
    other = IPv6Address("2001:db8::1")

    found = without_synthesized(map(ip_address, [str(ADDRESS), synthesized, str(other)]))

    assert found == [ADDRESS, other]
