"""What a peer may begin, what answers us, and what is neither."""

from struct import pack

import pytest

from tests.datapath.kinds import PEER, DataPathUnderTest, MakeDataPath, drop_counts, prefix
from tests.datapath.packets import ipv4, ipv6
from tests.datapath.policies import (
    ACK,
    ANYTHING,
    DCCP,
    FAMILIES,
    FIN,
    FLOW_LIFETIME,
    GRE,
    NOTHING,
    RST,
    SCTP,
    SYN,
    TCP,
    UDP,
    UDP_LITE,
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
    LOCAL_HOST,
    LOCAL_HOST6,
    NOW,
    REMOTE_HOST,
    REMOTE_HOST6,
    STRANGE_HOST,
    Remote,
)
from wgpy.contract.drops import DropReason
from wgpy.contract.orders import Permit, RemovePeer, SetPolicy, SetRoute

__all__ = ["family", "filtered", "path"]  # fixtures


# -- Without a policy ----------------------------------------------------------------------------


def test_without_a_policy_everything_passes(path: DataPathUnderTest, remote: Remote, family: Family) -> None:
    for packet in (family.received(TCP, tcp(SYN)), family.received(UDP, udp()), family.received(GRE, b"")):
        assert is_let_in(path, remote, packet)


def test_a_policy_that_is_taken_away_lets_everything_pass_again(
    filtered: DataPathUnderTest, remote: Remote, family: Family
) -> None:
    filtered.apply(SetPolicy(PEER, None), NOW)

    assert is_let_in(filtered, remote, family.received(TCP, tcp(SYN)))


# -- TCP -----------------------------------------------------------------------------------------


def test_a_peer_begins_no_connection_that_is_not_permitted(
    filtered: DataPathUnderTest, remote: Remote, family: Family
) -> None:
    assert not is_let_in(filtered, remote, family.received(TCP, tcp(SYN)))
    assert drop_counts(filtered) == {DropReason.NOT_PERMITTED: 1}


@pytest.mark.parametrize("flags", [SYN | ACK, ACK, RST, FIN | ACK, RST | ACK, 0])
def test_what_begins_no_connection_needs_no_permit(
    filtered: DataPathUnderTest, remote: Remote, family: Family, flags: int
) -> None:
    assert is_let_in(filtered, remote, family.received(TCP, tcp(flags)))


@pytest.mark.parametrize("flags", [SYN | FIN, SYN | RST, SYN | 0xC0])
def test_a_syn_with_other_flags_begins_a_connection_too(
    filtered: DataPathUnderTest, remote: Remote, family: Family, flags: int
) -> None:
    assert not is_let_in(filtered, remote, family.received(TCP, tcp(flags)))


def test_a_tcp_header_that_is_cut_short_is_not_let_in(
    filtered: DataPathUnderTest, remote: Remote, family: Family
) -> None:
    assert not is_let_in(filtered, remote, family.received(TCP, tcp(ACK)[:13]))


# -- UDP and other protocols with ports ----------------------------------------------------------

with_ports = pytest.mark.parametrize("protocol", [UDP, DCCP, SCTP, UDP_LITE])


@with_ports
def test_a_datagram_is_let_in_if_it_answers(
    filtered: DataPathUnderTest, remote: Remote, family: Family, protocol: int
) -> None:
    filtered.send_packet(family.sent(protocol, udp(5000, 53)), NOW)

    assert is_let_in(filtered, remote, family.received(protocol, udp(53, 5000)))


@with_ports
def test_a_datagram_that_answers_nothing_is_not_let_in(
    filtered: DataPathUnderTest, remote: Remote, family: Family, protocol: int
) -> None:
    assert not is_let_in(filtered, remote, family.received(protocol, udp(53, 5000)))
    assert drop_counts(filtered) == {DropReason.NOT_PERMITTED: 1}


def test_an_answer_comes_from_where_and_to_where_the_question_was(
    filtered: DataPathUnderTest, remote: Remote, family: Family
) -> None:
    filtered.apply(SetRoute(PEER, prefix(family.strange)), NOW)
    filtered.send_packet(family.sent(UDP, udp(5000, 53)), NOW)

    for packet in (
        family.received(UDP, udp(54, 5000)),
        family.received(UDP, udp(53, 5001)),
        family.received(UDP_LITE, udp(53, 5000)),
        family.packet(family.strange, family.local, UDP, udp(53, 5000)),
        family.packet(family.remote, family.strange, UDP, udp(53, 5000)),
    ):
        assert not is_let_in(filtered, remote, packet)


def test_a_datagram_that_was_let_in_makes_no_other_one_an_answer(
    path: DataPathUnderTest, remote: Remote, family: Family
) -> None:
    path.apply(SetPolicy(PEER, (Permit(rule=0, protocol=UDP, first_port=5000, last_port=5000),)), NOW)
    assert is_let_in(path, remote, family.received(UDP, udp(53, 5000)))

    assert not is_let_in(path, remote, family.received(UDP, udp(53, 5001)))


def test_a_protocol_without_ports_is_answered_from_where_it_went(
    filtered: DataPathUnderTest, remote: Remote, family: Family
) -> None:
    assert not is_let_in(filtered, remote, family.received(GRE, b"payload"))

    filtered.send_packet(family.sent(GRE, b""), NOW)

    assert is_let_in(filtered, remote, family.received(GRE, b"payload"))


# -- How long a flow lives -----------------------------------------------------------------------


def test_a_flow_lives_for_three_minutes_after_it_was_used(
    filtered: DataPathUnderTest, remote: Remote, family: Family
) -> None:
    filtered.send_packet(family.sent(UDP, udp(5000, 53)), NOW)
    filtered.send_packet(family.sent(UDP, udp(5001, 53)), NOW)

    assert is_let_in(filtered, remote, family.received(UDP, udp(53, 5000)), NOW + FLOW_LIFETIME - 1)
    assert not is_let_in(filtered, remote, family.received(UDP, udp(53, 5001)), NOW + FLOW_LIFETIME)


@pytest.mark.parametrize("inbound", [True, False])
def test_either_direction_keeps_a_flow_alive(
    filtered: DataPathUnderTest, remote: Remote, family: Family, inbound: bool
) -> None:
    question, answer = family.sent(UDP, udp(5000, 53)), family.received(UDP, udp(53, 5000))
    filtered.send_packet(question, NOW)
    if inbound:
        assert is_let_in(filtered, remote, answer, NOW + FLOW_LIFETIME - 1)
    else:
        filtered.send_packet(question, NOW + FLOW_LIFETIME - 1)

    assert is_let_in(filtered, remote, answer, NOW + 2 * FLOW_LIFETIME - 2)


def test_of_too_many_flows_the_one_that_was_not_used_for_longest_gives_way(
    datapath: MakeDataPath, remote: Remote, family: Family
) -> None:
    path = with_session(datapath, remote, flows=8)
    path.apply(SetPolicy(PEER, NOTHING), NOW)
    for number in range(8):
        path.send_packet(family.sent(UDP, udp(5000 + number, 53)), NOW + number)
    assert is_let_in(path, remote, family.received(UDP, udp(53, 5000)), NOW + 10)

    path.send_packet(family.sent(UDP, udp(6000, 53)), NOW + 11)

    ports = [5001, 5000, 6000, *range(5002, 5008)]
    answered = [
        port for port in ports if is_let_in(path, remote, family.received(UDP, udp(53, port)), NOW + 12)
    ]
    assert answered == ports[1:]


def test_a_connection_and_what_a_permit_lets_in_take_no_place_of_a_flow(
    datapath: MakeDataPath, remote: Remote, family: Family
) -> None:
    path = with_session(datapath, remote, flows=8)
    path.apply(SetPolicy(PEER, (Permit(rule=0, protocol=UDP, first_port=7, last_port=7),)), NOW)
    path.send_packet(family.sent(UDP, udp(5000, 53)), NOW)

    for number in range(8):
        path.send_packet(family.sent(TCP, tcp(SYN, 5000 + number, 80)), NOW + 1)
        path.send_packet(family.sent(UDP, udp(7, 5000 + number)), NOW + 1)

    assert is_let_in(path, remote, family.received(UDP, udp(53, 5000)), NOW + 2)


def test_another_peer_answers_nothing(datapath: MakeDataPath, remote: Remote) -> None:
    path = with_session(datapath, remote)
    other, also = Remote(local_index=9, remote_index=10), "10.0.0.3"
    add_peer(path, 8, other, also)
    for peer in (PEER, 8):
        path.apply(SetPolicy(peer, NOTHING), NOW)
    path.send_packet(ipv4(LOCAL_HOST, also, udp(5000, 53)), NOW)

    path.apply(SetRoute(PEER, prefix(also)), NOW)

    assert not is_let_in(path, remote, ipv4(also, LOCAL_HOST, udp(53, 5000)))


def test_a_peer_inherits_nothing_from_a_former_one_of_its_number(
    datapath: MakeDataPath, remote: Remote
) -> None:
    path = with_session(datapath, remote)
    path.apply(SetPolicy(PEER, NOTHING), NOW)
    path.send_packet(ipv4(LOCAL_HOST, REMOTE_HOST, udp(5000, 53)), NOW)
    path.apply(RemovePeer(PEER), NOW)

    add_peer(path, PEER, remote, REMOTE_HOST)
    assert is_let_in(path, remote, ipv4(REMOTE_HOST, LOCAL_HOST, tcp(SYN)))
    path.apply(SetPolicy(PEER, NOTHING), NOW)

    assert not is_let_in(path, remote, ipv4(REMOTE_HOST, LOCAL_HOST, udp(53, 5000)))


# -- ICMP ----------------------------------------------------------------------------------------


def test_a_ping_is_answered(filtered: DataPathUnderTest, remote: Remote, family: Family) -> None:
    filtered.send_packet(family.sent(family.icmp, icmp(family.query, identifier=7)), NOW)

    assert is_let_in(filtered, remote, family.received(family.icmp, icmp(family.reply, identifier=7)))
    assert not is_let_in(filtered, remote, family.received(family.icmp, icmp(family.reply, identifier=8)))


def test_a_peer_pings_only_with_a_permit(path: DataPathUnderTest, remote: Remote, family: Family) -> None:
    ping = family.received(family.icmp, icmp(family.query))
    path.apply(SetPolicy(PEER, NOTHING), NOW)
    assert not is_let_in(path, remote, ping)

    path.apply(SetPolicy(PEER, (Permit(rule=0, protocol=family.icmp),)), NOW)

    assert is_let_in(path, remote, ping)


def test_a_ping_of_the_peer_is_no_answer_to_ours(
    filtered: DataPathUnderTest, remote: Remote, family: Family
) -> None:
    filtered.send_packet(family.sent(family.icmp, icmp(family.query, identifier=7)), NOW)

    assert not is_let_in(filtered, remote, family.received(family.icmp, icmp(family.query, identifier=7)))


def test_a_reply_of_ours_begins_nothing(filtered: DataPathUnderTest, remote: Remote, family: Family) -> None:
    filtered.send_packet(family.sent(family.icmp, icmp(family.reply, identifier=7)), NOW)

    assert not is_let_in(filtered, remote, family.received(family.icmp, icmp(family.reply, identifier=7)))


@pytest.mark.parametrize("type_", [5, 9, 10, 137])
def test_other_icmp_is_not_let_in(
    filtered: DataPathUnderTest, remote: Remote, family: Family, type_: int
) -> None:
    filtered.send_packet(family.sent(family.icmp, icmp(type_)), NOW)

    assert not is_let_in(filtered, remote, family.received(family.icmp, icmp(type_)))


def test_an_error_about_a_connection_with_the_peer_is_let_in(
    filtered: DataPathUnderTest, remote: Remote, family: Family
) -> None:
    error = error_about(family, family.sent(TCP, tcp(ACK))[:48])

    assert is_let_in(filtered, remote, error)


def test_an_error_about_a_connection_with_somebody_else_is_not(
    filtered: DataPathUnderTest, remote: Remote, family: Family
) -> None:
    error = error_about(family, family.packet(family.local, family.strange, TCP, tcp(ACK)))

    assert not is_let_in(filtered, remote, error)


def test_an_error_about_a_flow_is_let_in_while_it_lives(
    filtered: DataPathUnderTest, remote: Remote, family: Family
) -> None:
    question = family.sent(UDP, udp(5000, 53) + bytes(1000))
    error = error_about(family, question[:68])
    assert not is_let_in(filtered, remote, error)

    filtered.send_packet(question, NOW)

    assert is_let_in(filtered, remote, error, NOW + FLOW_LIFETIME - 1)
    assert not is_let_in(filtered, remote, error, NOW + FLOW_LIFETIME)


def test_an_error_about_a_ping_is_let_in(filtered: DataPathUnderTest, remote: Remote, family: Family) -> None:
    ping = family.sent(family.icmp, icmp(family.query, identifier=7))
    filtered.send_packet(ping, NOW)

    assert is_let_in(filtered, remote, error_about(family, ping))


def test_an_error_quotes_what_was_sent_from_where_it_goes_to(
    filtered: DataPathUnderTest, remote: Remote, family: Family
) -> None:
    filtered.send_packet(family.packet(family.strange, family.remote, UDP, udp(5000, 53)), NOW)
    quoted = family.packet(family.strange, family.remote, UDP, udp(5000, 53))

    assert not is_let_in(filtered, remote, error_about(family, quoted))


@pytest.mark.parametrize("size", [0, 7, 19])
def test_an_error_that_quotes_too_little_is_not_let_in(
    filtered: DataPathUnderTest, remote: Remote, family: Family, size: int
) -> None:
    assert not is_let_in(filtered, remote, error_about(family, family.sent(TCP, tcp(ACK))[:size]))


def test_an_error_about_a_later_fragment_is_not_let_in(filtered: DataPathUnderTest, remote: Remote) -> None:
    quoted = ipv4(LOCAL_HOST, REMOTE_HOST, tcp(ACK), protocol=TCP, fragment=100)

    assert not is_let_in(filtered, remote, error_about(FAMILIES["IPv4"], quoted))


# -- Fragments -----------------------------------------------------------------------------------


def test_a_first_fragment_is_judged_like_a_packet(
    filtered: DataPathUnderTest, remote: Remote, family: Family
) -> None:
    assert not is_let_in(filtered, remote, family.fragment(UDP, udp(53, 5000) + bytes(1000)))

    filtered.send_packet(family.sent(UDP, udp(5000, 53)), NOW)

    assert is_let_in(filtered, remote, family.fragment(UDP, udp(53, 5000) + bytes(1000)))


@pytest.mark.parametrize("more", [True, False])
def test_a_later_fragment_passes_as_it_is_nothing_without_the_first(
    filtered: DataPathUnderTest, remote: Remote, family: Family, more: bool
) -> None:
    assert is_let_in(filtered, remote, family.fragment(UDP, bytes(16), offset=126, more=more))


@pytest.mark.parametrize(
    ("protocol", "payload"), [(TCP, bytes(13)), (UDP, bytes(7)), (SCTP, b""), ("icmp", bytes(7))]
)
def test_a_first_fragment_that_ends_within_its_transport_header_is_invalid(
    path: DataPathUnderTest, remote: Remote, family: Family, protocol: int | str, payload: bytes
) -> None:
    path.apply(SetPolicy(PEER, ANYTHING), NOW)

    packet = family.fragment(family.icmp if isinstance(protocol, str) else protocol, payload)

    assert not is_let_in(path, remote, packet)
    assert drop_counts(path) == {DropReason.INVALID_FRAGMENT: 1}


def test_a_tcp_fragment_that_would_overwrite_the_flags_is_invalid(
    path: DataPathUnderTest, remote: Remote, family: Family
) -> None:
    path.apply(SetPolicy(PEER, ANYTHING), NOW)

    assert not is_let_in(path, remote, family.fragment(TCP, bytes(16), offset=1))
    assert is_let_in(path, remote, family.fragment(TCP, bytes(16), offset=2))
    assert is_let_in(path, remote, family.fragment(UDP, bytes(16), offset=1))
    assert drop_counts(path) == {DropReason.INVALID_FRAGMENT: 1}


def test_fragments_of_ours_begin_what_their_first_one_begins(
    filtered: DataPathUnderTest, remote: Remote
) -> None:
    later = ipv4(LOCAL_HOST, REMOTE_HOST, udp(5001, 53), fragment=100)
    first = ipv4(LOCAL_HOST, REMOTE_HOST, udp(5000, 53), fragment=0x2000)
    for packet in (later, first):
        filtered.send_packet(packet, NOW)

    assert is_let_in(filtered, remote, ipv4(REMOTE_HOST, LOCAL_HOST, udp(53, 5000)))
    assert not is_let_in(filtered, remote, ipv4(REMOTE_HOST, LOCAL_HOST, udp(53, 5001)))


# -- Extension headers, options, and what cannot be read -----------------------------------------

OPTIONS = bytes([60, 0]) + bytes(6)  # 60: destination options come next, too
AH = bytes([UDP, 4]) + bytes(22)  # its length counts words of four bytes, less two


def behind(*headers: bytes, protocol: int) -> bytes:
    """A chain of extension headers, each of which says what comes next: here the last is put right."""
    return b"".join(headers[:-1]) + bytes([protocol]) + headers[-1][1:]


@pytest.mark.parametrize(
    ("first", "chain"),
    [
        (0, behind(OPTIONS, protocol=UDP)),
        (43, behind(OPTIONS, OPTIONS, protocol=UDP)),
        (60, behind(*[OPTIONS] * 8, protocol=UDP)),
        (51, AH),
        (44, pack(">BBHI", UDP, 0, 0, 1)),
        (60, behind(bytes([60, 2]) + bytes(22), protocol=UDP)),
    ],
    ids=["hop by hop", "routing", "eight", "authentication", "atomic fragment", "long"],
)
def test_extension_headers_are_looked_behind(
    filtered: DataPathUnderTest, remote: Remote, first: int, chain: bytes
) -> None:
    packet = ipv6(REMOTE_HOST6, LOCAL_HOST6, chain + udp(53, 5000), protocol=first)
    assert not is_let_in(filtered, remote, packet)

    filtered.send_packet(ipv6(LOCAL_HOST6, REMOTE_HOST6, udp(5000, 53)), NOW)

    assert is_let_in(filtered, remote, packet)


UNREADABLE = {
    "nine": ipv6(REMOTE_HOST6, LOCAL_HOST6, behind(*[OPTIONS] * 9, protocol=TCP) + bytes(40), protocol=60),
    "beyond the end": ipv6(REMOTE_HOST6, LOCAL_HOST6, bytes([TCP, 9]) + bytes(38), protocol=60),
    "cut short": ipv6(REMOTE_HOST6, LOCAL_HOST6, bytes(4), protocol=0),
    "two fragment headers": ipv6(
        REMOTE_HOST6, LOCAL_HOST6, pack(">BBHIBBHI", 44, 0, 0, 1, TCP, 0, 0, 1) + bytes(40), protocol=44
    ),
    "IPv4 options beyond the end": b"\x4f" + ipv4(REMOTE_HOST, LOCAL_HOST, bytes(20), protocol=TCP)[1:],
    "an IPv4 header below its least": b"\x44" + ipv4(REMOTE_HOST, LOCAL_HOST, bytes(20), protocol=TCP)[1:],
    "a short datagram": ipv4(REMOTE_HOST, LOCAL_HOST, bytes(7)),
}


@pytest.mark.parametrize("packet", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize(
    ("permit", "expected"),
    [
        (Permit(rule=0), True),
        (Permit(rule=0, protocol=TCP), False),
        (Permit(rule=0, protocol=UDP), False),
        (Permit(rule=0, last_port=65534), False),
        (Permit(rule=0, destination=prefix(STRANGE_HOST)), False),
    ],
    ids=["anything", "tcp", "udp", "ports", "elsewhere"],
)
def test_what_cannot_be_read_comes_in_only_if_anything_does(
    path: DataPathUnderTest, remote: Remote, packet: bytes, permit: Permit, expected: bool
) -> None:
    path.apply(SetPolicy(PEER, (permit,)), NOW)

    assert is_let_in(path, remote, packet) == expected


def test_ipv4_options_are_looked_behind(path: DataPathUnderTest, remote: Remote) -> None:
    plain = ipv4(REMOTE_HOST, LOCAL_HOST, bytes(4) + udp(53, 5000))
    packet = b"\x46" + plain[1:]
    path.apply(SetPolicy(PEER, (Permit(rule=0, first_port=5000, last_port=5000),)), NOW)

    assert is_let_in(path, remote, packet)
    assert not is_let_in(path, remote, b"\x45" + plain[1:])
