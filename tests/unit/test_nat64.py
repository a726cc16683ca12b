"""IPv4 addresses in the prefixes of a NAT64, by the examples of RFC 6052 and RFC 7050."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest

from wgpy.contract.endpoint import Endpoint
from wgpy.paths.nat64 import embedded, prefix_of, reached

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
