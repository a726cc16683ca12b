"""Which permit lets a packet in, and what a change of a policy does to what waits."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.datapath.kinds import PEER, DataPathUnderTest, MakeDataPath, drop_counts, prefix
from tests.datapath.packets import ipv4, ipv6
from tests.datapath.policies import (
    ANYTHING,
    GRE,
    MAX_PERMITS,
    MAX_RULES,
    NOTHING,
    SYN,
    TCP,
    UDP,
    Family,
    add_peer,
    error_about,
    family,
    filtered,
    icmp,
    is_let_in,
    path,
    tcp,
    udp,
    with_session,
)
from tests.datapath.remote import (
    HOME,
    LOCAL_HOST,
    LOCAL_HOST6,
    NOW,
    REMOTE_HOST,
    REMOTE_HOST6,
    STRANGE_HOST,
    Remote,
)
from tests.fastpath.superpackets import ACK as TCP_ACK
from tests.fastpath.superpackets import Packet, segments
from wgpy.contract.drops import DropReason
from wgpy.contract.orders import Permit, SetPolicy, SetRoute, UseKeypair
from wgpy.datapath.allowedips import contains

__all__ = ["family", "filtered", "path"]  # fixtures


# -- Permits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("port", "expected"), [(79, False), (80, True), (85, True), (90, True), (91, False)])
@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_a_permit_of_ports_is_of_the_destination_and_includes_both_ends(
    path: DataPathUnderTest, remote: Remote, family: Family, protocol: int, port: int, expected: bool
) -> None:
    path.apply(SetPolicy(PEER, (Permit(rule=0, first_port=80, last_port=90),)), NOW)
    payload = tcp(SYN, 85, port) if protocol == TCP else udp(85, port)

    assert is_let_in(path, remote, family.received(protocol, payload)) == expected


def test_a_permit_of_ports_is_of_no_protocol_without_ports(
    path: DataPathUnderTest, remote: Remote, family: Family
) -> None:
    path.apply(SetPolicy(PEER, (Permit(rule=0, last_port=65534),)), NOW)

    assert not is_let_in(path, remote, family.received(GRE, bytes(8)))
    assert not is_let_in(path, remote, family.received(family.icmp, icmp(family.query)))


def test_a_permit_of_a_protocol_is_of_no_other(
    path: DataPathUnderTest, remote: Remote, family: Family
) -> None:
    path.apply(SetPolicy(PEER, (Permit(rule=0, protocol=UDP),)), NOW)

    assert is_let_in(path, remote, family.received(UDP, udp()))
    assert not is_let_in(path, remote, family.received(TCP, tcp(SYN)))


@pytest.mark.parametrize(
    ("destination", "expected"),
    [
        (LOCAL_HOST, True),
        ("10.0.0.0/31", True),
        ("10.0.0.2/31", False),
        ("0.0.0.0/0", True),
        (LOCAL_HOST6, False),
        ("::/0", False),
    ],
)
def test_a_permit_of_a_destination_is_of_the_packets_to_it(
    path: DataPathUnderTest, remote: Remote, destination: str, expected: bool
) -> None:
    path.apply(SetPolicy(PEER, (Permit(rule=0, destination=prefix(destination)),)), NOW)

    assert is_let_in(path, remote, ipv4(REMOTE_HOST, LOCAL_HOST, udp())) == expected


@pytest.mark.parametrize(
    ("destination", "expected"),
    [(LOCAL_HOST6, True), ("fd00::/127", True), ("fd00::2/127", False), ("::/0", True), ("0.0.0.0/0", False)],
)
def test_so_is_one_of_ipv6(path: DataPathUnderTest, remote: Remote, destination: str, expected: bool) -> None:
    path.apply(SetPolicy(PEER, (Permit(rule=0, destination=prefix(destination)),)), NOW)

    assert is_let_in(path, remote, ipv6(REMOTE_HOST6, LOCAL_HOST6, udp())) == expected


def test_what_is_let_in_is_counted_by_the_first_rule_that_says_so(
    path: DataPathUnderTest, remote: Remote, family: Family
) -> None:
    web = Permit(rule=3, protocol=TCP, first_port=80, last_port=80)
    path.apply(SetPolicy(PEER, (web, Permit(rule=MAX_RULES - 1, protocol=TCP))), NOW)
    for port in (80, 443, 80, 80):
        assert is_let_in(path, remote, family.received(TCP, tcp(SYN, 5000, port)))

    counts = path.rule_counts()

    assert len(counts) == MAX_RULES
    assert {rule: count for rule, count in enumerate(counts) if count} == {3: 3, MAX_RULES - 1: 1}


def test_an_answer_is_counted_by_no_rule(filtered: DataPathUnderTest, remote: Remote, family: Family) -> None:
    filtered.send_packet(family.sent(UDP, udp(5000, 53)), NOW)
    assert is_let_in(filtered, remote, family.received(UDP, udp(53, 5000)))

    assert not any(filtered.rule_counts())


def test_every_peer_has_a_policy_of_its_own(datapath: MakeDataPath, remote: Remote) -> None:
    path = with_session(datapath, remote)
    other, also = Remote(local_index=9, remote_index=10), "10.0.0.3"
    add_peer(path, 8, other, also)

    path.apply(SetPolicy(PEER, NOTHING), NOW)

    assert not is_let_in(path, remote, ipv4(REMOTE_HOST, LOCAL_HOST, tcp(SYN)))
    assert is_let_in(path, other, ipv4(also, LOCAL_HOST, tcp(SYN)))


def test_the_source_is_checked_first(filtered: DataPathUnderTest, remote: Remote) -> None:
    filtered.apply(SetPolicy(PEER, ANYTHING), NOW)

    assert not is_let_in(filtered, remote, ipv4(STRANGE_HOST, LOCAL_HOST, tcp(SYN)))
    assert drop_counts(filtered) == {DropReason.SOURCE_NOT_ALLOWED: 1}
    assert not any(filtered.rule_counts())


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (REMOTE_HOST, True),
        ("10.0.0.2/31", True),
        ("10.0.0.0/31", False),
        ("0.0.0.0/0", True),
        ("::/0", False),
    ],
)
def test_a_permit_of_a_source_is_of_the_packets_from_it(
    path: DataPathUnderTest, remote: Remote, source: str, expected: bool
) -> None:
    path.apply(SetPolicy(PEER, (Permit(rule=0, source=prefix(source)),)), NOW)

    assert is_let_in(path, remote, ipv4(REMOTE_HOST, LOCAL_HOST, udp())) == expected


def test_a_permit_of_two_versions_of_ip_is_of_nothing(
    path: DataPathUnderTest, remote: Remote, family: Family
) -> None:
    both = Permit(rule=0, source=prefix("0.0.0.0/0"), destination=prefix("::/0"))
    path.apply(SetPolicy(PEER, (both,)), NOW)

    assert not is_let_in(path, remote, family.received(UDP, udp()))


def test_what_answers_by_a_permit_of_a_source_needs_no_flow(
    datapath: MakeDataPath, remote: Remote, family: Family
) -> None:
    path = with_session(datapath, remote, flows=0)
    path.apply(SetPolicy(PEER, (Permit(rule=0, source=prefix(family.remote)),)), NOW)
    path.send_packet(family.sent(UDP, udp(5000, 53)), NOW)

    assert is_let_in(path, remote, family.received(UDP, udp(53, 5000)))


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_an_error_about_our_answer_to_what_a_peer_may_begin_is_let_in(
    path: DataPathUnderTest, remote: Remote, family: Family, protocol: int
) -> None:
    path.apply(SetPolicy(PEER, (Permit(0, protocol, None, 53, 53),)), NOW)
    payload = tcp(SYN, 53, 5000) if protocol == TCP else udp(53, 5000)
    answer = family.sent(protocol, payload)
    elsewhere = family.packet(family.local, family.strange, protocol, payload)
    path.send_packet(answer, NOW)

    assert is_let_in(path, remote, error_about(family, answer))
    assert not is_let_in(path, remote, error_about(family, elsewhere))


_KINDS: Final = st.sampled_from([TCP, UDP, GRE])
PORTS: Final = st.sampled_from([0, 1, 52, 53, 54, 80, 1000, 5000, 65534, 65535])
SOME_PERMITS: Final = st.lists(
    st.builds(
        lambda protocol, one, other, source, destination: Permit(
            0, protocol, destination, min(one, other), max(one, other), source
        ),
        st.sampled_from([0, TCP, UDP]),
        PORTS,
        PORTS,
        st.sampled_from(
            [None, prefix(REMOTE_HOST), prefix("10.0.0.0/8"), prefix("fd00::/64"), prefix("10.0.0.0/31")]
        ),
        st.sampled_from(
            [None, prefix(LOCAL_HOST), prefix("10.0.0.0/31"), prefix("fd00::/127"), prefix("fd00::2/128")]
        ),
    ),
    max_size=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(permits=SOME_PERMITS, packets=st.lists(st.tuples(_KINDS, PORTS), max_size=8))
def test_the_first_permit_in_their_order_counts_whatever_the_others_are(
    datapath: MakeDataPath, family: Family, permits: list[Permit], packets: list[tuple[int, int]]
) -> None:
    numbered = tuple(permit._replace(rule=number) for number, permit in enumerate(permits))
    remote = Remote()
    path = with_session(datapath, remote)
    path.apply(SetPolicy(PEER, numbered), NOW)
    expected = [0] * MAX_RULES

    for protocol, port in packets:
        first = _first(numbered, family, protocol, port)
        if first is not None:
            expected[first.rule] += 1
        assert is_let_in(path, remote, _of(family, protocol, port)) == (first is not None)

    assert list(path.rule_counts()) == expected


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(permits=SOME_PERMITS, streams=st.lists(st.tuples(_KINDS, PORTS, st.integers(1, 3)), max_size=8))
def test_the_first_permit_counts_each_of_the_packets_that_come_together(
    datapath: MakeDataPath, family: Family, permits: list[Permit], streams: list[tuple[int, int, int]]
) -> None:
    numbered = tuple(permit._replace(rule=number) for number, permit in enumerate(permits))
    remote = Remote()
    path = with_session(datapath, remote)
    path.apply(SetPolicy(PEER, numbered), NOW)
    let_in, expected = [], [0] * MAX_RULES

    for protocol, port, count in streams:
        first, packet = _first(numbered, family, protocol, port), _of(family, protocol, port)
        for _ in range(count):
            path.receive_datagram(remote.seal(packet), HOME, NOW)
        if first is not None:
            expected[first.rule] += count
            let_in += [packet] * count

    assert path.take_packets() == let_in
    assert list(path.rule_counts()) == expected


@pytest.mark.parametrize(
    "other",
    [
        ipv4(REMOTE_HOST, "10.0.0.9", udp(9, 80)),
        ipv4("10.0.0.3", LOCAL_HOST, udp(9, 80)),
        ipv4(REMOTE_HOST, LOCAL_HOST, udp(9, 81)),
        ipv4(REMOTE_HOST, LOCAL_HOST, tcp(SYN, 9, 80), protocol=TCP),
    ],
    ids=["destination", "source", "port", "protocol"],
)
def test_of_packets_that_come_together_each_is_looked_up_by_what_it_is(
    path: DataPathUnderTest, remote: Remote, other: bytes
) -> None:
    path.apply(SetRoute(PEER, prefix("10.0.0.3")), NOW)
    ends = prefix(REMOTE_HOST), prefix(LOCAL_HOST)
    path.apply(SetPolicy(PEER, (Permit(5, UDP, ends[1], 80, 80, ends[0]), Permit(6))), NOW)
    packet = ipv4(REMOTE_HOST, LOCAL_HOST, udp(9, 80))

    for data in (packet, other, packet, packet, other):
        path.receive_datagram(remote.seal(data), HOME, NOW)

    assert path.take_packets() == [packet, other, packet, packet, other]
    assert path.rule_counts()[5:7] == [3, 2]


def _of(family: Family, protocol: int, port: int) -> bytes:
    """What a permit is asked about."""
    return family.received(protocol, {TCP: tcp(SYN, 9, port), UDP: udp(9, port), GRE: bytes(8)}[protocol])


def _first(permits: Sequence[Permit], family: Family, protocol: int, port: int) -> Permit | None:
    """The one that lets it in."""
    source, destination = prefix(family.remote).address, prefix(family.local).address
    ends = source, destination, None if protocol == GRE else port
    return next((permit for permit in permits if _matches(permit, protocol, *ends)), None)


def _matches(permit: Permit, protocol: int, source: bytes, destination: bytes, port: int | None) -> bool:
    """What a permit means, without any index."""
    return (
        permit.protocol in (0, protocol)
        and all(
            prefix is None or contains(prefix, address)
            for prefix, address in ((permit.source, source), (permit.destination, destination))
        )
        and (
            (permit.first_port, permit.last_port) == (0, 65535)
            or (port is not None and permit.first_port <= port <= permit.last_port)
        )
    )


REFUSED = {
    "a rule below 0": (Permit(rule=-1),),
    "a rule too great": (Permit(rule=MAX_RULES),),
    "a protocol too great": (Permit(rule=0, protocol=256),),
    "a port too great": (Permit(rule=0, last_port=65536),),
    "ports the wrong way round": (Permit(rule=0, first_port=81, last_port=80),),
    "host bits": (Permit(rule=0, destination=prefix("10.0.0.0/8")._replace(address=b"\x0a\0\0\1")),),
    "a prefix too long": (Permit(rule=0, destination=prefix("10.0.0.0/8")._replace(prefix_length=33)),),
    "no address": (Permit(rule=0, destination=prefix("10.0.0.0/8")._replace(address=b"10")),),
    "too many": (Permit(rule=0),) * (MAX_PERMITS + 1),
}


@pytest.mark.parametrize("permits", REFUSED.values(), ids=REFUSED)
def test_what_is_no_policy_is_refused_and_changes_nothing(
    filtered: DataPathUnderTest, remote: Remote, permits: tuple[Permit, ...]
) -> None:
    with pytest.raises(ValueError, match="."):
        filtered.apply(SetPolicy(PEER, permits), NOW)

    assert not is_let_in(filtered, remote, ipv4(REMOTE_HOST, LOCAL_HOST, tcp(SYN)))


def test_as_many_permits_as_may_be_are_taken(path: DataPathUnderTest, remote: Remote) -> None:
    ports = tuple(Permit(rule=n, first_port=n, last_port=n) for n in range(MAX_PERMITS))

    path.apply(SetPolicy(PEER, ports), NOW)

    assert is_let_in(path, remote, ipv4(REMOTE_HOST, LOCAL_HOST, udp(53, MAX_PERMITS - 1)))
    assert not is_let_in(path, remote, ipv4(REMOTE_HOST, LOCAL_HOST, udp(53, MAX_PERMITS)))


# -- What is staged ------------------------------------------------------------------------------


@pytest.mark.parametrize("permits", [NOTHING, ANYTHING, None])
def test_a_change_of_policy_purges_what_is_staged_as_that_has_passed_the_former_one(
    path: DataPathUnderTest, permits: tuple[Permit, ...] | None
) -> None:
    path.apply(SetPolicy(PEER, (Permit(rule=1),)), NOW)
    path.apply(UseKeypair(PEER, None), NOW)
    path.send_packet(ipv4(LOCAL_HOST, REMOTE_HOST), NOW)

    path.apply(SetPolicy(PEER, permits), NOW)

    assert drop_counts(path) == {DropReason.STAGED_PURGED: 1}


@pytest.mark.parametrize("permits", [NOTHING, ANYTHING, None])
def test_the_same_policy_again_purges_nothing(
    path: DataPathUnderTest, remote: Remote, permits: tuple[Permit, ...] | None
) -> None:
    path.apply(SetPolicy(PEER, permits), NOW)
    path.apply(UseKeypair(PEER, None), NOW)
    path.send_packet(ipv4(LOCAL_HOST, REMOTE_HOST), NOW)

    path.apply(SetPolicy(PEER, permits), NOW)

    assert drop_counts(path) == {}
    path.apply(UseKeypair(PEER, remote.local_index), NOW)
    assert len(path.take_datagrams()) == 1


def test_what_is_staged_is_noted_when_it_comes_from_the_tun(
    filtered: DataPathUnderTest, remote: Remote, family: Family
) -> None:
    filtered.apply(UseKeypair(PEER, None), NOW)
    filtered.send_packet(family.sent(UDP, udp(5000, 53)), NOW)

    assert is_let_in(filtered, remote, family.received(UDP, udp(53, 5000)))


# -- Superpackets --------------------------------------------------------------------------------


def test_the_packets_of_a_connection_that_are_joined_are_judged_each(
    filtered: DataPathUnderTest, remote: Remote
) -> None:
    whole = Packet(
        bytes([10, 0, 0, 2]), bytes([10, 0, 0, 1]), TCP, ports=(80, 5000), payload=bytes(5000), flags=TCP_ACK
    )
    stream = segments(whole, 1000)
    opening = segments(replace(whole, payload=b"", flags=SYN), 1000)

    for packet in [*stream[:2], *opening, *stream[2:]]:
        filtered.receive_datagram(remote.seal(packet), HOME, NOW)

    assert filtered.take_packets() == stream
    assert drop_counts(filtered) == {DropReason.NOT_PERMITTED: 1}
