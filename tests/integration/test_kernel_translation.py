"""The kernel's own translation as a second opinion: the same packets come out of it as of each data path.

NETMAP follows connections, so it gets packets that begin one, and errors after what they are about. NPTv6
(RFC 6296) follows none, and gets any. Neither is asked where it is wrong: errors of routers, which NETMAP
gives the address of whoever the packet was for, and addresses without a counterpart.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from struct import pack

import pytest

from tests.datapath.kinds import DATA_PATHS, DataPathUnderTest, prefix, sent, with_session
from tests.datapath.packets import checksum
from tests.datapath.remote import HOME, NOW, REMOTE_HOST, REMOTE_HOST6, Remote
from tests.datapath.translation_model import ICMP, SITES, TCP, UDP, AnyCases, Site
from tests.integration.hosts import Host, Lab
from tests.integration.kernelgateway import KernelGateway
from wgpy.contract.orders import SetTranslations, Translation

_CASES = 1500
_SYN = 2
_FRAGMENT = 44
_TRACKED = tuple(site for site in SITES if site.mapped.version == 4 or site.mapped.prefixlen > 64)
_STATELESS = tuple(site for site in SITES if site not in _TRACKED)


@dataclass(frozen=True, slots=True)
class Ours:
    """A data path that translates."""

    path: DataPathUnderTest
    remote: Remote

    @classmethod
    def build(cls, kind: str, sites: tuple[Site, ...]) -> "Ours":
        remote = Remote()
        path = with_session(DATA_PATHS[kind], remote)
        pairs = tuple(Translation(prefix(str(site.mapped)), prefix(str(site.real))) for site in sites)
        path.apply(SetTranslations(pairs), NOW)
        return cls(path, remote)

    def passed(self, packets: tuple[bytes, ...], *, inbound: bool) -> list[bytes]:
        for packet in packets:
            if inbound:
                self.path.receive_datagram(self.remote.seal(packet), HOME, NOW)
            else:
                self.path.send_packet(packet, NOW)
        if inbound:
            return self.path.take_packets()
        messages = sent(self.path, self.remote)
        return [message.packet[: len(packet)] for message, packet in zip(messages, packets, strict=True)]


@pytest.fixture
def gateway(lab: Lab) -> Iterator[KernelGateway]:
    gateway = KernelGateway.build(
        lab.host("gateway"), (REMOTE_HOST, REMOTE_HOST6), tuple(site.real for site in SITES)
    )
    yield gateway
    gateway.close()


@pytest.mark.parametrize("kind", DATA_PATHS)
def test_the_kernels_netmap_translates_alike(gateway: KernelGateway, kind: str, seed: int) -> None:
    for site in _TRACKED:
        tables = "iptables" if site.mapped.version == 4 else "ip6tables"
        mapped, real = str(site.mapped), str(site.real)
        into = ("-t", "nat", "-A", "PREROUTING", "-i", "mesh", "-d", mapped)
        out = ("-t", "nat", "-A", "POSTROUTING", "-o", "mesh", "-s", real)
        add_rule(gateway.host, tables, *into, "-j", "NETMAP", "--to", real)
        add_rule(gateway.host, tables, *out, "-j", "NETMAP", "--to", mapped)
    cases = AnyCases(Random(seed), _TRACKED, (TCP, UDP, ICMP, 200), tcp_flags=_SYN, routers=0)

    assert_alike(gateway, Ours.build(kind, _TRACKED), cases, joined)


@pytest.mark.parametrize("kind", DATA_PATHS)
def test_the_kernels_nptv6_translates_alike(gateway: KernelGateway, kind: str, seed: int) -> None:
    for site in _STATELESS:
        mapped, real = str(site.mapped), str(site.real)
        into = ("-t", "mangle", "-A", "PREROUTING", "-i", "mesh", "-d", mapped)
        out = ("-t", "mangle", "-A", "POSTROUTING", "-o", "mesh", "-s", real)
        add_rule(gateway.host, "ip6tables", *into, "-j", "DNPT", "--src-pfx", mapped, "--dst-pfx", real)
        add_rule(gateway.host, "ip6tables", *out, "-j", "SNPT", "--src-pfx", real, "--dst-pfx", mapped)
    cases = AnyCases(Random(seed), _STATELESS, routers=0)

    assert_alike(gateway, Ours.build(kind, _STATELESS), cases, list)


def add_rule(host: Host, tables: str, *rule: str) -> None:
    """Skip the test where there is no such program or the kernel has no such target."""
    reason = f"{tables} is not installed: apt-get install iptables"
    if shutil.which(tables) is not None:
        added = host.attempt(tables, *rule)
        if added.status == 0:
            return
        reason = added.output
    pytest.skip(f"THE KERNEL'S TRANSLATION WAS NOT ASKED FOR ITS OPINION: {reason}")


def assert_alike(
    gateway: KernelGateway, ours: Ours, cases: AnyCases, comparable: Callable[[list[bytes]], list[bytes]]
) -> None:
    for _ in range(_CASES):
        case = cases.case()
        for one in filter(None, (case.cause, case)):
            translated = ours.passed(one.given, inbound=one.inbound)
            expected = comparable(list(map(one_hop_on, translated)))

            def is_all(found: list[bytes], expected: list[bytes] = expected) -> bool:
                return found != [] and comparable(found) == expected

            assert comparable(gateway.passed(one.given, is_all, inbound=one.inbound)) == expected, one


def one_hop_on(packet: bytes) -> bytes:
    """What is forwarded of a packet."""
    if packet[0] >> 4 == 6:
        return packet[:7] + bytes([packet[7] - 1]) + packet[8:]
    size = 4 * (packet[0] & 0xF)
    header = packet[:8] + bytes([packet[8] - 1, packet[9], 0, 0]) + packet[12:size]
    return header[:10] + pack(">H", checksum(header)) + header[12:] + packet[size:]


def joined(packets: list[bytes]) -> list[bytes]:
    """Who follows connections joins IPv6 fragments, and cuts again only what is longer than the longest."""
    first = next(iter(packets), b"")
    if first[:1] != b"\x60" or first[6] != _FRAGMENT:
        return packets
    payload = b"".join(packet[48:] for packet in packets)
    return [first[:4] + pack(">HB", len(payload), first[40]) + first[7:40] + payload]
