"""Nothing that the network or the TUN gives makes a data path raise, and what one sends the other reads."""

from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.datapath.kinds import (
    DATA_PATHS,
    PEER,
    DataPathUnderTest,
    MakeDataPath,
    drop_counts,
    prefix,
    with_session,
)
from tests.datapath.packets import ipv4, ipv6
from tests.datapath.remote import AWAY, HOME, LOCAL_HOST, LOCAL_HOST6, NOW, REMOTE_HOST, REMOTE_HOST6, Remote
from wgpy.contract.drops import DropReason
from wgpy.contract.orders import AddPeer, SetRoute, UseKeypair

all_data_paths = pytest.mark.parametrize("make", DATA_PATHS.values(), ids=DATA_PATHS)

MTUS = st.integers(1, 1500) | st.just(65_535)
ECN_FIELDS = st.integers(0, 3)


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """From the remote hosts to ours, of any size and TOS."""
    payload, tos = draw(st.binary(max_size=1600)), draw(st.integers(0, 255))
    if draw(st.booleans()):
        return ipv6(REMOTE_HOST6, LOCAL_HOST6, payload, traffic_class=tos)
    return ipv4(REMOTE_HOST, LOCAL_HOST, payload, tos=tos)


class Tunnel(NamedTuple):
    near: DataPathUnderTest
    far: DataPathUnderTest


def tunnel(make: MakeDataPath, mtu: int) -> Tunnel:
    """Two data paths with a session; the hosts called remote are behind `far`."""
    near = with_session(make, Remote(1, 2, b"from near to far", b"from far to near"), mtu=mtu)
    far = make(mtu=mtu)
    far.apply(AddPeer(PEER), NOW)
    for text in (LOCAL_HOST, LOCAL_HOST6):
        far.apply(SetRoute(PEER, prefix(text)), NOW)
    far.apply(Remote(2, 1, b"from far to near", b"from near to far").keypair(PEER), NOW)
    near.apply(UseKeypair(PEER, 1), NOW)
    far.apply(UseKeypair(PEER, 2), NOW)
    # far has no endpoint before it hears from near.
    near.send_packet(ipv4(LOCAL_HOST, REMOTE_HOST), NOW)
    for datagram in near.take_datagrams():
        far.receive_datagram(datagram.data, AWAY, NOW)
    assert len(far.take_packets()) == 1
    return Tunnel(near, far)


@all_data_paths
@given(sent=st.lists(packets(), max_size=8), mtu=MTUS, order=st.randoms(use_true_random=False))
def test_what_one_sends_the_other_reads_in_any_order(
    make: MakeDataPath, sent: list[bytes], mtu: int, order: Random
) -> None:
    near, far = tunnel(make, mtu)
    for packet in sent:
        far.send_packet(packet, NOW)
    datagrams = far.take_datagrams()
    order.shuffle(datagrams)

    for datagram in datagrams:
        near.receive_datagram(datagram.data, HOME, NOW, tos=datagram.tos)

    assert sorted(near.take_packets()) == sorted(sent)
    assert drop_counts(near) == {}
    assert far.activity(PEER).tx_bytes == near.activity(PEER).rx_bytes


@all_data_paths
@given(packet=packets(), mtu=MTUS)
def test_padding_is_less_than_16_and_only_past_the_mtu_if_the_packet_is(
    make: MakeDataPath, packet: bytes, mtu: int
) -> None:
    far = tunnel(make, mtu).far

    far.send_packet(packet, NOW)

    [datagram] = far.take_datagrams()
    padded = len(datagram.data) - 32
    assert 0 <= padded - len(packet) < 16
    if len(packet) <= mtu:
        assert padded == min(mtu, -(-len(packet) // 16) * 16)


@all_data_paths
@given(data=st.binary(max_size=200), foreign=st.booleans(), ecn=ECN_FIELDS, now=st.integers(0, 2**63))
def test_any_bytes_from_the_network_end_in_one_place(
    make: MakeDataPath, data: bytes, foreign: bool, ecn: int, now: int
) -> None:
    path = make(accept_foreign=foreign)

    path.receive_datagram(data, HOME, now, ecn)

    ends = path.handshakes_waiting + len(path.take_foreign()) + sum(path.counters().values())
    assert ends == 1


@all_data_paths
@given(packet=packets(), ecn=ECN_FIELDS, cut=st.integers(0, 1700), flips=st.lists(st.integers(0, 8 * 1700)))
def test_a_changed_datagram_is_dropped(
    make: MakeDataPath, packet: bytes, ecn: int, cut: int, flips: list[int]
) -> None:
    near, far = tunnel(make, 1420)
    far.send_packet(packet, NOW)
    [datagram] = far.take_datagrams()
    changed = bytearray(datagram.data[: max(cut, 4)])
    for flip in flips:
        changed[flip // 8 % len(changed)] ^= 1 << flip % 8

    near.receive_datagram(bytes(changed), HOME, NOW, ecn)

    if bytes(changed) == datagram.data:
        assert len(near.take_packets()) == 1 or drop_counts(near) == {DropReason.ECN_CONGESTION: 1}
    else:
        assert near.take_packets() == []
        assert near.activity(PEER).rx_bytes == 0
        assert near.handshakes_waiting + sum(near.counters().values()) == 1


@all_data_paths
@given(inside=st.binary(max_size=100) | packets().map(lambda packet: packet[:60]), ecn=ECN_FIELDS)
def test_anything_inside_an_authentic_message_is_a_packet_or_dropped(
    make: MakeDataPath, inside: bytes, ecn: int
) -> None:
    remote = Remote()
    path = with_session(make, remote)

    path.receive_datagram(remote.seal(inside), HOME, NOW, ecn)

    assert len(path.take_packets()) + sum(path.counters().values()) == (1 if inside else 0)
    assert path.activity(PEER).last_received == NOW


@all_data_paths
@given(
    data=st.binary(min_size=1, max_size=100) | packets().map(lambda packet: packet[:60]),
    now=st.integers(0, 2**63),
)
def test_any_bytes_from_the_tun_are_sent_staged_or_dropped(make: MakeDataPath, data: bytes, now: int) -> None:
    path = with_session(make, Remote())
    for default in ("0.0.0.0/0", "::/0"):
        path.apply(SetRoute(PEER, prefix(default)), NOW)

    path.send_packet(data, now)

    staged = len(path.take_events()) if now >= NOW + 180 * 10**9 else 0
    assert len(path.take_datagrams()) + staged + sum(path.counters().values()) == 1
