"""From members to the tunnel's peers, and from what is configured to what is to change. Pure.

Law: differences applied one after another give the same as configuring from nothing, and who is no member
any more is gone with the first of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wgpy.engine.actions import AllowedIP
from wgpy.engine.endpoint import Endpoint
from wgpy.keys import PublicKey
from wgpy.mesh.codec import Prefix
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.records import Token
from wgpy.mesh.topology import Member
from wgpy.uapi import AllowedIPChange, PeerUpdate


@dataclass(frozen=True, slots=True)
class Peer:
    """A member that this node knows, and how it is configured here.

    routes: those that are used here; left_out: sentences, why others are not.
    """

    member: Member
    routes: tuple[Prefix, ...]
    left_out: tuple[str, ...]

    @property
    def tunnel(self) -> "Tunnel":
        member = self.member
        own = frozenset(member.allowed_ips) - frozenset(member.routes)
        return Tunnel(own | frozenset(self.routes), member.endpoints)


@dataclass(frozen=True, slots=True)
class Tunnel:
    """What the interface knows of a peer. endpoints: where it may be reached, the best first."""

    allowed_ips: frozenset[Prefix]
    endpoints: tuple[Endpoint, ...]


Tunnels = Mapping[PublicKey, Tunnel]


def meet(members: Iterable[Member], here: Mapping[Prefix, str]) -> tuple[Peer, ...]:
    """Leave out of the members' routes what would take traffic from where this host is itself.

    here: networks that must not lead into the mesh, and what each is.
    """
    return tuple(_meet(member, here) for member in members)


def _meet(member: Member, here: Mapping[Prefix, str]) -> Peer:
    used: list[Prefix] = []
    left_out: list[str] = []
    for route in member.routes:
        hit = next((one for one in here if one.version == route.version and one.overlaps(route)), None)
        if hit is None:
            used.append(route)
        else:
            left_out.append(f"{route} is not used here: it overlaps {hit}, {here[hit]}")
    return Peer(member, tuple(used), tuple(left_out))


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


def next_expiry(ledger: Ledger, now: int) -> int | None:
    """Return when the next membership ends, Unix seconds; None if none ever does."""
    lifetimes = {token.key: token.lifetime for token in ledger.decrees(Token).values() if token.lifetime}
    ends = (node.admitted + lifetimes[node.token] for node in ledger.nodes() if node.token in lifetimes)
    return min((end for end in ends if end > now), default=None)
