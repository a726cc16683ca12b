"""What an agent tells of itself. `wgpy.node.agent` says what each of it means."""

import time
from typing import TYPE_CHECKING

from wgpy.contract.constants import SECOND
from wgpy.mesh.addressing import node_address6
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.topology import Topology
from wgpy.model import PeerStatus
from wgpy.node import agent as told

from .reconcile.tunnels import Peer

if TYPE_CHECKING:
    from .agent import Agent


async def tell(agent: "Agent") -> told.Status:
    """Raises LookupError as long as the network is not known."""
    node, following, knowledge = agent.own.node, agent.following, agent.knowledge
    network = knowledge.ledger.charter()
    if network is None:
        raise LookupError(f"this node was not told yet what {agent.name} is: {following.trouble}")
    device = await agent.interface.status()
    present = {bytes(peer.public_key): peer for peer in device.peers}
    me = next((member for member in agent.topology.members if member.identity == agent.own.identity), None)
    return told.Status(
        network=agent.name,
        network_key=node.network,
        interface=agent.interface.name,
        mtu=network.mtu,
        listen_port=device.listen_port,
        name=node.name,
        identity=agent.own.identity,
        key=node.key.public_key(),
        address=node.address,
        address6=node_address6(network.addresses6, agent.own.identity),
        addresses=network.addresses,
        addresses6=network.addresses6,
        routes=me.routes if me else (),
        requested=me.requested if me else node.routes,
        member=me is not None,
        exclusion="" if me else _exclusion(agent),
        coordinator=node.url,
        connected=following.connected,
        trouble=following.trouble,
        heard=following.heard,
        revision=knowledge.revision,
        sequence=knowledge.ledger.state_digest().sequence,
        rules=tuple(f"{rule.source} {rule.destination}" for rule in agent.topology.rules),
        peers=tuple(_peer(peer, present.get(bytes(peer.member.key))) for peer in agent.peers),
        excluded=tuple(_excluded(agent.topology, knowledge.ledger)),
        refusals=knowledge.refusals.newest,
        refused=sum(knowledge.refusals.counts.values()),
        withheld=agent.withheld.withheld(time.monotonic()),
        warnings=agent.warnings,
    )


def _exclusion(agent: "Agent") -> str:
    reason = agent.exclusion
    return reason.value if reason else "nobody has heard of it yet"


def _peer(peer: Peer, present: PeerStatus | None) -> told.Peer:
    member = peer.member
    endpoint = present.endpoint if present else None
    return told.Peer(
        name=member.name,
        identity=member.identity,
        key=member.key,
        address=member.address,
        address6=member.address6,
        tags=tuple(sorted(member.tags)),
        routes=peer.routes,
        left_out=peer.left_out,
        endpoint=str(endpoint) if endpoint else "",
        last_handshake=present.last_handshake_time // SECOND if present else 0,
        received=present.rx_bytes if present else 0,
        sent=present.tx_bytes if present else 0,
    )


def _excluded(topology: Topology, ledger: Ledger) -> list[told.Excluded]:
    names = {node.signer: node.name for node in ledger.nodes()}
    return [
        told.Excluded(names.get(identity, ""), identity, reason.value)
        for identity, reason in topology.excluded.items()
    ]
