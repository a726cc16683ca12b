"""What `wgpy mesh why` says of the path by which a node is reached. Pure."""

from typing import Final

from wgpy.cli.mesh.output import listed, since
from wgpy.node.agent_client import Peer

ADVICE: Final = (
    "Where neither of two nodes can be reached, a relay passes on what they send each other: `wgpy mesh "
    "relay add NODE`, of a node that both reach by UDP."
)


def path(peer: Peer) -> str:
    """Return by which relay a node is reached, or by which it can be; "" if it can be by none."""
    if peer.relay:
        return f"by the relay {peer.relay}, first {since(peer.since)}, as it was not reached directly"
    direct = "directly" if peer.endpoint else "not reached yet"
    return f"{direct}; {listed(peer.relays)} can pass on what it is sent, too" if peer.relays else ""
