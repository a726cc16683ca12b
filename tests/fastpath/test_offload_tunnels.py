"""Superpackets in UDP tunnels are cut as the model in tunnels.py says, and nothing hostile is believed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fastpath.offloads import cut, join, refusal
from tests.fastpath.streams import IP4, IP6, KINDS, kinds, random_bytes
from tests.fastpath.superpackets import DONT_FRAGMENT, TUNNEL_CSUM, Packet, Vnet
from tests.fastpath.test_offload import changed, packets, uint16
from tests.fastpath.tunnels import TUNNELS, Tunnel, tunnelled, tunnelled_segments

each_tunnel = pytest.mark.parametrize("tunnel", TUNNELS.values(), ids=TUNNELS)


@st.composite
def tunnels(draw: st.DrawFn) -> Tunnel:
    kind = draw(st.sampled_from([KINDS["UDP over IPv4"], KINDS["UDP over IPv6"]]))
    outer = replace(
        kind,
        source=draw(st.binary(min_size=len(kind.source), max_size=len(kind.source))),
        ports=(draw(uint16), draw(uint16)),
        traffic_class=draw(st.integers(0, 255)),
        id=draw(uint16),
        fragment=draw(st.sampled_from([0, DONT_FRAGMENT])),
        ip_options=bytes(draw(st.sampled_from([0, 4, 40]))) if kind.version == 4 else b"",
    )
    length = 2 * draw(st.integers(0, 130))
    return Tunnel(outer, random_bytes(length, draw(st.integers(0, 3))), has_sum=draw(st.booleans()))


@given(tunnels(), packets(), st.integers(1, 3000))
def test_a_superpacket_in_a_tunnel_is_cut_as_the_rfcs_say(tunnel: Tunnel, inner: Packet, size: int) -> None:
    inner = replace(inner, payload=inner.payload[: min(200 * size, 65000)])
    vnet, data = tunnelled(tunnel, inner, size)

    assert cut(vnet, data) == tunnelled_segments(tunnel, inner, size)


@each_tunnel
@kinds
def test_the_largest_superpacket_in_a_tunnel_is_cut(tunnel: Tunnel, kind: Packet) -> None:
    inner = replace(kind, payload=random_bytes(65535 - tunnel.inner_at - kind.header_length))

    assert cut(*tunnelled(tunnel, inner, 1330)) == tunnelled_segments(tunnel, inner, 1330)


@kinds
@pytest.mark.parametrize("checksum", [0x0000, 0xFFFF, 0x0001])
def test_a_tunnels_checksum_next_to_zero_is_written_as_the_rfcs_say(kind: Packet, checksum: int) -> None:
    inner = replace(kind, payload=bytes(10))
    tunnel = TUNNELS["VXLAN"]
    at = tunnel.outer.checksum_at
    now = int.from_bytes(tunnelled_segments(tunnel, inner, 100)[0][at : at + 2])
    first = int.from_bytes(tunnel.between[:2])
    tunnel = replace(tunnel, between=((first + now - checksum) % 0xFFFF).to_bytes(2) + tunnel.between[2:])

    (segment,) = cut(*tunnelled(tunnel, inner, 100))

    assert segment == tunnelled_segments(tunnel, inner, 100)[0]
    assert int.from_bytes(segment[at : at + 2]) == (checksum or 0xFFFF)


@each_tunnel
def test_a_checksum_that_the_tunnel_has_is_completed_whether_or_not_it_is_told(tunnel: Tunnel) -> None:
    inner = replace(IP4, payload=random_bytes(3000))
    vnet, data = tunnelled(tunnel, inner, 1000)
    vnet = replace(vnet, flags=vnet.flags & ~TUNNEL_CSUM)

    assert cut(vnet, data) == tunnelled_segments(tunnel, inner, 1000)


@each_tunnel
def test_datagrams_of_a_tunnel_are_joined_if_they_have_checksums(tunnel: Tunnel) -> None:
    batch = list(tunnelled_segments(tunnel, replace(IP6, payload=random_bytes(3000)), 1000))

    handed = join(batch)

    assert [one.packets for one in handed] == ([[0, 1, 2]] if tunnel.has_sum else [[0], [1], [2]])
    assert [data for one in handed for data in cut(one.vnet, one.data)] == batch


VXLAN = TUNNELS["VXLAN"]
VNET, SUPERPACKET = tunnelled(VXLAN, replace(IP4, payload=bytes(3000)), 1000)
VNET6, SUPERPACKET6 = tunnelled(TUNNELS["VXLAN over IPv6"], replace(IP6, payload=bytes(3000)), 1000)
INNER = VXLAN.inner_at
LONG = Tunnel(VXLAN.outer, bytes(460))


@pytest.mark.parametrize(
    ("why", "vnet", "packet"),
    [
        ("tunnel", replace(VNET, gso_type=0x61), SUPERPACKET),  # over both
        ("tunnel", replace(VNET, gso_type=0x41), SUPERPACKET),
        ("tunnel", replace(VNET6, gso_type=0x24), SUPERPACKET6),
        ("tunnel", replace(VNET, outer_th_offset=24), SUPERPACKET),
        ("tunnel", replace(VNET, outer_th_offset=0, inner_nh_offset=0), SUPERPACKET),  # by a shorter header
        ("tunnel", replace(VNET, inner_nh_offset=26), SUPERPACKET),
        ("tunnel", replace(VNET, inner_nh_offset=INNER + 1), SUPERPACKET),
        ("tunnel", replace(VNET, inner_nh_offset=len(SUPERPACKET)), SUPERPACKET),
        ("tunnel", replace(VNET, inner_nh_offset=65534), SUPERPACKET),
        ("tunnel", replace(VNET, gso_type=0x21), replace(IP4, payload=bytes(3000)).encode()),
        ("tunnel", *tunnelled(LONG, replace(IP4, payload=bytes(3000)), 1000)),
        ("version", replace(VNET, inner_nh_offset=INNER - 2), SUPERPACKET),
        ("version", replace(VNET, gso_type=0x24), SUPERPACKET),
        ("short", replace(VNET, inner_nh_offset=len(SUPERPACKET) - 2), SUPERPACKET[:-2] + b"\x45\0"),
        ("length", VNET, SUPERPACKET[:-1]),
        ("length", VNET, SUPERPACKET + b"\0"),
        ("length", VNET, changed(SUPERPACKET, INNER + 2, "0028")),
        ("fragment", VNET, changed(SUPERPACKET, 6, "2000")),
        ("fragment", VNET, changed(SUPERPACKET, INNER + 6, "2000")),
        ("protocol", VNET, changed(SUPERPACKET, 9, "84")),
        ("protocol", VNET, changed(SUPERPACKET, INNER + 9, "01")),
        ("type", replace(VNET, gso_type=0x20), SUPERPACKET),
        ("type", replace(VNET, gso_type=0x23), SUPERPACKET),
        ("size", replace(VNET, gso_size=0), SUPERPACKET),
        ("checksum", replace(VNET, csum_start=20), SUPERPACKET),
        ("checksum", replace(VNET, csum_start=VNET.csum_start - INNER), SUPERPACKET),
        ("checksum", replace(VNET, csum_offset=6), SUPERPACKET),
    ],
)
def test_what_is_not_right_is_refused_with_a_reason(why: str, vnet: Vnet, packet: bytes) -> None:
    assert refusal(vnet, packet) == why
