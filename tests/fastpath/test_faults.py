"""What the kernel may refuse, and that little is lost by it. The kernel is tests/datapath/world.c."""

import errno

import pytest

from tests.datapath.kinds import DATA_PATHS, PEER, drop_counts, prefix, with_session
from tests.datapath.packets import ipv4
from tests.datapath.remote import (
    AWAY,
    HOME,
    LOCAL_HOST,
    NOW,
    REMOTE_HOST,
    STRANGE_HOST,
    Remote,
)
from tests.fastpath.superpackets import ACK, Packet, Vnet, segments
from wgpy.contract.drops import DropReason
from wgpy.contract.events import EndpointChanged
from wgpy.contract.orders import AddPeer, SetEndpoint, SetRoute, UseKeypair

if "native" not in DATA_PATHS:
    pytest.skip("the C data path is not built, or there is no C compiler", allow_module_level=True)

from tests.datapath.native import ALL_OFFLOADS, Call, NativeUnderTest
from wgpy.datapath.native import Offload
from wgpy.datapath.native_values import Queue

OUT = [ipv4(LOCAL_HOST, REMOTE_HOST, bytes([number]) * 1000) for number in range(10)]
FROM_REMOTE = Packet(bytes([10, 0, 0, 2]), bytes([10, 0, 0, 1]), flags=ACK, payload=b"stream" * 1000)
IN = segments(FROM_REMOTE, 1000)
FOREVER = 10**6


@pytest.fixture
def remote() -> Remote:
    return Remote()


@pytest.fixture
def path(remote: Remote) -> NativeUnderTest:
    """With a session, and all offloads."""
    path = with_session(DATA_PATHS["native-offloads"], remote)
    assert isinstance(path, NativeUnderTest)
    return path


def send(path: NativeUnderTest, packets: list[bytes] = OUT, now: int = NOW) -> list[int]:
    """At one moment; returns of what size the datagrams that left were joined, 0 for one alone."""
    for packet in packets:
        path.send_packet(packet, now)
    path.settle()
    return [size for *_, size in path.world.take_datagrams()]


def opened(path: NativeUnderTest, remote: Remote) -> list[bytes]:
    """The packets that left, without their padding."""
    return [remote.open(datagram).packet[:1020] for datagram in path.take_datagrams()]


def receive(path: NativeUnderTest, remote: Remote, now: int = NOW) -> None:
    for packet in IN:
        path.receive_datagram(remote.seal(packet), HOME, now)
    path.settle()


# -- UDP_SEGMENT ---------------------------------------------------------------------------------


def test_without_faults_packets_of_a_moment_leave_joined(path: NativeUnderTest) -> None:
    assert send(path) == [1024 + 32]


@pytest.mark.parametrize("error", [errno.EMSGSIZE, errno.EINVAL, errno.EIO], ids=errno.errorcode.get)
def test_joined_datagrams_that_are_refused_are_sent_again_one_by_one(
    path: NativeUnderTest, remote: Remote, error: int
) -> None:
    path.world.fail(Call.SENDMMSG, error, joined=True)
    for packet in OUT:
        path.send_packet(packet, NOW)

    assert opened(path, remote) == OUT
    assert drop_counts(path) == {}


@pytest.mark.parametrize("error", [errno.EMSGSIZE, errno.EINVAL], ids=errno.errorcode.get)
def test_an_endpoint_that_takes_none_joined_gets_them_apart_from_then_on(
    path: NativeUnderTest, error: int
) -> None:
    path.world.fail(Call.SENDMMSG, error, count=FOREVER, joined=True)
    send(path)

    assert send(path, now=NOW + 1) == [0] * len(OUT)
    path.apply(SetEndpoint(PEER, AWAY), NOW)
    path.world.fail(Call.SENDMMSG, error, count=0)
    assert send(path, now=NOW + 2) == [1024 + 32], "it says nothing of another endpoint"


def test_a_network_device_that_cannot_sum_ends_joining_for_all(path: NativeUnderTest) -> None:
    path.world.fail(Call.SENDMMSG, errno.EIO, joined=True)
    send(path)

    assert path.path.offloads() == ALL_OFFLOADS & ~Offload.GSO
    path.apply(SetEndpoint(PEER, AWAY), NOW)
    assert send(path, now=NOW + 1) == [0] * len(OUT)


# -- Sending -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [errno.ENOBUFS, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EPERM, errno.ECONNREFUSED, errno.ENOMEM],
    ids=errno.errorcode.get,
)
def test_what_cannot_be_sent_is_counted_and_the_rest_is_sent(
    path: NativeUnderTest, remote: Remote, error: int
) -> None:
    path.world.fail(Call.SENDMMSG, error)
    send(path)
    assert drop_counts(path) == {DropReason.SEND_FAILED: len(OUT)}

    send(path, now=NOW + 1)

    assert drop_counts(path) == {DropReason.SEND_FAILED: len(OUT)}


def test_of_a_batch_only_the_datagram_that_failed_is_lost(remote: Remote) -> None:
    path = with_session(NativeUnderTest, remote)
    assert isinstance(path, NativeUnderTest)
    path.world.fail(Call.SENDMMSG, errno.EPERM, skip=4, count=2)  # it ends a call, and then fails one
    for packet in OUT:
        path.send_packet(packet, NOW)

    assert opened(path, remote) == OUT[:4] + OUT[5:]
    assert drop_counts(path) == {DropReason.SEND_FAILED: 1}


def test_a_full_socket_buffer_is_waited_for(path: NativeUnderTest, remote: Remote) -> None:
    path.world.fail(Call.SENDMMSG, errno.EAGAIN)
    for packet in OUT:
        path.send_packet(packet, NOW)

    assert opened(path, remote) == OUT


def test_a_socket_buffer_that_stays_full_is_not_waited_for_forever(path: NativeUnderTest) -> None:
    path.world.fail(Call.SENDMMSG, errno.EAGAIN, count=FOREVER)

    assert send(path) == []

    assert drop_counts(path) == {DropReason.SEND_FAILED: len(OUT)}
    assert path.world.calls(Call.SENDMMSG) < 5


def test_a_turn_waits_once_for_a_socket_buffer_that_stays_full(remote: Remote) -> None:
    """A worker holds its lock meanwhile, so whoever changes a setting would wait for every datagram."""
    path = with_session(NativeUnderTest, remote)
    assert isinstance(path, NativeUnderTest)
    path.world.fail(Call.SENDMMSG, errno.EAGAIN, count=FOREVER)

    assert send(path, 20 * OUT) == []
    assert path.world.calls(Call.POLL) == 1
    assert drop_counts(path) == {DropReason.SEND_FAILED: 20 * len(OUT)}

    assert send(path, 20 * OUT, now=NOW + 1) == []
    assert path.world.calls(Call.POLL) == 2


def test_a_turn_waits_once_for_all_peers_together(remote: Remote) -> None:
    path = with_session(NativeUnderTest, remote)
    assert isinstance(path, NativeUnderTest)
    other = Remote(local_index=0x33333333, remote_index=0x44444444, sending_key=b"other key, sends")
    path.apply(AddPeer(PEER + 1), NOW)
    path.apply(SetRoute(PEER + 1, prefix(STRANGE_HOST)), NOW)
    path.apply(SetEndpoint(PEER + 1, AWAY), NOW)
    path.apply(other.keypair(PEER + 1), NOW)
    path.apply(UseKeypair(PEER + 1, other.local_index), NOW)
    path.world.fail(Call.SENDMMSG, errno.EAGAIN, count=FOREVER)

    assert send(path, [*OUT, ipv4(LOCAL_HOST, STRANGE_HOST)]) == []

    assert path.world.calls(Call.POLL) == 1


def test_what_comes_after_a_wait_in_vain_leaves_if_there_is_room_again(remote: Remote) -> None:
    path = with_session(NativeUnderTest, remote)
    assert isinstance(path, NativeUnderTest)
    path.world.fail(Call.SENDMMSG, errno.EAGAIN, count=3)  # before the wait and after it
    for packet in OUT:
        path.send_packet(packet, NOW)

    assert opened(path, remote) == OUT[1:]
    assert drop_counts(path) == {DropReason.SEND_FAILED: 1}


def test_a_wait_that_times_out_is_the_last_of_its_turn_though_one_datagram_then_leaves(
    remote: Remote,
) -> None:
    """A slow uplink makes room for a datagram at a time, and is ready when half of the buffer is empty."""
    path = with_session(NativeUnderTest, remote)
    assert isinstance(path, NativeUnderTest)
    path.world.fail(Call.POLL, 0, count=FOREVER)
    path.world.fail(Call.SENDMMSG, errno.EAGAIN)
    assert len(send(path)) == len(OUT)

    path.world.fail(Call.SENDMMSG, errno.EAGAIN, count=FOREVER)
    assert send(path) == []

    assert path.world.calls(Call.POLL) == 1


def test_an_interrupted_call_is_made_again(path: NativeUnderTest, remote: Remote) -> None:
    for call in (Call.READV, Call.SENDMMSG):
        path.world.fail(call, errno.EINTR, count=3)
    for packet in OUT:
        path.send_packet(packet, NOW)

    assert opened(path, remote) == OUT


def test_without_a_socket_of_that_family_nothing_is_sent(path: NativeUnderTest) -> None:
    path.path.set_sockets([Queue(-1, -1, path.world.queue.udp6)])

    assert send(path) == []

    assert drop_counts(path) == {DropReason.SEND_FAILED: len(OUT)}


# -- A source address that is gone -----------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [errno.EINVAL, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENODEV],
    ids=errno.errorcode.get,
)
def test_a_source_that_does_not_work_is_given_up_and_nothing_lost(
    path: NativeUnderTest, remote: Remote, error: int
) -> None:
    path.receive_datagram(remote.seal(), HOME._replace(local_address="192.0.2.1", local_interface=3), NOW)
    path.take_events()
    path.world.fail(Call.SENDMMSG, error, count=2)  # joined, and the first one alone
    for packet in OUT:
        path.send_packet(packet, NOW)

    datagrams = path.take_datagrams()

    assert [remote.open(datagram).packet[:1020] for datagram in datagrams] == OUT
    assert {datagram.endpoint for datagram in datagrams} == {HOME}
    assert EndpointChanged(PEER, HOME) in path.take_events()
    assert send(path, now=NOW + 1) == [1024 + 32], "that was no fault of joining"


# -- The TUN -------------------------------------------------------------------------------------


def test_without_faults_packets_of_a_flow_are_handed_in_as_one(path: NativeUnderTest, remote: Remote) -> None:
    receive(path, remote)

    assert len(list(path.world.take_packets())) == 1


def test_superpackets_that_are_refused_are_handed_in_packet_by_packet(
    path: NativeUnderTest, remote: Remote
) -> None:
    path.world.fail(Call.WRITEV, errno.EINVAL, joined=True)
    receive(path, remote)

    assert path.take_packets() == IN
    assert drop_counts(path) == {}
    assert path.path.offloads() == ALL_OFFLOADS & ~Offload.TSO
    receive(path, remote, NOW + 1)
    assert len(list(path.world.take_packets())) == len(IN)


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOBUFS, errno.EBADFD], ids=errno.errorcode.get)
def test_what_the_tun_does_not_take_is_counted(path: NativeUnderTest, remote: Remote, error: int) -> None:
    path.world.fail(Call.WRITEV, error)
    receive(path, remote)

    assert path.take_packets() == []
    assert drop_counts(path) == {DropReason.TUN_WRITE_FAILED: len(IN)}


def test_a_tun_that_is_gone_is_told_and_not_read_again(path: NativeUnderTest, remote: Remote) -> None:
    path.world.fail(Call.READV, errno.EBADFD)
    send(path)
    assert path.path.failure() == errno.EBADFD
    calls = path.world.calls(Call.READV)

    send(path, now=NOW + 1)

    assert path.world.calls(Call.READV) == calls
    receive(path, remote, NOW + 2)
    assert path.activity(PEER).last_received == NOW + 2, "the peers are there still"


@pytest.mark.parametrize(
    "vnet",
    [
        Vnet(gso_type=2, gso_size=500),
        Vnet(flags=1, gso_type=4, gso_size=500, csum_start=20, csum_offset=16),
        Vnet(flags=1, gso_type=1, gso_size=0, csum_start=20, csum_offset=16),
        Vnet(flags=1, csum_start=60_000, csum_offset=16),
        Vnet(*[0xFF] * 2, *[0xFFFF] * 4),
    ],
    ids=["unknown type", "IPv6's type", "empty segments", "checksum elsewhere", "ones"],
)
def test_a_hostile_virtio_header_costs_one_packet(path: NativeUnderTest, remote: Remote, vnet: Vnet) -> None:
    path.send_superpacket(vnet, FROM_REMOTE.encode(), NOW)
    path.send_packet(OUT[0], NOW)

    assert opened(path, remote) == OUT[:1]
    assert drop_counts(path) == {DropReason.INVALID_SUPERPACKET: 1}


# -- Receiving -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENOMEM, errno.EINTR], ids=errno.errorcode.get
)
def test_an_error_in_place_of_a_datagram_is_not_the_end(
    path: NativeUnderTest, remote: Remote, error: int
) -> None:
    path.world.fail(Call.RECVMMSG, error)
    path.receive_datagram(remote.seal(IN[0]), HOME, NOW)
    path.settle()
    path.path.step()

    assert path.take_packets() == IN[:1]


def test_a_datagram_longer_than_its_room_is_dropped(path: NativeUnderTest) -> None:
    path.receive_datagram(b"\4\0\0\0" + bytes(70_000), HOME, NOW)

    assert drop_counts(path) == {DropReason.MALFORMED: 1}


# -- Several peers -------------------------------------------------------------------------------


def test_a_peer_that_cannot_be_reached_is_no_other_peers_concern(
    path: NativeUnderTest, remote: Remote
) -> None:
    other = Remote(local_index=5, remote_index=6)
    path.apply(AddPeer(8), NOW)
    path.apply(SetEndpoint(8, AWAY), NOW)
    path.apply(SetRoute(8, prefix(STRANGE_HOST)), NOW)
    path.apply(other.keypair(8), NOW)
    path.apply(UseKeypair(8, 5), NOW)
    path.world.fail(Call.SENDMMSG, errno.EPERM)
    path.send_packet(OUT[0], NOW)
    path.send_packet(ipv4(LOCAL_HOST, STRANGE_HOST), NOW)

    assert [datagram.peer for datagram in path.take_datagrams()] == [8]
    assert drop_counts(path) == {DropReason.SEND_FAILED: 1}
