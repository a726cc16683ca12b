"""A host with IPv6 alone behind a NAT64, in a network of hosts with IPv4 alone.

six                            router (tayga, dnsmasq)               hub (coordinator, a relay)
eth0 2001:db8:64::2/64 ─── lan 2001:db8:64::1 │ wan 203.0.113.1 ──── eth0 203.0.113.2/24
                               2001:db8:64:ff9b::/96
"""

import shutil

import pytest

from tests.integration.hosts import Host, Lab, add_addresses, connect, eventually
from tests.integration.meshlab import NETWORK, Node
from tests.integration.topologies import masquerade

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tayga") is None, reason="needs tayga: apt-get install tayga"),
]

_WITHIN = 60.0  # seconds: hosts are slow where many tests run
_PREFIX = "2001:db8:64:ff9b::"
_TAYGA = f"""\
tun-device nat64
ipv4-addr 192.168.64.1
ipv6-addr 2001:db8:64::64
prefix {_PREFIX}/96
dynamic-pool 192.168.64.0/24
"""


def test_a_host_with_ipv6_alone_reaches_hosts_with_ipv4_alone(lab: Lab) -> None:
    six, router, hub = lab.host("six"), lab.host("router"), lab.host("hub")
    connect(six, "eth0", router, "lan")
    connect(router, "wan", hub, "eth0")
    for host, card, address in (
        (six, "eth0", "2001:db8:64::2/64"),
        (router, "lan", "2001:db8:64::1/64"),
        (router, "wan", "203.0.113.1/24"),
        (hub, "eth0", "203.0.113.2/24"),
    ):
        add_addresses(host, card, address)
    six.run("ip", "route", "add", "default", "via", "2001:db8:64::1")
    six.write("/etc/resolv.conf", "nameserver 2001:db8:64::1\n")
    _translate(router)
    here, there = Node("hub", hub, "203.0.113.2", ""), Node("six", six, "", "203.0.113.1")
    here.mesh("init", NETWORK, "--public", "203.0.113.2", "--name", "hub")

    there.join(here.token())

    eventually(lambda: there.reaches(here), "six reaches hub", _WITHIN)
    assert here.reaches(there)
    (peer,) = there.status().peers
    assert peer.endpoint == f"[{_PREFIX}cb00:7102]:51820"
    assert there.status().nat == "203.0.113.1"


def _translate(router: Host) -> None:
    """Be a NAT64, and the name server that says so."""
    file = router.write("/run/tayga.conf", _TAYGA)
    router.run("tayga", "--config", file, "--mktun")
    router.run("ip", "link", "set", "nat64", "up")
    router.run("ip", "route", "add", "192.168.64.0/24", "dev", "nat64")
    router.run("ip", "route", "add", f"{_PREFIX}/96", "dev", "nat64")
    masquerade(router, "wan", 120)
    router.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    router.start("tayga", "--config", file, "--nodetach")
    options = "-k", "--no-resolv", "--no-hosts", "--user=root", "--pid-file=/run/dnsmasq.pid"
    name = f"--host-record=ipv4only.arpa,192.0.0.170,{_PREFIX}c000:aa"
    router.start("dnsmasq", *options, name)
