"""What the agent of a test reports: everything that there is to report, made up."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from tests.mesh.network import NOW, key_of
from wgpy.keys import PrivateKey
from wgpy.node import agent_client as agent
from wgpy.node.agent_client import Excluded, Peer, RejectedRecord, Rule, Site, Status
from wgpy.node.network_check import NetworkCheck, PortMapping, RelayCheck, RouterCheck

NETWORK = "prod"
ME, OTHER = key_of(7).verify_key(), key_of(8).verify_key()
KEY = PrivateKey(b"\x0b" * 32).public_key()
CHECKED = NetworkCheck(
    (RelayCheck("hub", "192.0.2.2:51820", 7.5), RelayCheck("hub", "[2001:db8::2]:51820", None)),
    {"IPv4": "a NAT, 192.0.2.7", "IPv6": "unknown, as no node has answered"},
    False,
    "",
    RouterCheck(
        "192.168.1.1",
        {"PCP": "", "NAT-PMP": "", "UPnP": "it does not answer"},
        PortMapping("192.0.2.7:51820", "PCP", NOW),
    ),
)

STATUS = Status(
    network=NETWORK,
    network_key=key_of(1).verify_key(),
    interface="mesh0", mtu=1380, listen_port=51820, table=151000007, fwmark=0x1097,
    name="n7",
    identity=ME,
    key=PrivateKey(b"\x0a" * 32).public_key(),
    address=IPv4Address("100.80.0.7"),
    address6=IPv6Address("fd12:3456::7"),
    addresses=IPv4Network("100.80.0.0/16"),
    addresses6=IPv6Network("fd12:3456::/32"),
    domain="prod.mesh",
    resolver="systemd-resolved",
    tags=("k8s",),
    routes=(IPv4Network("10.42.7.0/24"),),
    requested=(), nat="",
    endpoints=("192.0.2.7:51820",),
    hosts=("n7.example.com:51820",), keepalive=0,
    member=True, exclusion="",
    coordinator="https://vpn.example.com",
    connected=True, trouble="",
    heard=NOW,
    revision=(1 << 53) - 1,
    sequence=12,
    rules=(Rule(1, "any", "tag:web", 34),),
    peers=(
        Peer(
            'n"8\\', OTHER, KEY, IPv4Address("100.80.0.8"), IPv6Address("fd12:3456::8"), ("web",), (),
            ("10.0.0.0/8 is here already",), 1, 0, "192.0.2.8:51820", ("192.0.2.8:51820",), NOW, 1000,
            2000, 0,
        ),
    ),
    excluded=(Excluded("n9", key_of(9).verify_key(), "it was removed", True, NOW),),
    rejected=(RejectedRecord(NOW, "coordinator", "not a record", "2 bytes"),),
    rejected_count=1,
    withheld=("n8 knew removal 7, and the coordinator does not send it",),
    log="/var/log/wgpyd.log",
    warnings=("the disk is full",),
    sites=(
        Site(
            "office", (IPv4Network("192.168.1.0/24"),), (IPv4Network("100.96.4.0/24"),),
            (agent.SiteGateway("n8", OTHER, 100, False),), "n8", False, "",
        ),
    ),
)  # fmt: skip
