"""From members to the tunnel's peers, and from what is configured to what is to change. Pure.

Invariant: differences applied one after another give the same as configuring from nothing, and who is no
member any more is gone with the first of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wgpy.address import Prefix
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import AllowedIP
from wgpy.keys import PublicKey
from wgpy.mesh.topology import Member
from wgpy.model import AllowedIPChange, PeerUpdate


@dataclass(frozen=True, slots=True)
class Tunnel:
    """What the interface knows of a peer. endpoints: where it may be reached, the best first."""

    allowed_ips: frozenset[Prefix]
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """A member that this node knows, and how it is configured here.

    routes: those that are used here; left_out: sentences, why others are not.
    """

    member: Member
    routes: tuple[Prefix, ...]
    left_out: tuple[str, ...]
    tunnel: Tunnel


Tunnels = Mapping[PublicKey, Tunnel]


@dataclass(frozen=True, slots=True)
class LocalView:
    """From where a node sees the others.

    networks: that must not lead into the mesh, and what each is; own: where the node itself may be reached;
    versions: of IP that it can send by.
    """

    networks: Mapping[Prefix, str]
    own: frozenset[str]
    versions: frozenset[int]

    def meet(self, member: Member) -> Peer:
        """Leave out of a member's routes what would take traffic from where this host is itself."""
        used: list[Prefix] = []
        left_out: list[str] = []
        for route in member.routes:
            hit = next(
                (one for one in self.networks if one.version == route.version and one.overlaps(route)), None
            )
            if hit is None:
                used.append(route)
            else:
                left_out.append(f"{route} is not used here: it overlaps {hit}, {self.networks[hit]}")
        addresses = frozenset(member.allowed_ips) - frozenset(member.routes)
        endpoints = tuple(sorted(member.endpoints, key=self._distance))
        return Peer(member, tuple(used), tuple(left_out), Tunnel(addresses | frozenset(used), endpoints))

    def _distance(self, endpoint: Endpoint) -> int:
        """The lesser is tried first. An address that is ours, too, is our own NAT's, and we are behind it."""
        if (6 if endpoint.is_ipv6 else 4) not in self.versions:
            return 2
        return 1 if endpoint.address in self.own else 0


def meet(members: Iterable[Member], place: LocalView, before: Iterable[Peer] = ()) -> tuple[Peer, ...]:
    """Return how members are to be configured. before: what was returned last for the same place."""
    known = {id(peer.member): peer for peer in before}  # of members that live as long as their peers
    return tuple(known.get(id(member)) or place.meet(member) for member in members)


def tunnels(peers: Iterable[Peer]) -> dict[PublicKey, Tunnel]:
    return {peer.member.key: peer.tunnel for peer in peers}


def difference(present: Tunnels, wanted: Tunnels) -> list[PeerUpdate]:
    """Return what is to change. Who goes goes first, so that what was theirs can be another's."""
    return [
        *(PeerUpdate(key, remove=True) for key in present if key not in wanted),
        *(
            _change(key, present.get(key, _NOTHING), tunnel)
            for key, tunnel in wanted.items()
            if present.get(key) != tunnel
        ),
    ]


def _change(key: PublicKey, present: Tunnel, wanted: Tunnel) -> PeerUpdate:
    """An endpoint that the peer roamed to stays: only where else it may be is said."""
    return PeerUpdate(
        key,
        candidates=wanted.endpoints if wanted.endpoints != present.endpoints else None,
        allowed_ips=(
            *_changes(present.allowed_ips - wanted.allowed_ips, remove=True),
            *_changes(wanted.allowed_ips - present.allowed_ips, remove=False),
        ),
    )


_NOTHING = Tunnel(frozenset(), ())


def _changes(prefixes: Iterable[Prefix], *, remove: bool) -> Iterable[AllowedIPChange]:
    for prefix in prefixes:
        yield AllowedIPChange(AllowedIP(prefix.network_address.packed, prefix.prefixlen), remove)
