"""Addresses of a site as the mesh knows them, and as they are: there and back, with every checksum."""

from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from os import environ
from random import Random
from struct import pack

import pytest

from tests.datapath.kinds import (
    DATA_PATHS,
    PEER,
    DataPathUnderTest,
    MakeDataPath,
    drop_counts,
    prefix,
    sent,
    with_peer,
    with_session,
)
from tests.datapath.packets import checksum
from tests.datapath.remote import HOME, LOCAL_HOST, NOW, REMOTE_HOST, REMOTE_HOST6, Remote
from tests.datapath.translation_model import DCCP, SITES, TCP, UDP, AnyCases, Case, Site, Whole, site
from wgpy.contract.drops import DropReason
from wgpy.contract.orders import (
    AddPeer,
    AllowedIP,
    LocalPort,
    Permit,
    SetPolicy,
    SetRoute,
    SetTranslations,
    Translation,
)

PACKETS = int(environ.get("WGPY_TRANSLATED_PACKETS", "100000"))
AT_ONCE = 100  # cases of one packet or its fragments

OFFICE = SITES[0]


def translation(of: Site) -> Translation:
    return Translation(prefix(str(of.mapped)), prefix(str(of.real)))


def translating(
    path: DataPathUnderTest, *sites: Site, closed: tuple[LocalPort, ...] = ()
) -> DataPathUnderTest:
    path.apply(SetTranslations(tuple(map(translation, sites)), closed), NOW)
    return path


def received(path: DataPathUnderTest, remote: Remote, *packets: bytes) -> list[bytes]:
    """What the TUN is given of these packets of the peer."""
    for packet in packets:
        path.receive_datagram(remote.seal(packet), HOME, NOW)
    return path.take_packets()


def sent_on(path: DataPathUnderTest, remote: Remote, *packets: bytes) -> list[bytes]:
    """What the peer is given of these packets of the TUN, without their padding."""
    for packet in packets:
        path.send_packet(packet, NOW)
    return [
        message.packet[: len(packet)] for message, packet in zip(sent(path, remote), packets, strict=True)
    ]


def address(text: str) -> bytes:
    return prefix(text).address


def datagram(source: str, destination: str, port: int = 53) -> bytes:
    return Whole(address(source), address(destination), UDP, pack(">HHHH", 5000, port, 8, 0)).encode()


def test_whatever_is_translated_is_as_if_made_anew_at_the_other_address(seed: int) -> None:
    remotes = {make: Remote() for make in DATA_PATHS.values()}
    paths = {translating(with_session(make, remote), *SITES): remote for make, remote in remotes.items()}
    cases, packets = AnyCases(Random(seed)), 0

    while packets < PACKETS:
        batch = [cases.case() for _ in range(AT_ONCE)]
        packets += sum(len(case.given) for case in batch)
        for path, remote in paths.items():
            check(path, remote, [case for case in batch if case.inbound], received)
            check(path, remote, [case for case in batch if not case.inbound], sent_on)
    assert all(drop_counts(path) == {} for path in paths)


def check(
    path: DataPathUnderTest, remote: Remote, cases: list[Case], passed: Callable[..., list[bytes]]
) -> None:
    given = [packet for case in cases for packet in case.given]
    expected = [packet for case in cases for packet in case.expected]
    assert passed(path, remote, *given) == expected


# -- Addresses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "mapped", "real"),
    [
        (site("100.96.4.0/24", "192.168.1.0/24"), "100.96.4.10", "192.168.1.10"),
        (site("100.96.0.0/12", "10.16.0.0/12"), "100.111.255.254", "10.31.255.254"),
        (site("100.98.7.80/32", "172.17.0.9/32"), "100.98.7.80", "172.17.0.9"),
        # RFC 6296, appendix A: the subnet 1 becomes 0xD550
        (site("fd01:203:405::/48", "2001:db8:1::/48"), "fd01:203:405:1::1234", "2001:db8:1:d550::1234"),
        (site("fd12:1::/32", "2001:db8::/32"), "fd12:1:0:5::1", "2001:db8:0:cf5f::1"),
        (site("fd12:3456:3:7::/64", "2001:db8:3:1::/64"), "fd12:3456:3:7:1:2:3:4", "2001:db8:3:1:3b7:2:3:4"),
        # the first word is no word to adjust, as 0xffff cannot be told from 0
        (
            site("fd12:3456:3:7::/64", "2001:db8:3:1::/64"),
            "fd12:3456:3:7:ffff:2:3:4",
            "2001:db8:3:1:ffff:3b8:3:4",
        ),
        (site("fd12:3456:4::7:0/112", "fd00:10:96::/112"), "fd12:3456:4::7:9", "fd00:10:96::9"),
    ],
)
def test_an_address_of_a_site_has_a_counterpart(
    path: DataPathUnderTest, remote: Remote, where: Site, mapped: str, real: str
) -> None:
    translating(path, where)
    peer = REMOTE_HOST if where.mapped.version == 4 else REMOTE_HOST6

    assert received(path, remote, datagram(peer, mapped)) == [datagram(peer, real)]
    assert sent_on(path, remote, datagram(real, peer)) == [datagram(mapped, peer)]


@pytest.mark.parametrize(
    ("where", "mapped", "real"),
    [
        (site("fd01:203:405::/48", "2001:db8:1::/48"), "fd01:203:405:ffff::1", "2001:db8:1:ffff::1"),
        (
            site("fd12:3456:3:7::/64", "2001:db8:3:1::/64"),
            "fd12:3456:3:7:ffff:ffff:ffff:ffff",
            "2001:db8:3:1:ffff:ffff:ffff:ffff",
        ),
    ],
)
def test_an_address_without_a_counterpart_is_not_passed_on(
    path: DataPathUnderTest, remote: Remote, where: Site, mapped: str, real: str
) -> None:
    translating(path, where)

    assert received(path, remote, datagram(REMOTE_HOST6, mapped)) == []
    path.send_packet(datagram(real, REMOTE_HOST6), NOW)
    assert path.take_datagrams() == []
    assert drop_counts(path) == {DropReason.UNTRANSLATABLE: 2}


def test_what_is_of_no_site_is_left_as_it_is(path: DataPathUnderTest, remote: Remote) -> None:
    translating(path, *SITES)

    assert received(path, remote, datagram(REMOTE_HOST, LOCAL_HOST)) == [datagram(REMOTE_HOST, LOCAL_HOST)]
    assert sent_on(path, remote, datagram(LOCAL_HOST, REMOTE_HOST)) == [datagram(LOCAL_HOST, REMOTE_HOST)]


def test_the_end_that_is_of_no_site_is_never_translated(path: DataPathUnderTest, remote: Remote) -> None:
    translating(path, site("10.0.0.0/30", "192.168.1.0/30"))

    packet = datagram("192.168.1.2", REMOTE_HOST)

    assert sent_on(path, remote, packet) == [datagram("10.0.0.2", REMOTE_HOST)]


# -- Checksums -------------------------------------------------------------------------------------------


def test_a_checksum_of_udp_that_comes_to_zero_says_not_that_there_is_none(
    path: DataPathUnderTest, remote: Remote
) -> None:
    translating(path, OFFICE)
    real = next(one for one in any_datagrams("192.168.1.10") if checksum_of(one) == b"\xff\xff")
    mapped = next(one for one in any_datagrams("100.96.4.10") if one[28:] == real[28:])

    assert received(path, remote, mapped) == [real]
    assert sent_on(path, remote, reversed_ends(real)) == [reversed_ends(mapped)]


def test_a_checksum_that_is_wrong_stays_as_wrong(path: DataPathUnderTest, remote: Remote) -> None:
    translating(path, OFFICE)
    packet = damaged(datagram(REMOTE_HOST, "100.96.4.10"))

    assert received(path, remote, packet) == [damaged(datagram(REMOTE_HOST, "192.168.1.10"))]


@pytest.mark.parametrize(("protocol", "size"), [(TCP, 17), (UDP, 7), (DCCP, 7)])
def test_what_ends_before_its_checksum_is_not_passed_on(
    path: DataPathUnderTest, remote: Remote, protocol: int, size: int
) -> None:
    translating(path, OFFICE)
    cut = Whole(address(REMOTE_HOST), address("100.96.4.10"), protocol, bytes(size), unchecked=True)

    assert received(path, remote, cut.encode()) == []
    assert drop_counts(path) == {DropReason.UNTRANSLATABLE: 1}


def test_a_first_fragment_that_ends_before_its_checksum_is_not_passed_on(
    path: DataPathUnderTest, remote: Remote
) -> None:
    translating(path, OFFICE)
    first, *others = Whole(address(REMOTE_HOST), address("100.96.4.10"), TCP, bytes(40)).fragments(16)

    assert received(path, remote, first) == []
    assert len(received(path, remote, *others)) == len(others)
    assert drop_counts(path) == {DropReason.INVALID_FRAGMENT: 1}


# -- What no translated packet may reach -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("real", "host"),
    [
        ("0.0.0.0/1", "0.0.0.9"),
        ("0.0.0.0/1", "127.0.0.1"),
        ("0.0.0.0/1", "100.100.100.200"),
        ("128.0.0.0/1", "169.254.169.254"),
        ("128.0.0.0/1", "169.254.0.7"),
        ("128.0.0.0/1", "168.63.129.16"),
        ("128.0.0.0/1", "192.0.0.192"),
        ("128.0.0.0/1", "224.0.0.1"),
        ("128.0.0.0/1", "239.255.255.250"),
        ("128.0.0.0/1", "255.255.255.255"),
        ("192.168.1.0/24", "192.168.1.255"),
        ("192.168.1.4/30", "192.168.1.7"),
        ("::/1", "::"),
        ("::/65", "::1"),
        ("::/65", "::127.0.0.1"),
        ("::/65", "::ffff:127.0.0.1"),
        ("fe80::/65", "fe80::1"),
        ("febf:ffff:ffff:ffff::/65", "febf:ffff:ffff:ffff::1"),
        ("ff02::/65", "ff02::1"),
        ("fd00:ec2::/65", "fd00:ec2::254"),
        ("fd20:ce::/65", "fd20:ce::254"),
    ],
)
def test_a_translated_packet_does_not_reach_what_is_no_host_of_a_site(
    path: DataPathUnderTest, remote: Remote, real: str, host: str
) -> None:
    where = mapped_somewhere(real)
    translating(path, where)
    peer = REMOTE_HOST if where.real.version == 4 else REMOTE_HOST6

    assert received(path, remote, datagram(peer, counterpart(where, host))) == []
    assert drop_counts(path) == {DropReason.FORBIDDEN_DESTINATION: 1}


@pytest.mark.parametrize("host", ["192.168.1.4", "192.168.1.5", "240.0.0.1", "169.253.255.255"])
def test_it_reaches_every_other(path: DataPathUnderTest, remote: Remote, host: str) -> None:
    where = mapped_somewhere("128.0.0.0/1")
    translating(path, where)

    passed = received(path, remote, datagram(REMOTE_HOST, counterpart(where, host)))

    assert passed == [datagram(REMOTE_HOST, host)]


@pytest.mark.parametrize("real", ["192.168.1.6/31", "192.168.1.7/32"])
def test_a_prefix_of_two_hosts_or_of_one_has_no_broadcast_address(
    path: DataPathUnderTest, remote: Remote, real: str
) -> None:
    where = mapped_somewhere(real)
    translating(path, where)

    passed = received(path, remote, datagram(REMOTE_HOST, counterpart(where, "192.168.1.7")))

    assert passed == [datagram(REMOTE_HOST, "192.168.1.7")]


def test_a_translated_packet_does_not_reach_a_closed_port(path: DataPathUnderTest, remote: Remote) -> None:
    translating(path, OFFICE, closed=(LocalPort(address("192.168.1.1"), UDP, 51820),))
    refused = datagram(REMOTE_HOST, "100.96.4.1", 51820)
    others = datagram(REMOTE_HOST, "100.96.4.1", 51821), datagram(REMOTE_HOST, "100.96.4.2", 51820)

    assert len(received(path, remote, refused, *others)) == len(others)
    assert drop_counts(path) == {DropReason.FORBIDDEN_DESTINATION: 1}


# -- Beside the rest of a data path --------------------------------------------------------------------------


def test_rules_are_of_mapped_addresses(path: DataPathUnderTest, remote: Remote) -> None:
    translating(path, OFFICE)
    path.apply(SetPolicy(PEER, (Permit(0, destination=prefix("100.96.4.8/29")),)), NOW)

    assert received(path, remote, datagram(REMOTE_HOST, "100.96.4.10")) == [
        datagram(REMOTE_HOST, "192.168.1.10")
    ]
    assert received(path, remote, datagram(REMOTE_HOST, "100.96.4.20")) == []


def test_what_answers_a_host_of_a_site_is_let_in(path: DataPathUnderTest, remote: Remote) -> None:
    translating(path, OFFICE)
    path.apply(SetPolicy(PEER, ()), NOW)
    question = Whole(address("192.168.1.10"), address(REMOTE_HOST), UDP, pack(">HHHH", 53, 5000, 8, 0))

    sent_on(path, remote, question.encode())

    assert received(path, remote, datagram(REMOTE_HOST, "100.96.4.10")) == [
        datagram(REMOTE_HOST, "192.168.1.10")
    ]


def test_a_host_of_a_site_hears_that_its_packet_led_nowhere(datapath: MakeDataPath) -> None:
    path = translating(datapath(), OFFICE)
    path.apply(AddPeer(PEER), NOW)
    path.apply(SetRoute(PEER, prefix(REMOTE_HOST)), NOW)
    packet = datagram("192.168.1.10", REMOTE_HOST)

    path.send_packet(packet, NOW)

    (error,) = path.take_packets()
    assert error[16:20] == address("192.168.1.10")
    assert error[28:] == packet
    assert checksum(error[:20]) == checksum(error[20:]) == 0


def test_what_is_staged_is_purged_when_translations_change(datapath: MakeDataPath, remote: Remote) -> None:
    path = translating(with_peer(datapath), OFFICE)
    path.send_packet(datagram("192.168.1.10", REMOTE_HOST), NOW)

    translating(path, OFFICE)
    assert DropReason.STAGED_PURGED not in drop_counts(path)

    translating(path)
    assert drop_counts(path)[DropReason.STAGED_PURGED] == 1


def test_without_translations_nothing_is_purged_by_what_they_may_not_reach(datapath: MakeDataPath) -> None:
    path = with_peer(datapath)
    path.send_packet(datagram("192.168.1.10", REMOTE_HOST), NOW)

    path.apply(SetTranslations((), (LocalPort(address("192.168.1.10"), 17, 2000),)), NOW)

    assert DropReason.STAGED_PURGED not in drop_counts(path)


@pytest.mark.parametrize(
    "wrong",
    [
        (site("100.96.4.0/24", "192.168.1.0/25"),),
        (site("100.96.4.0/24", "fd00::/24"),),
        (site("100.96.4.0/24", "192.168.1.0/24"), site("100.96.5.0/24", "192.168.1.0/24")),
        (site("100.96.4.0/24", "192.168.1.0/24"), site("100.96.0.0/16", "10.0.0.0/16")),
        (site("100.96.4.0/24", "192.168.1.0/24"), site("100.97.0.0/16", "192.168.0.0/16")),
    ],
)
def test_translations_that_are_none_are_the_callers_fault(
    path: DataPathUnderTest, remote: Remote, wrong: tuple[Site, ...]
) -> None:
    translating(path, OFFICE)

    with pytest.raises(ValueError, match="prefix"):
        translating(path, *wrong)

    assert received(path, remote, datagram(REMOTE_HOST, "100.96.4.10")) == [
        datagram(REMOTE_HOST, "192.168.1.10")
    ]


def test_a_prefix_with_host_bits_is_the_callers_fault(path: DataPathUnderTest) -> None:
    real = AllowedIP("192.168.1.0/24")._replace(address=address("192.168.1.1"))

    with pytest.raises(ValueError, match="host bits"):
        path.apply(SetTranslations((Translation(prefix("100.96.4.0/24"), real),)), NOW)


def test_too_many_are_the_callers_fault(path: DataPathUnderTest) -> None:
    many = tuple(
        Translation(AllowedIP(pack(">I", 0x64000000 + i), 32), AllowedIP(pack(">I", 0x0A000000 + i), 32))
        for i in range(4097)
    )
    ports = tuple(LocalPort(address("192.168.1.1"), UDP, port) for port in range(65))

    path.apply(SetTranslations(many[:4096], ports[:64]), NOW)
    with pytest.raises(ValueError, match="at most 4096"):
        path.apply(SetTranslations(many), NOW)
    with pytest.raises(ValueError, match="at most 64"):
        path.apply(SetTranslations(many[:1], ports), NOW)


def any_datagrams(host: str) -> Iterator[bytes]:
    """From the peer to it, with every payload of 16 bits."""
    for word in range(0x10000):
        transport = pack(">HHHHH", 5000, 53, 10, 0, word)
        yield Whole(address(REMOTE_HOST), address(host), UDP, transport).encode()


def checksum_of(packet: bytes) -> bytes:
    """UDP's, without options of IPv4."""
    return packet[26:28]


def damaged(packet: bytes) -> bytes:
    """With another checksum of UDP."""
    return packet[:26] + pack(">H", (int.from_bytes(checksum_of(packet)) + 7) % 0xFFFF) + packet[28:]


def reversed_ends(packet: bytes) -> bytes:
    return packet[:12] + packet[16:20] + packet[12:16] + packet[20:]


def mapped_somewhere(real: str) -> Site:
    network = ip_network(real)
    base = address("64.0.0.0" if network.version == 4 else "3000::")
    size = 8 * len(base)
    host_bits = size - network.prefixlen
    start = int.from_bytes(base) >> host_bits << host_bits
    return Site(ip_network((start.to_bytes(len(base)), network.prefixlen)), network)


def counterpart(of: Site, host: str) -> str:
    mapped = of.to_mapped.map(address(host))
    assert mapped is not None
    return str(ip_address(mapped))
