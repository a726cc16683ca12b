"""From what a node knows to all that its host shall be. Pure.

Invariant: the same records and the same local view give the same plan, whatever was planned before.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Self

from wgpy.address import Prefix, overlap
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import AllowedIP, Permit
from wgpy.keys import PublicKey
from wgpy.mesh.addressing import node_address6
from wgpy.mesh.records import Network
from wgpy.mesh.rules import Rules
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.topology import Member, Topology


@dataclass(frozen=True, slots=True)
class Tunnel:
    """What the interface knows of a peer. endpoints: where it may be reached, the best first."""

    allowed_ips: frozenset[AllowedIP]
    endpoints: tuple[Endpoint, ...]


Tunnels = Mapping[PublicKey, Tunnel]
Filter = Mapping[PublicKey, tuple[Permit, ...] | None]  # what a peer may begin, None for everything


@dataclass(frozen=True, slots=True)
class Peer:
    """A member that this node knows, and how it is configured here.

    routes: those that are used here; left_out: sentences, why others are not.
    """

    member: Member
    routes: tuple[Prefix, ...]
    left_out: tuple[str, ...]
    tunnel: Tunnel


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """How the interface is to be, which is up. addresses: with the prefix length of the network."""

    mtu: int
    addresses: tuple[IPv4Interface | IPv6Interface, ...]


@dataclass(frozen=True, slots=True)
class Routing:
    """Where a node's routes are.

    table: that has them; mark: of packets that it does not route, those of the mesh itself; coordinator_port:
    TCP, of a coordinator on this host, whose answers it does not route either; 0 for none.
    """

    table: int
    mark: int
    coordinator_port: int = 0


@dataclass(frozen=True, slots=True)
class LocalView:
    """What a node knows of itself and of where its host is.

    identity, address: its own in the network; networks: that must not lead into the mesh, each with its
    description; own_endpoints: addresses at which the node itself may be reached; versions: of IP that it can
    send by; routing: of its host.
    """

    identity: VerifyKey
    address: IPv4Address
    networks: Mapping[Prefix, str]
    own_endpoints: frozenset[str]
    versions: frozenset[int]
    routing: Routing

    def peer(self, member: Member) -> Peer:
        """Leave out of a member's routes what would take traffic from where this host is itself."""
        used: list[Prefix] = []
        left_out: list[str] = []
        for route in member.routes:
            network = next((network for network in self.networks if overlap(network, route)), None)
            if network is None:
                used.append(route)
            else:
                left_out.append(f"{route} is not used here: it overlaps {network}, {self.networks[network]}")
        unused = frozenset(member.routes) - frozenset(used)
        allowed_ips = frozenset(map(allowed_ip, frozenset(member.allowed_ips) - unused))
        endpoints = tuple(sorted(member.endpoints, key=self._distance))
        return Peer(member, tuple(used), tuple(left_out), Tunnel(allowed_ips, endpoints))

    def _distance(self, endpoint: Endpoint) -> int:
        """The lesser is tried first. An address that is ours, too, is our own NAT's, and we are behind it."""
        if (6 if endpoint.is_ipv6 else 4) not in self.versions:
            return 2
        return 1 if endpoint.address in self.own_endpoints else 0


@dataclass(frozen=True, slots=True)
class NodePlan:
    """All that a host shall be, for one network.

    view: what it was planned for; by_key: whom the interface knows; tunnels: the same as the interface has
    them; filter: what each may begin; names: of peers, by their own addresses; routes: prefixes that lead
    into the interface, by the table of `routing`.
    """

    view: LocalView | None
    by_key: Mapping[PublicKey, Peer]
    tunnels: Tunnels
    filter: Filter
    names: Mapping[IPv6Address, str]
    link: LinkPlan
    routes: tuple[Prefix, ...]
    routing: Routing

    @classmethod
    def empty(cls) -> Self:
        """Return that of a node that knows nothing yet."""
        return cls(None, {}, {}, {}, {}, LinkPlan(0, ()), (), Routing(0, 0))

    @property
    def peers(self) -> Collection[Peer]:
        return self.by_key.values()


def plan(network: Network, topology: Topology, view: LocalView, before: NodePlan) -> NodePlan:
    """Return what a node's host shall be.

    before: what was planned last, or an empty one, which makes it faster and nothing else.
    """
    known = before.peers if before.view == view else ()
    peers = reachable(topology.peers(view.identity), view, known)
    local = topology.member(view.identity)
    own = IPv4Interface((view.address, network.addresses.prefixlen))
    own6 = IPv6Interface((node_address6(network.addresses6, view.identity), network.addresses6.prefixlen))
    return NodePlan(
        view,
        {peer.member.key: peer for peer in peers},
        {peer.member.key: peer.tunnel for peer in peers},
        Rules(topology).permits(local) if local else {},
        {peer.member.address6: peer.member.name or str(peer.member.identity) for peer in peers},
        LinkPlan(network.mtu, (own, own6)),
        (own.network, own6.network, *(route for peer in peers for route in peer.routes)),
        view.routing,
    )


def reachable(members: Iterable[Member], view: LocalView, before: Iterable[Peer] = ()) -> tuple[Peer, ...]:
    """Return members as peers. before: what was returned last for the same view."""
    known = {id(peer.member): peer for peer in before}  # of members that live as long as their peers
    return tuple(known.get(id(member)) or view.peer(member) for member in members)


def allowed_ip(prefix: Prefix) -> AllowedIP:
    return AllowedIP(prefix.network_address.packed, prefix.prefixlen)
