"""A superpacket of a site is translated once, and its segments are as if each had been."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from tests.datapath.kinds import DATA_PATHS, drop_counts, prefix, sent, with_session
from tests.datapath.remote import NOW, Remote
from tests.fastpath.superpackets import UDP, Packet, segments, superpacket
from wgpy.contract.drops import DropReason
from wgpy.contract.orders import SetTranslations, Translation

if "native" not in DATA_PATHS:
    pytest.skip("the C data path is not built, or there is no C compiler", allow_module_level=True)

from tests.datapath.native import NativeUnderTest


def packed(text: str) -> bytes:
    return ip_address(text).packed


STREAM = Packet(packed("192.168.1.10"), packed("10.0.0.2"), payload=bytes(range(256)) * 20)
STREAM6 = replace(STREAM, source=packed("fd00:10:96::9"), destination=packed("fd00::2"))
NEUTRAL = replace(STREAM6, source=packed("2001:db8:1:d550::1234"))


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


@pytest.mark.parametrize(
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
def test_a_superpacket_is_translated_as_its_segments_are(
    path: NativeUnderTest, stream: Packet, mapped: str
) -> None:
    path.send_superpacket(*superpacket(stream, 1000), NOW)

    expected = segments(replace(stream, source=packed(mapped)), 1000)
    taken = [message.packet for message in sent(path, Remote())]
    assert [one[: len(right)] for one, right in zip(taken, expected, strict=True)] == expected


def test_a_superpacket_that_cannot_be_translated_counts_as_its_segments(path: NativeUnderTest) -> None:
    nowhere = replace(STREAM6, source=packed("2001:db8:1:ffff::1"))

    path.send_superpacket(*superpacket(nowhere, 1000), NOW)

    assert path.take_datagrams() == []
    assert drop_counts(path) == {DropReason.UNTRANSLATABLE: len(segments(nowhere, 1000))}
