"""The spelling of ports in rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wgpy.mesh.ports import ICMP, TCP, UDP, Ports, merged, parse_ports, ports_text

numbers = st.integers(0, 65535)
ranges = st.builds(
    lambda protocol, one, other: Ports(protocol, min(one, other), max(one, other)),
    st.sampled_from([TCP, UDP]),
    numbers,
    numbers,
)
some_ports = st.lists(ranges | st.just(Ports(ICMP)), max_size=6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5432/tcp", [Ports(TCP, 5432, 5432)]),
        ("1000-2000/udp", [Ports(UDP, 1000, 2000)]),
        ("icmp", [Ports(ICMP)]),
        ("udp", [Ports(UDP, 0, 65535)]),
        ("80,443/tcp", [Ports(TCP, 80, 80), Ports(TCP, 443, 443)]),
        ("80,443/tcp,53/udp", [Ports(TCP, 80, 80), Ports(TCP, 443, 443), Ports(UDP, 53, 53)]),
        ("53", [Ports(TCP, 53, 53), Ports(UDP, 53, 53)]),
        ("53,icmp", [Ports(ICMP), Ports(TCP, 53, 53), Ports(UDP, 53, 53)]),
        ("443/tcp,80/tcp", [Ports(TCP, 80, 80), Ports(TCP, 443, 443)]),
        ("80-90,85-100,101/tcp", [Ports(TCP, 80, 101)]),
        ("80/tcp,tcp", [Ports(TCP)]),
    ],
)
def test_ports_are_read_as_they_are_meant(text: str, expected: list[Ports]) -> None:
    assert parse_ports(text) == tuple(expected)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nothing is no list of ports"),
        ("80,", "no list of ports"),
        ("0", "no list of ports"),
        ("65536/tcp", "no list of ports"),
        ("80-/tcp", "no list of ports"),
        ("-80", "no list of ports"),
        ("٨٠", "no list of ports"),
        ("http", "no list of ports"),
        ("90-80", "90-80 is no range of ports"),
        ("80/sctp", "sctp is no protocol of a rule: want tcp, udp or icmp"),
        ("80/", "nothing is no protocol of a rule"),
        ("8/icmp", "icmp has no ports"),
    ],
)
def test_what_are_no_ports_is_refused_with_a_sentence(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_ports(text)


@given(st.lists(ranges.filter(lambda ports: ports.first > 0) | st.sampled_from([Ports(ICMP), Ports(TCP)])))
def test_what_is_written_is_read_as_the_same(ports: list[Ports]) -> None:
    joined = merged(ports)

    assert not joined or parse_ports(ports_text(joined)) == joined


@given(some_ports, st.sampled_from([ICMP, TCP, UDP]), numbers)
def test_ranges_that_are_joined_have_the_same_ports(ports: list[Ports], protocol: int, port: int) -> None:
    joined = merged(ports)

    assert merged(joined) == joined
    assert _have(list(joined), protocol, port) == _have(ports, protocol, port)


def _have(ports: list[Ports], protocol: int, port: int) -> bool:
    return any(each.protocol == protocol and each.first <= port <= each.last for each in ports)


@pytest.mark.parametrize("what", [(47, 0, 65535), (TCP, 2, 1), (TCP, -1, 5), (UDP, 5, 65536), (ICMP, 8, 8)])
def test_what_no_rule_can_be_of_is_refused(what: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="port"):
        Ports(*what)
