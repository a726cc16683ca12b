"""Changes of a running node, for the chapter on configuration."""

from wgpy.contract.orders import AllowedIP
from wgpy.engine.peer import Peer
from wgpy.model import AllowedIPChange
from wgpy.testing import Node

from . import whitepaper as wp
from .harness import Bench

PAPER_PREFIX = AllowedIP(bytes([10, 0, 0, 99]), 32)
NEW_KEY = wp.hash_(b"the node's next private key")


def change_private_key(bench: Bench, key: bytes | None) -> None:
    bench.node.engine.set_private_key(key, bench.node.now)
    bench.node.settle()


def add_allowed_ip(node: Node, peer: Peer, prefix: AllowedIP) -> None:
    node.device.change_allowed_ips(peer, [AllowedIPChange(prefix)], node.now)


def remove_allowed_ips(node: Node, peer: Peer, *prefixes: AllowedIP) -> None:
    changes = [AllowedIPChange(prefix, remove=True) for prefix in prefixes]
    node.device.change_allowed_ips(peer, changes, node.now)
