"""What an agent reports of clients."""

from collections.abc import Iterator

from wgpy.contract.constants import MAX_PERMITS, SECOND
from wgpy.mesh.ingress import entering_by_gateway
from wgpy.mesh.plan import NodePlan
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.topology import Topology
from wgpy.model import DeviceStatus
from wgpy.node.agent_client import Client


def clients_of(topology: Topology, local: VerifyKey, device: DeviceStatus) -> Iterator[Client]:
    """Give those that enter by a node or by another one that it knows. local: identity of the node."""
    present = {peer.public_key: peer for peer in device.peers}
    for gateway, entering in entering_by_gateway(topology).items():
        member = topology.member(gateway)
        for one in entering:
            tunnel = present.get(one.client.key) if gateway == local else None
            yield Client(
                name=one.client.name,
                key=one.client.key,
                address=one.ingress.address,
                address6=one.ingress.address6,
                gateway=(member.name if member else "") or str(gateway),
                expires=one.client.expires,
                endpoint=str(tunnel.endpoint) if tunnel and tunnel.endpoint else "",
                last_handshake=tunnel.last_handshake_time // SECOND if tunnel else 0,
                received=tunnel.rx_bytes if tunnel else 0,
                sent=tunnel.tx_bytes if tunnel else 0,
            )


def unfiltered(topology: Topology, plan: NodePlan) -> Iterator[str]:
    """Give a sentence for each peer that may begin to more than an interface can be told."""
    names = {client.key: client.name for client in topology.clients}
    full = [key for key, permits in plan.filter.items() if permits and len(permits) >= MAX_PERMITS]
    for key in full:
        if key not in plan.clients:
            name = plan.by_key[key].member.name if key in plan.by_key else str(key)
            yield f"rules let {name} begin to more than {MAX_PERMITS} ports here: the newest rules do nothing"
        else:
            yield (
                f"the client {names.get(key, str(key))} may begin to more than {MAX_PERMITS} prefixes, and "
                "does not reach those above: let it begin to fewer, or to any"
            )
