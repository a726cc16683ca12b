"""What an agent reports, to test what commands show of it."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from wgpy.keys import PrivateKey
from wgpy.mesh.signing import SigningKey
from wgpy.node.agent_client import Client, Peer, Status

NOW = 1_700_000_000
KEYS = [SigningKey(bytes([number]) * 32).verify_key() for number in range(1, 9)]
WIREGUARD_KEYS = [PrivateKey(bytes([number]) * 32).public_key() for number in range(1, 9)]


def peer(**fields: Any) -> Peer:
    known = Peer(
        name="web2", identity=KEYS[2], key=WIREGUARD_KEYS[2], address=IPv4Address("100.64.0.2"),
        address6=IPv6Address("fd12:3456::2"), tags=("k8s",), routes=(), left_out=(),
        outbound_rule=0, inbound_rule=0,
        endpoint="192.0.2.2:51820", endpoints=("192.0.2.2:51820",), last_handshake=NOW - 5,
        received=2048, sent=1024, unanswered=0,
    )  # fmt: skip
    return replace(known, **fields)


def client(**fields: Any) -> Client:
    known = Client(
        name="alice", key=WIREGUARD_KEYS[4], address=IPv4Address("100.64.9.1"),
        address6=IPv6Address("fd12:3456::9:1"), gateway="web2", expires=0, endpoint="", last_handshake=0,
        received=0, sent=0,
    )  # fmt: skip
    return replace(known, **fields)


def a_status(**fields: Any) -> Status:
    plain = Status(
        network="prod", network_key=KEYS[0], interface="mesh0", mtu=1380, listen_port=51820,
        table=151000007, name="web1",
        identity=KEYS[1], key=WIREGUARD_KEYS[1], address=IPv4Address("100.64.0.1"),
        address6=IPv6Address("fd12:3456::1"), addresses=IPv4Network("100.64.0.0/16"),
        addresses6=IPv6Network("fd12:3456::/32"),
        domain="prod.mesh", resolver="", tags=(), routes=(), requested=(), nat="", keepalive=0,
        fwmark=0, endpoints=("192.0.2.1:51820",), hosts=(),
        member=True, exclusion="",
        coordinator="https://vpn.example.com", connected=True, trouble="", heard=NOW, revision=7, sequence=3,
        rules=(), peers=(peer(),), excluded=(), rejected=(), rejected_count=0, withheld=(),
        log="", warnings=(),
    )  # fmt: skip
    return replace(plain, **fields)
