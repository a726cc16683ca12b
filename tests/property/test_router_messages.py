"""Whatever a router sends, it is read as an answer to the question, as a refusal, or as nothing."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wgpy.paths import nat_pmp, pcp, ssdp
from wgpy.paths.port_mapping import Grant, Refusal

NONCE, PORT = bytes(range(12)), 51820
HOST, OUTSIDE = IPv4Address("192.168.1.2"), IPv4Address("198.41.0.4")

ports, numbers = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
addresses = st.ip_addresses(v=4)
damages = st.lists(st.tuples(st.integers(0, 59), st.integers(1, 255)), max_size=3)


def answer(outside: int, lifetime: int, epoch: int, address: IPv4Address, result: int = 0) -> bytes:
    """What a PCP server answers to a request for PORT. RFC 6887, figures 3 and 10."""
    head = bytes((2, 0x81, 0, result)) + lifetime.to_bytes(4, "big") + epoch.to_bytes(4, "big") + bytes(12)
    mapped = IPv6Address(f"::ffff:{address}").packed
    return head + NONCE + bytes((17, 0, 0, 0)) + PORT.to_bytes(2, "big") + outside.to_bytes(2, "big") + mapped


def mapping(outside: int, lifetime: int, epoch: int, result: int = 0) -> bytes:
    """What a NAT-PMP server answers to a request for PORT. RFC 6886, 3.3."""
    head = bytes((0, 129)) + result.to_bytes(2, "big") + epoch.to_bytes(4, "big")
    return head + PORT.to_bytes(2, "big") + outside.to_bytes(2, "big") + lifetime.to_bytes(4, "big")


def test_requests_are_those_of_the_specifications() -> None:
    asked = pcp.map_request(HOST, NONCE, PORT, 7200, (IPv4Address(0), 1024))

    assert asked.hex() == (
        "0201000000001c2000000000000000000000ffffc0a80102"
        "000102030405060708090a0b11000000ca6c040000000000000000000000ffff00000000"
    )  # fmt: skip
    assert pcp.announce_request(HOST).hex() == "020000000000000000000000000000000000ffffc0a80102"
    assert nat_pmp.address_request().hex() == "0000"
    assert nat_pmp.map_request(PORT, 1024, 7200).hex() == "00010000ca6c040000001c20"


def test_a_firewall_of_ipv6_is_asked_for_the_host_itself() -> None:
    own, any_address = IPv6Address("2001:db8::2"), IPv6Address(0)

    asked = pcp.map_request(own, NONCE, PORT, 7200, (any_address, PORT))

    assert asked.hex() == (
        "0201000000001c2020010db8000000000000000000000002"
        "000102030405060708090a0b11000000ca6cca6c00000000000000000000000000000000"
    )  # fmt: skip
    granted = answer(PORT, 7200, 9, HOST)[:-16] + own.packed
    assert pcp.read_mapping(granted, NONCE, PORT, version=6) == Grant(own, PORT, 7200, 9)
    assert pcp.read_mapping(answer(PORT, 7200, 9, HOST), NONCE, PORT, version=6) is None


@given(ports, numbers, numbers, addresses)
def test_what_a_server_grants_is_read(outside: int, lifetime: int, epoch: int, address: IPv4Address) -> None:
    granted = Grant(address, outside, lifetime, epoch)

    assert pcp.read_mapping(answer(outside, lifetime, epoch, address), NONCE, PORT) == granted
    mapped = nat_pmp.read_mapping(mapping(outside, lifetime, epoch), PORT)
    assert isinstance(mapped, nat_pmp.Mapping)
    assert mapped.at(address) == granted


@given(st.binary(max_size=1200) | st.binary(max_size=80).map(b"\x02\x81\0\0".__add__))
def test_any_bytes_are_no_mapping(data: bytes) -> None:
    found = pcp.read_mapping(data, NONCE, PORT)

    assert found is None or isinstance(found, Refusal)
    assert not isinstance(pcp.read_announcement(data), bool)


@given(st.binary(max_size=20) | st.binary(max_size=14).map(b"\0\x81\0\0".__add__))
def test_any_bytes_are_no_mapping_by_nat_pmp_of_another_port(data: bytes) -> None:
    found = nat_pmp.read_mapping(data, PORT)

    if isinstance(found, nat_pmp.Mapping):
        assert data[8:10] == PORT.to_bytes(2, "big")
        assert len(data) == 16
    nat_pmp.read_address(data)


@given(damages)
def test_a_damaged_answer_is_never_a_mapping_of_another_port_or_nonce(damage: list[tuple[int, int]]) -> None:
    damaged = bytearray(answer(PORT, 7200, 9, OUTSIDE))
    for position, change in damage:
        damaged[position] ^= change

    found = pcp.read_mapping(bytes(damaged), NONCE, PORT)

    if isinstance(found, Grant):
        assert damaged[24:36] == NONCE
        assert (damaged[0], damaged[1], damaged[3], damaged[36]) == (2, 0x81, 0, 17)
        assert damaged[40:42] == PORT.to_bytes(2, "big")


@given(st.integers(1, 255))
def test_a_refusal_says_why(result: int) -> None:
    by_pcp = pcp.read_mapping(answer(0, 0, 9, OUTSIDE, result), NONCE, PORT)
    by_nat_pmp = nat_pmp.read_mapping(mapping(0, 0, 9, result), PORT)

    for found in (by_pcp, by_nat_pmp):
        assert isinstance(found, Refusal)
        assert found.reason.startswith(("it ", "there is another NAT"))


def test_a_server_of_nat_pmp_says_that_it_does_not_speak_pcp() -> None:
    found = pcp.read_mapping(bytes((0, 0x81, 0, 1, 0, 0, 0, 9)), NONCE, PORT)

    assert found == Refusal("it does not speak this version", is_unsupported=True)


def test_an_address_that_is_not_mapped_from_ipv4_is_none() -> None:
    odd = answer(PORT, 7200, 9, OUTSIDE)[:-16] + IPv6Address("2001:db8::1").packed

    assert pcp.read_mapping(odd, NONCE, PORT) is None


def test_announcements_are_read() -> None:
    announced = bytes((2, 0x80, 0, 0)) + bytes(4) + (77).to_bytes(4, "big") + bytes(12)
    address = bytes((0, 128, 0, 0)) + (77).to_bytes(4, "big") + OUTSIDE.packed

    assert pcp.read_announcement(announced) == 77
    assert pcp.read_announcement(address) is None
    assert nat_pmp.read_address(address) == nat_pmp.OutsideAddress(OUTSIDE, 77)
    assert nat_pmp.read_address(announced) is None


ROUTER = IPv4Address("192.168.1.1")
_ANSWER = "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nLocation: {}\r\nEXT:\r\n\r\n"


def test_a_search_leads_to_the_routers_description() -> None:
    url = "http://192.168.1.1:5000/rootDesc.xml"

    assert ssdp.read_location(_ANSWER.format(url).encode(), ROUTER) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.1.2/", "http://127.0.0.1:80/", "http://192.168.1.1@127.0.0.1/", "https://192.168.1.1/",
        "file:///etc/passwd", "http://192.168.1.1:0/", "http://192.168.1.1:99999/", "http://[::1", "",
        "http://192.168.1.1/\x00", "http://192.168.1.1.example.com/",
    ],
)  # fmt: skip
def test_a_search_leads_nowhere_else(url: str) -> None:
    assert ssdp.read_location(_ANSWER.format(url).encode(), ROUTER) is None


@given(st.binary(max_size=2100) | st.text().map(lambda text: _ANSWER.format(text).encode(errors="replace")))
def test_any_answer_to_a_search_leads_to_the_router_or_nowhere(data: bytes) -> None:
    found = ssdp.read_location(data, ROUTER)

    assert found is None or ssdp.is_at(found, ROUTER)
