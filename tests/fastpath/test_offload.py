"""Superpackets are cut and joined as the model in superpackets.py says, and nothing hostile is believed."""

from dataclasses import replace
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fastpath.offloads import Handed, cut, join, refusal
from tests.fastpath.streams import IP4, IP6, KINDS, TIMESTAMPS, encoded, groups, kinds, random_bytes, stream
from tests.fastpath.superpackets import (
    ACK,
    CWR,
    DONT_FRAGMENT,
    ECE,
    FIN,
    GSO_TCP4,
    NEEDS_CSUM,
    PSH,
    RST,
    SYN,
    TCP,
    UDP,
    URG,
    Packet,
    Vnet,
    segments,
    superpacket,
)

# -- Cutting -------------------------------------------------------------------------------------

uint16 = st.integers(0, 2**16 - 1)
uint32 = st.integers(0, 2**32 - 1)
multiples_of_4 = st.integers(0, 10).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n))


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    kind = draw(st.sampled_from(list(KINDS.values())))
    payload = random_bytes(draw(st.integers(0, 4000) | st.integers(0, 65000)), draw(st.integers(0, 3)))
    return replace(
        kind,
        source=draw(st.binary(min_size=len(kind.source), max_size=len(kind.source))),
        ports=(draw(uint16), draw(uint16)),
        payload=payload,
        traffic_class=draw(st.integers(0, 255)),
        hop_limit=draw(st.integers(0, 255)),
        id=draw(uint16),
        fragment=draw(st.sampled_from([0, DONT_FRAGMENT])),
        ip_options=draw(multiples_of_4) if kind.version == 4 else b"",
        flow_label=draw(st.integers(0, 2**20 - 1)),
        sequence=draw(uint32),
        acknowledgement=draw(uint32),
        reserved=draw(st.integers(0, 15)),
        flags=draw(st.integers(0, 255)),
        window=draw(uint16),
        urgent=draw(uint16),
        options=draw(multiples_of_4),
    )


@given(packets(), st.integers(1, 3000))
def test_a_superpacket_is_cut_as_the_rfcs_say(packet: Packet, size: int) -> None:
    packet = replace(packet, payload=packet.payload[: 200 * size])
    vnet, data = superpacket(packet, size)

    assert cut(vnet, data) == segments(packet, size)


@given(packets(), st.integers(1, 3000), uint16)
def test_the_length_of_the_headers_that_the_kernel_gives_is_not_believed(
    packet: Packet, size: int, lie: int
) -> None:
    packet = replace(packet, payload=packet.payload[: 20 * size])
    vnet, data = superpacket(packet, size)

    assert cut(replace(vnet, hdr_len=lie), data) == segments(packet, size)


@kinds
def test_the_largest_superpacket_is_cut(kind: Packet) -> None:
    packet = replace(kind, payload=random_bytes(65535 - kind.header_length))

    assert cut(*superpacket(packet, 1380)) == segments(packet, 1380)


@kinds
@pytest.mark.parametrize("checksum", [0x0000, 0xFFFF, 0x0001])
def test_a_checksum_next_to_zero_is_written_as_the_rfcs_say(kind: Packet, checksum: int) -> None:
    packet = replace(kind, payload=bytes(10))
    now = int.from_bytes(packet.encode()[packet.checksum_at :][:2])
    packet = replace(packet, payload=bytes(8) + ((now - checksum) % 0xFFFF).to_bytes(2))
    (segment,) = cut(*superpacket(packet, 100))

    assert segment == packet.encode()
    expected = checksum or (0xFFFF if kind.protocol == UDP else 0)
    if not (kind.protocol == TCP and checksum == 0xFFFF):
        assert int.from_bytes(segment[packet.checksum_at :][:2]) == expected


@kinds
def test_a_packet_that_needs_only_its_checksum_gets_it(kind: Packet) -> None:
    packet = replace(kind, payload=random_bytes(1001))
    vnet, data = superpacket(packet, 1)

    assert cut(replace(vnet, gso_type=0, gso_size=0), data) == [packet.encode()]


def test_a_checksum_may_be_that_of_an_inner_packet() -> None:
    inner = replace(IP4, payload=random_bytes(100))
    outer = replace(KINDS["UDP over IPv6"], payload=bytes(8) + inner.encode(partial=True))
    start = outer.header_length + 8 + 20

    (packet,) = cut(Vnet(NEEDS_CSUM, csum_start=start, csum_offset=16), outer.encode())

    assert packet.endswith(inner.encode())


@given(st.binary(max_size=100))
def test_a_packet_that_needs_nothing_is_as_it_was(data: bytes) -> None:
    assert cut(Vnet(), data) == [data]


VNET, SUPERPACKET = superpacket(replace(IP4, payload=bytes(3000)), 1000)
VNET6, SUPERPACKET6 = superpacket(replace(IP6, payload=bytes(3000)), 1000)
VNET_UDP, SUPERPACKET_UDP = superpacket(replace(KINDS["UDP over IPv4"], payload=bytes(3000)), 1000)


def changed(data: bytes, at: int, to: str) -> bytes:
    new = bytes.fromhex(to)
    return data[:at] + new + data[at + len(new) :]


@pytest.mark.parametrize(
    ("why", "vnet", "packet"),
    [
        ("short", VNET, b""),
        ("short", VNET, SUPERPACKET[:19]),
        ("short", VNET, changed(SUPERPACKET[:39], 2, "0027")),  # 20 bytes of TCP do not fit
        ("short", VNET, changed(SUPERPACKET, 0, "44")),  # an IP header of 16 bytes
        ("short", VNET, changed(changed(SUPERPACKET[:40], 2, "0028"), 0, "4f")),  # of 60, in 40
        ("short", VNET, changed(SUPERPACKET, 32, "40")),  # a TCP header of 16 bytes
        ("short", VNET, changed(changed(SUPERPACKET[:60], 2, "003c"), 32, "f0")),  # of 60, in 40
        ("short", VNET6, SUPERPACKET6[:39]),
        ("short", VNET6, changed(SUPERPACKET6[:50], 4, "000a")),
        ("short", VNET_UDP, changed(SUPERPACKET_UDP[:27], 2, "001b")),
        ("version", VNET, changed(SUPERPACKET, 0, "75")),
        ("version", VNET6, SUPERPACKET),
        ("version", VNET, SUPERPACKET6),
        ("length", VNET, SUPERPACKET[:-1]),
        ("length", VNET, SUPERPACKET + b"\0"),
        ("length", VNET, changed(SUPERPACKET, 2, "0000")),
        ("length", VNET6, SUPERPACKET6[:-1]),
        ("length", VNET6, SUPERPACKET6 + b"\0"),
        ("length", VNET_UDP, changed(SUPERPACKET_UDP, 24, "0010")),
        ("fragment", VNET, changed(SUPERPACKET, 6, "2000")),
        ("fragment", VNET, changed(SUPERPACKET, 6, "0001")),
        ("fragment", VNET6, changed(SUPERPACKET6, 6, "2c")),
        ("protocol", VNET6, changed(SUPERPACKET6, 6, "00")),  # hop-by-hop options
        ("protocol", VNET, changed(SUPERPACKET, 9, "01")),
        ("protocol", VNET, SUPERPACKET_UDP),
        ("protocol", VNET_UDP, SUPERPACKET),
        ("type", replace(VNET, gso_type=3), SUPERPACKET_UDP),  # fragmented UDP
        ("type", replace(VNET, gso_type=0x80), SUPERPACKET),
        ("type", replace(VNET, gso_type=0x11), SUPERPACKET),
        ("size", replace(VNET, gso_size=0), SUPERPACKET),
        ("checksum", replace(VNET, csum_start=len(SUPERPACKET)), SUPERPACKET),
        ("checksum", replace(VNET, csum_start=24), SUPERPACKET),
        ("checksum", replace(VNET, csum_offset=6), SUPERPACKET),
        ("checksum", replace(VNET_UDP, csum_offset=65535), SUPERPACKET_UDP),
        ("checksum", Vnet(NEEDS_CSUM, csum_start=99), bytes(100)),
        ("checksum", Vnet(NEEDS_CSUM, csum_start=0, csum_offset=99), bytes(100)),
        ("checksum", Vnet(NEEDS_CSUM, csum_start=65535, csum_offset=65535), bytes(100)),
        ("checksum", Vnet(NEEDS_CSUM), b"x"),
    ],
)
def test_what_is_not_right_is_refused_with_a_reason(why: str, vnet: Vnet, packet: bytes) -> None:
    assert refusal(vnet, packet) == why


def test_a_checksum_in_the_last_two_bytes_is_completed() -> None:
    assert refusal(Vnet(NEEDS_CSUM, csum_start=50, csum_offset=48), bytes(100)) is None


# -- Joining -------------------------------------------------------------------------------------


@kinds
@pytest.mark.parametrize("options", [b"", TIMESTAMPS], ids=["without options", "with timestamps"])
def test_packets_of_a_flow_are_joined(kind: Packet, options: bytes) -> None:
    if kind.protocol == UDP:
        options = b""
    kind = replace(kind, options=options, traffic_class=2)
    batch = encoded(stream(kind, 1000, 1000, 1000, 10))

    (handed,) = join(batch)

    payload = b"".join(random_bytes(length, i) for i, length in enumerate([1000, 1000, 1000, 10]))
    vnet, data = superpacket(replace(kind, payload=payload), 1000)
    assert handed == Handed([0, 1, 2, 3], vnet, data)
    assert cut(vnet, data) == batch


@kinds
def test_a_packet_without_company_is_as_it_was(kind: Packet) -> None:
    data = replace(kind, payload=bytes(100)).encode()

    assert join([data]) == [Handed([0], Vnet(), data)]


@kinds
def test_a_shorter_packet_ends_a_group_and_a_longer_one_begins_another(kind: Packet) -> None:
    assert groups(stream(kind, 100, 100, 99, 99, 99, 100)) == [[0, 1, 2], [3, 4], [5]]


@pytest.mark.parametrize("flag", [PSH, FIN])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_push_and_the_end_of_the_stream_end_a_group(flag: int, at: int) -> None:
    batch = stream(IP4, 100, 100, 100)
    batch[at] = replace(batch[at], flags=ACK | flag)

    assert groups(batch) == [list(range(at + 1)), *([list(range(at + 1, 3))] if at < 2 else [])]


@pytest.mark.parametrize("flag", [PSH, FIN, PSH | FIN])
def test_the_group_has_the_flags_of_its_last_packet(flag: int) -> None:
    batch = stream(IP4, 100, 100)
    batch[1] = replace(batch[1], flags=ACK | flag)

    (handed,) = join(encoded(batch))

    assert handed.data[33] == ACK | flag
    assert cut(handed.vnet, handed.data) == encoded(batch)


@pytest.mark.parametrize("flag", [SYN, RST, URG])
def test_what_changes_the_connection_is_never_joined(flag: int) -> None:
    batch = stream(IP4, 100, 100, 100, flags=ACK | flag)

    assert groups(batch) == [[0], [1], [2]]


def test_a_reduced_window_is_told_once_at_the_front_of_a_group() -> None:
    batch = stream(IP4, 100, 100, 100, 100)
    batch[0] = replace(batch[0], flags=ACK | CWR)
    batch[2] = replace(batch[2], flags=ACK | CWR)

    handed = join(encoded(batch))

    assert [one.packets for one in handed] == [[0, 1], [2, 3]]
    assert {one.vnet.gso_type for one in handed} == {GSO_TCP4 | 0x80}
    assert list(chain.from_iterable(cut(one.vnet, one.data) for one in handed)) == encoded(batch)


@kinds
@pytest.mark.parametrize(
    "change",
    [
        {"traffic_class": 3},
        {"hop_limit": 63},
        {"fragment": 0},
        {"flow_label": 1},
        {"sequence": 102},
        {"sequence": 100},
        {"acknowledgement": 2},
        {"flags": ACK | ECE},
        {"flags": 0},
        {"reserved": 1},
        {"window": 999},
        {"urgent": 1},
        {"options": TIMESTAMPS},
        {"id": 7 + 2},
        {"id": 6},
        {"ip_options": bytes(4)},
    ],
    ids=" ".join,
)
def test_a_packet_that_differs_begins_another_group(kind: Packet, change: dict[str, int | bytes]) -> None:
    first, second, *_ = stream(kind, 100, 100)
    second = replace(second, **change)  # type: ignore[arg-type]
    differs = second.encode() != stream(kind, 100, 100)[1].encode()

    assert groups([first, second]) == ([[0], [1]] if differs else [[0, 1]])


@kinds
@pytest.mark.parametrize("bad", [0, 1, 2, 3])
@pytest.mark.parametrize("where", ["header", "payload", "checksum"])
def test_a_packet_with_a_wrong_checksum_stays_alone_and_wrong(kind: Packet, bad: int, where: str) -> None:
    batch = encoded(stream(kind, 100, 100, 100, 100))
    at = {"header": kind.transport + 1, "payload": -1, "checksum": kind.checksum_at}[where]
    damaged = bytearray(batch[bad])
    damaged[at] ^= 0x10
    batch[bad] = bytes(damaged)

    handed = join(batch)

    assert Handed([bad], Vnet(), batch[bad]) in handed
    assert sorted(chain.from_iterable(one.packets for one in handed)) == [0, 1, 2, 3]
    intact = [one for one in handed if one.packets != [bad]]
    assert [data for one in intact for data in cut(one.vnet, one.data)] == batch[:bad] + batch[bad + 1 :]


def test_a_wrong_checksum_of_the_ip_header_stays_wrong() -> None:
    batch = encoded(stream(IP4, 100, 100, 100))
    batch[1] = changed(batch[1], 10, "1234")

    assert [one.packets for one in join(batch)] == [[0], [1], [2]]


@pytest.mark.parametrize("kind", [KINDS["UDP over IPv4"], KINDS["UDP over IPv6"]], ids=["IPv4", "IPv6"])
def test_a_datagram_without_checksum_stays_without(kind: Packet) -> None:
    batch = [changed(data, kind.checksum_at, "0000") for data in encoded(stream(kind, 100, 100))]

    assert join(batch) == [Handed([i], Vnet(), data) for i, data in enumerate(batch)]


def test_a_checksum_of_minus_zero_is_not_rewritten() -> None:
    batch = stream(IP4, 100, 100, 100)
    now = int.from_bytes(batch[1].encode()[36:38])
    low = int.from_bytes(batch[1].payload[-2:])
    total = (low + now) % 0xFFFF
    batch[1] = replace(batch[1], payload=batch[1].payload[:-2] + total.to_bytes(2))
    data = encoded(batch)
    assert data[1][36:38] == bytes(2)

    assert [one.packets for one in join(data)] == [[0, 1, 2]]
    data[1] = changed(data[1], 36, "ffff")
    assert [one.packets for one in join(data)] == [[0], [1], [2]]


@pytest.mark.parametrize("kind", [IP4, KINDS["UDP over IPv4"]], ids=["TCP", "UDP"])
def test_identifications_that_stay_the_same_are_joined_where_they_mean_nothing(kind: Packet) -> None:
    assert groups(stream(kind, 100, 100, 100, id=0)) == [[0, 1, 2]]
    assert groups(stream(kind, 100, 100, 100, id=0, fragment=0)) == [[0], [1], [2]]


def test_identifications_either_count_or_stay() -> None:
    batch = stream(IP4, 100, 100, 100, 100)
    batch[2:] = [replace(packet, id=packet.id - 1) for packet in batch[2:]]

    assert groups(batch) == [[0, 1], [2, 3]]


def test_sequence_numbers_and_identifications_go_round() -> None:
    batch = stream(replace(IP4, sequence=2**32 - 150, id=2**16 - 2), 100, 100, 100, 100)

    (handed,) = join(encoded(batch))

    assert cut(handed.vnet, handed.data) == encoded(batch)


@kinds
def test_a_group_is_no_longer_than_an_ip_packet_can_be(kind: Packet) -> None:
    batch = encoded(stream(kind, *[1380] * 50))

    first, second = join(batch)

    assert len(first.data) <= 65535 < len(first.data) + 1380
    assert cut(first.vnet, first.data) + cut(second.vnet, second.data) == batch


@kinds
def test_a_group_of_small_packets_has_a_limit(kind: Packet) -> None:
    most = 128 if kind.protocol == TCP else 64

    assert list(map(len, groups(stream(kind, *[8] * 200)))) == [
        most,
        *([most] * (200 // most - 1)),
        200 % most,
    ]


@kinds
def test_packets_without_payload_pass_alone_and_let_nothing_overtake(kind: Packet) -> None:
    assert groups(stream(kind, 100, 100, 0, 100, 100)) == [[0, 1], [2], [3, 4]]


def test_flows_that_take_turns_are_joined_each() -> None:
    flows = [
        stream(replace(kind, ports=(port, 1)), 100, 100, 100) for kind in KINDS.values() for port in (1, 2)
    ]
    batch = list(chain.from_iterable(zip(*flows, strict=True)))

    assert groups(batch) == [[i, i + 8, i + 16] for i in range(8)]


def test_more_flows_than_are_watched_still_arrive_in_order() -> None:
    flows = [stream(replace(IP4, ports=(port, 1)), 100, 100, 100) for port in range(9)]
    batch = list(chain.from_iterable(zip(*flows, strict=True)))

    assert groups(batch) == [[i] for i in range(27)]


@kinds
@pytest.mark.parametrize("other", ["fragment", "ICMP", "nonsense", "nothing"])
def test_what_may_belong_to_any_flow_is_overtaken_by_none(kind: Packet, other: str) -> None:
    data = {
        "fragment": replace(IP4, payload=bytes(100), fragment=0x2000).encode(),
        "ICMP": replace(KINDS["UDP over IPv4"], payload=bytes(100), protocol=1).encode()[:50],
        "nonsense": bytes(range(200)),
        "nothing": b"",
    }[other]
    before = encoded(stream(kind, 100, 100))
    after = encoded(stream(replace(kind, sequence=201, id=9), 100, 100))

    handed = join([*before, data, *after])

    assert [one.packets for one in handed] == [[0, 1], [2], [3, 4]]
    assert handed[1] == Handed([2], Vnet(), data)


@pytest.mark.parametrize("protocols", [(), (TCP,), (UDP,), (TCP, UDP)])
def test_only_what_the_kernel_takes_is_joined(protocols: tuple[int, ...]) -> None:
    for kind in KINDS.values():
        handed = join(encoded(stream(kind, 100, 100)), protocols)
        assert len(handed) == (1 if kind.protocol in protocols else 2)


def test_no_packets_are_no_groups() -> None:
    assert join([]) == []
