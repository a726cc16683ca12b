"""The virtio header in front of packets is as long as the TUN has it; the longer one knows of tunnels."""

import pytest

from tests.datapath.kinds import DATA_PATHS, drop_counts, sent, with_session
from tests.datapath.remote import HOME, NOW, Remote
from tests.fastpath.superpackets import VNET_SIZE, Packet, segments, superpacket
from tests.fastpath.tunnels import TUNNELS, tunnelled, tunnelled_segments
from wgpy.contract.drops import DropReason

if "native" not in DATA_PATHS:
    pytest.skip("the C data path is not built, or there is no C compiler", allow_module_level=True)

from tests.datapath.native import ALL_OFFLOADS, Call, NativeUnderTest

SHORT = 10
STREAM = Packet(payload=bytes(range(256)) * 20)
BACK = Packet(STREAM.destination, STREAM.source, payload=STREAM.payload)

each_size = pytest.mark.parametrize("size", [SHORT, VNET_SIZE])


def path_of(size: int) -> NativeUnderTest:
    path = with_session(
        lambda **settings: NativeUnderTest(offloads=ALL_OFFLOADS, vnet_header_size=size, **settings), Remote()
    )
    assert isinstance(path, NativeUnderTest)
    return path


def taken(path: NativeUnderTest, expected: list[bytes]) -> list[bytes]:
    """What was sent, without padding."""
    messages = sent(path, Remote())
    return [message.packet[: len(right)] for message, right in zip(messages, expected, strict=True)]


@each_size
def test_superpackets_pass_with_headers_of_each_length(size: int) -> None:
    path = path_of(size)
    remote = Remote()
    expected = segments(STREAM, 1000)

    path.send_superpacket(*superpacket(STREAM, 1000), NOW)

    assert taken(path, expected) == expected
    for packet in segments(BACK, 1000):
        path.receive_datagram(remote.seal(packet), HOME, NOW)
    assert path.take_packets() == segments(BACK, 1000)
    assert path.world.calls(Call.WRITEV) == 1


def test_a_superpacket_in_a_tunnel_needs_the_longer_header() -> None:
    tunnel = TUNNELS["VXLAN"]
    long, short = path_of(VNET_SIZE), path_of(SHORT)
    expected = list(tunnelled_segments(tunnel, STREAM, 1000))

    for path in (long, short):
        path.send_superpacket(*tunnelled(tunnel, STREAM, 1000), NOW)

    assert taken(long, expected) == expected
    assert taken(short, []) == []
    assert drop_counts(short) == {DropReason.INVALID_SUPERPACKET: 1}


def test_a_header_of_another_length_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match="wgfp_settings"):
        path_of(12)
