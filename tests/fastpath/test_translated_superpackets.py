"""A superpacket is translated once, as its segments would each be; so are packets that are joined."""

import errno
from dataclasses import replace
from ipaddress import ip_address

import pytest

from tests.datapath.kinds import DATA_PATHS, drop_counts, prefix, sent, with_session
from tests.datapath.remote import HOME, NOW, Remote
from tests.fastpath.superpackets import ACK, UDP, Packet, segments, superpacket
from tests.fastpath.tunnels import TUNNELS, tunnelled, tunnelled_segments
from wgpy.contract.drops import DropReason
from wgpy.contract.orders import SetTranslations, Translation

if "native" not in DATA_PATHS:
    pytest.skip("the C data path is not built, or there is no C compiler", allow_module_level=True)

from tests.datapath.native import Call, NativeUnderTest


def packed(text: str) -> bytes:
    return ip_address(text).packed


STREAM = Packet(packed("192.168.1.10"), packed("10.0.0.2"), payload=bytes(range(256)) * 20)
STREAM6 = replace(STREAM, source=packed("fd00:10:96::9"), destination=packed("fd00::2"))
NEUTRAL = replace(STREAM6, source=packed("2001:db8:1:d550::1234"))


def towards_site(stream: Packet, site: str) -> Packet:
    """The answer to a stream of the site, as a peer sends it."""
    return replace(stream, source=stream.destination, destination=packed(site), flags=ACK)


@pytest.fixture
def path() -> NativeUnderTest:
    path = with_session(DATA_PATHS["native-offloads"], Remote())
    assert isinstance(path, NativeUnderTest)
    sites = (
        ("100.96.4.0/24", "192.168.1.0/24"),
        ("fd12:3456:4::7:0/112", "fd00:10:96::/112"),
        ("fd01:203:405::/48", "2001:db8:1::/48"),
    )
    path.apply(
        SetTranslations(tuple(Translation(prefix(mapped), prefix(real)) for mapped, real in sites)), NOW
    )
    return path


each_stream = pytest.mark.parametrize(
    ("stream", "mapped"),
    [
        (STREAM, "100.96.4.10"),
        (replace(STREAM, protocol=UDP), "100.96.4.10"),
        (replace(STREAM, ip_options=b"\1" * 8), "100.96.4.10"),
        (STREAM6, "fd12:3456:4::7:9"),
        (replace(STREAM6, protocol=UDP), "fd12:3456:4::7:9"),
        (NEUTRAL, "fd01:203:405:1::1234"),
    ],
)


def receive(path: NativeUnderTest, packets: list[bytes]) -> None:
    """At one moment."""
    remote = Remote()
    for packet in packets:
        path.receive_datagram(remote.seal(packet), HOME, NOW)
    path.settle()


@each_stream
def test_a_superpacket_is_translated_as_its_segments_are(
    path: NativeUnderTest, stream: Packet, mapped: str
) -> None:
    path.send_superpacket(*superpacket(stream, 1000), NOW)

    expected = segments(replace(stream, source=packed(mapped)), 1000)
    taken = [message.packet for message in sent(path, Remote())]
    assert [one[: len(right)] for one, right in zip(taken, expected, strict=True)] == expected


@pytest.mark.parametrize(
    ("source", "mapped"), [("192.168.1.10", "100.96.4.10"), ("fd00:10:96::9", "fd12:3456:4::7:9")]
)
@pytest.mark.parametrize("name", TUNNELS)
def test_a_superpacket_in_a_tunnel_is_translated_as_its_segments_are(
    path: NativeUnderTest, name: str, source: str, mapped: str
) -> None:
    peer = packed("fd00::2" if ":" in source else "10.0.0.2")
    tunnel = TUNNELS[name]
    tunnel = replace(tunnel, outer=replace(tunnel.outer, source=packed(source), destination=peer))

    path.send_superpacket(*tunnelled(tunnel, STREAM, 1000), NOW)

    tunnel = replace(tunnel, outer=replace(tunnel.outer, source=packed(mapped)))
    expected = tunnelled_segments(tunnel, STREAM, 1000)
    taken = [message.packet for message in sent(path, Remote())]
    assert [one[: len(right)] for one, right in zip(taken, expected, strict=True)] == expected


def test_a_superpacket_that_cannot_be_translated_counts_as_its_segments(path: NativeUnderTest) -> None:
    nowhere = replace(STREAM6, source=packed("2001:db8:1:ffff::1"))

    path.send_superpacket(*superpacket(nowhere, 1000), NOW)

    assert path.take_datagrams() == []
    assert drop_counts(path) == {DropReason.UNTRANSLATABLE: len(segments(nowhere, 1000))}


@each_stream
def test_packets_that_are_joined_are_translated_as_each_would_be(
    path: NativeUnderTest, stream: Packet, mapped: str
) -> None:
    receive(path, segments(towards_site(stream, mapped), 1000))

    expected = segments(replace(towards_site(stream, mapped), destination=stream.source), 1000)
    assert path.take_packets() == expected
    assert path.world.calls(Call.WRITEV) == (len(expected) if stream.ip_options else 1)


def test_what_was_joined_and_translated_may_still_be_written_one_by_one(path: NativeUnderTest) -> None:
    path.world.fail(Call.WRITEV, errno.EINVAL, joined=True)

    receive(path, segments(towards_site(STREAM, "100.96.4.10"), 1000))

    assert path.take_packets() == segments(towards_site(STREAM, "192.168.1.10"), 1000)


def test_joined_packets_that_cannot_be_translated_all_count(path: NativeUnderTest) -> None:
    packets = segments(towards_site(STREAM, "100.96.4.255"), 1000)

    receive(path, packets)

    assert path.take_packets() == []
    assert drop_counts(path) == {DropReason.FORBIDDEN_DESTINATION: len(packets)}


def test_packets_of_one_flow_but_for_their_address_before_translation_are_not_joined(
    path: NativeUnderTest,
) -> None:
    """Both addresses are of one host: the mapped one, and its own."""
    mapped, real = (segments(towards_site(STREAM, site), 1000) for site in ("100.96.4.10", "192.168.1.10"))

    receive(path, [*mapped[:2], *real[2:]])

    assert path.take_packets() == real
    assert path.world.calls(Call.WRITEV) == 2
