"""What an agent reports of itself. `wgpy.node.agent_client` documents each field."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Protocol

from wgpy.contract.constants import SECOND
from wgpy.contract.drops import DropReason
from wgpy.dns.zone import domain_of
from wgpy.driver.interface import Interface
from wgpy.host.bootclock import boottime
from wgpy.keys import PublicKey
from wgpy.mesh.addressing import announcement_trouble, node_address6
from wgpy.mesh.endings import OVER, membership_ended
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.member import Member
from wgpy.mesh.plan import NodePlan
from wgpy.mesh.plan import Peer as PlannedPeer
from wgpy.mesh.rules import OTHERS, Rules
from wgpy.mesh.selectors import names_of, naming, shown
from wgpy.model import PeerStatus
from wgpy.node.agent_client import (
    Count,
    Excluded,
    Peer,
    Rule,
    Site,
    Status,
)
from wgpy.node.site_report import report_sites, silent_gateways
from wgpyd.log import log_target

from .client_status import clients_of, unfiltered
from .cluster import Cluster
from .endpoints import GivenEndpoints
from .failover import GatewayFailover
from .host_check import HostCheck
from .identity import LocalIdentity
from .membership import Membership
from .names import Names
from .node_paths import NodePaths
from .path_report import is_idle, names_of_peers, round_trip, tried, used_path
from .reconcile.reconciler import Reconciler
from .remote_paths import is_hidden
from .store import RecordStore
from .subscription import Subscription
from .warnings import Warnings
from .withholding_detector import WithholdingDetector


class Node(Protocol):
    """Whose status it is. plan: what was planned last; up: set once a plan has been applied."""

    name: str
    interface: Interface
    identity: LocalIdentity
    store: RecordStore
    subscription: Subscription
    withholding: WithholdingDetector
    reconciler: Reconciler
    membership: Membership
    paths: NodePaths
    names: Names
    failover: GatewayFailover
    endpoints: GivenEndpoints
    plan: NodePlan
    check: HostCheck
    up: asyncio.Event
    warnings: Warnings
    cluster: Cluster


async def report(node: Node) -> Status:
    """Raises LookupError as long as the network is not known or the node is not up."""
    file, subscription, store = node.identity.node, node.subscription, node.store
    network = store.ledger.charter()
    if network is None:
        raise LookupError(f"this node does not know yet what {node.name} is: {subscription.trouble}")
    if not node.up.is_set():
        raise LookupError(f"this node of {node.name} is starting")
    device = await node.interface.status()
    member, record = node.membership.topology.member(node.identity.key), node.identity.record()
    peers, sites = tuple(_peers(node, {peer.public_key: peer for peer in device.peers})), tuple(_sites(node))
    return Status(
        network=node.name,
        network_key=file.network,
        interface=node.interface.name,
        mtu=network.mtu,
        listen_port=device.listen_port,
        endpoints=tuple(map(str, record.endpoints)) if record else (),
        hosts=file.hosts,
        table=file.routing_table,
        fwmark=device.fwmark,
        name=file.name,
        identity=node.identity.key,
        key=file.key.public_key(),
        address=file.address,
        address6=node_address6(network.addresses6, node.identity.key),
        addresses=network.addresses,
        addresses6=network.addresses6,
        domain=domain_of(network.name),
        resolver=node.names.resolver,
        tags=tuple(sorted(member.tags)) if member else (),
        routes=member.announced if member else (),
        requested=member.requested if member else file.routes,
        nat=node.paths.keepalives.nat,
        keepalive=node.paths.keepalives.interval,
        port_mapping=node.paths.mapping.report(),
        pinhole=node.paths.mapping.report(6),
        member=member is not None,
        exclusion="" if member else _exclusion(node),
        coordinator=file.url,
        connected=subscription.connected,
        trouble=subscription.trouble,
        heard=subscription.heard,
        revision=store.revision,
        sequence=store.ledger.state_digest().sequence,
        rules=tuple(_rules(node)),
        peers=peers,
        excluded=tuple(_excluded(node.membership, store.ledger)),
        rejected=store.rejected.newest,
        rejected_count=sum(store.rejected.counts.values()),
        withheld=node.withholding.withheld(time.monotonic()),
        log=log_target(),
        warnings=(*_warnings(node), *silent_gateways(sites, peers, file.exit)),
        clients=tuple(clients_of(node.membership.topology, node.identity.key, device)),
        sites=sites,
        exit=file.exit,
        exit_gateway=_exit_gateway(node),
        exit_routes=node.reconciler.exit.routes if node.reconciler.exit else (),
        return_site=file.return_site,
        return_gateways=file.return_gateways,
        is_relay=node.plan.is_relay,
        relayed_datagrams=device.relayed.datagrams,
        relayed_bytes=device.relayed.bytes,
        registered=names_of_peers(node.plan, node.paths.registration.keys),
        questions=_counts(node.names.outcomes),
        gateway_moves=_counts(node.failover.moves),
        mapping_lasts=node.paths.lifetime.lasts,
        nat_kind=node.paths.registration.found.nat,
        filtered=node.paths.registration.is_filtered,
        kubernetes=node.cluster.status,
    )


def _counts(found: Mapping[str, int]) -> tuple[Count, ...]:
    return tuple(Count(what, times) for what, times in sorted(found.items()))


def _exit_gateway(node: Node) -> str:
    exit_ = node.reconciler.exit
    gateways = (peer.member for peer in node.plan.peers if exit_ and peer.member.identity == exit_.gateway)
    return next((member.name or str(member.identity) for member in gateways), "")


def _exclusion(node: Node) -> str:
    reason = node.membership.exclusion
    return reason.value if reason else "nobody has heard of it yet"


def _peers(node: Node, present: Mapping[PublicKey, PeerStatus]) -> Iterator[Peer]:
    conflicts, topology = node.reconciler.conflicts, node.membership.topology
    local, rules = topology.member(node.identity.key), Rules(topology)
    numbers = {rule.text: number for number, rule in zip(topology.rule_numbers, topology.rules, strict=True)}

    def number_of(source: Member | None, destination: Member | None) -> int:
        rule = rules.between(source, destination) if source and destination else None
        return numbers[rule.text] if rule else 0

    for peer in node.plan.peers:
        member, tunnel = peer.member, present.get(peer.member.key)
        taken = [route for route in peer.routes if route in conflicts]
        path = used_path(node.interface, node.paths, node.plan, member.key)
        yield Peer(
            name=member.name,
            identity=member.identity,
            key=member.key,
            address=member.address,
            address6=member.address6,
            tags=tuple(sorted(member.tags)),
            routes=tuple(route for route in peer.routes if route not in conflicts),
            left_out=(*peer.left_out, *(conflicts[route] for route in taken), *_overlaps(node, peer)),
            outbound_rule=number_of(local, member),
            inbound_rule=number_of(member, local),
            endpoint=str(tunnel.endpoint) if tunnel and tunnel.endpoint else "",
            endpoints=tuple(map(str, member.endpoints)),
            last_handshake=tunnel.last_handshake_time // SECOND if tunnel else 0,
            received=tunnel.rx_bytes if tunnel else 0,
            sent=tunnel.tx_bytes if tunnel else 0,
            unanswered=_seconds_since(tunnel.unanswered_since) if tunnel else 0,
            relay=path.relay,
            since=node.paths.selection.since(member.key),
            relays=names_of_peers(node.plan, peer.tunnel.relays),
            hidden=is_hidden(member),
            by_connection=path.by_connection,
            round_trip=round_trip(node.interface, node.paths, member.key),
            nat=member.paths.nat if member.paths else "",
            tried=tried(node.paths, member.key),
            idle=is_idle(node.paths, member.key),
            mtu=node.paths.mtus.smaller(member.key),
        )


def _seconds_since(when: int) -> int:
    """Return whole seconds, at least 1; 0 if `when` is 0. when: boottime ns."""
    return max(1, (boottime() - when) // SECOND) if when else 0


def _overlaps(node: Node, peer: PlannedPeer) -> Iterator[str]:
    """Give what of this host's network lies between it and a peer."""
    for overlap in node.check.overlaps:
        hides = overlap.host.prefixlen >= overlap.mesh.prefixlen
        if overlap.mesh in peer.routes or (hides and peer.member.address in overlap.host):
            yield overlap.text


def _rules(node: Node) -> Iterator[Rule]:
    topology, counts = node.membership.topology, node.interface.rule_counts()
    names = names_of(node.store.ledger.nodes(), topology)
    for number, rule in zip(topology.rule_numbers, topology.rules, strict=True):
        source, destination = (shown(each, names, topology.ends) for each in (rule.source, rule.destination))
        yield Rule(number, source, destination, counts[min(number, OTHERS)])


def _sites(node: Node) -> Iterator[Site]:
    used = {site.name: peer.member.name for peer in node.plan.peers for site in peer.sites}
    return report_sites(node.membership.topology, node.identity.key, used)


def _excluded(membership: Membership, ledger: Ledger) -> Iterator[Excluded]:
    names, topology = {node.signer: node.name for node in ledger.nodes()}, membership.topology
    numbers = {rule.text: number for number, rule in zip(topology.rule_numbers, topology.rules, strict=True)}
    for identity, reason in topology.excluded.items():
        rules = tuple(numbers[rule.text] for rule in naming(topology.rules, identity, topology.ends))
        since = membership_ended(ledger, identity, reason) or membership.noticed.get(identity, 0)
        yield Excluded(names.get(identity, ""), identity, reason.value, reason in OVER, since, rules)


def _warnings(node: Node) -> Iterator[str]:
    """Give sentences: what is not as it should be."""
    store = node.store
    yield from filter(None, (store.warning, store.damage, *node.warnings, *node.reconciler.warnings))
    yield from filter(None, (one.warning for one in (node.plan.exit, node.plan.return_route) if one))
    yield from node.plan.client_exit.warnings if node.plan.client_exit else ()
    yield from (
        conflict
        for route, conflict in node.reconciler.conflicts.items()
        if not any(route in peer.routes for peer in node.plan.peers)
    )
    yield from unfiltered(node.membership.topology, node.plan)
    yield from filter(None, map(announcement_trouble, node.identity.node.routes))
    if looped := node.interface.counters()[DropReason.ROUTING_LOOP]:
        yield (
            f"this host routed {looped} of the mesh's own datagrams back into {node.interface.name}: "
            "the log names the endpoints, and `ip rule` and `ip route get` show which route it was"
        )
    if refused := node.subscription.refused:
        yield f"the coordinator rejects this node's record: {refused}"
