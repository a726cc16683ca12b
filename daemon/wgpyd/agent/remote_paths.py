"""What a peer has published of where it is, as its paths take it. Pure."""

from collections.abc import Collection
from ipaddress import IPv6Network, ip_address
from typing import Final

from wgpy.address import is_private
from wgpy.contract.constants import MILLISECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PublicKey
from wgpy.mesh.member import Member
from wgpy.mesh.plan import Peer
from wgpy.mesh.registration import WANTED
from wgpy.mesh.relays import Relays
from wgpy.mesh.signing import VerifyKey
from wgpy.paths.exchange import Candidate, PathKind
from wgpy.paths.nat64 import reached_candidates

_IPV4: Final = frozenset({4})


def is_hidden(member: Member) -> bool:
    """Return whether others cannot dial a member: it registers with relays."""
    return member.paths is not None and bool(member.paths.relays)


def registers_with(member: Member, relay: VerifyKey) -> bool:
    return member.paths is not None and any(one.identity == relay for one in member.paths.relays)


def is_of_other_versions(peer: Peer, versions: Collection[int]) -> bool:
    """Return whether a peer is nowhere where a host with these versions of IP can dial it."""
    return bool(peer.tunnel.endpoints) and not _versions(peer) & set(versions)


def has_ipv4_alone(peer: Peer) -> bool:
    return _versions(peer) == _IPV4


def _versions(peer: Peer) -> set[int]:
    return {6 if endpoint.is_ipv6 else 4 for endpoint in peer.tunnel.endpoints}


def candidates_of(peer: Peer, nat64: IPv6Network | None = None) -> tuple[Candidate, ...]:
    """Return where a peer may be reached without a relay. nat64: prefix of the NAT64 before this host."""
    hidden = is_hidden(peer.member)
    published = (Candidate(one, _kind(one, is_hidden=hidden)) for one in peer.tunnel.endpoints)
    return reached_candidates(published, nat64)


def _kind(endpoint: Endpoint, *, is_hidden: bool) -> PathKind:
    if is_private(ip_address(endpoint.address)):
        return PathKind.LAN
    if not is_hidden:
        return PathKind.PUBLIC
    return PathKind.IPV6 if endpoint.is_ipv6 else PathKind.REFLEXIVE


def nearest_relays(relays: Relays) -> tuple[PublicKey, ...]:
    """Return those to use for a peer that registers with none, the nearest first.

    Both ends choose the same of relays that they have not measured, else each would undo the other's choice.
    """
    ranked = sorted(relays.values(), key=lambda one: (one.latency, bytes(one.key)))
    return tuple(one.key for one in ranked[:WANTED])


def round_trips(member: Member, relays: Relays) -> dict[PublicKey, int]:
    """Return that to a member by each relay with which it registers, ns."""
    registered = member.paths.relays if member.paths else ()
    return {
        relays[one.identity].key: (relays[one.identity].latency + one.latency) * MILLISECOND
        for one in registered
        if one.identity in relays
    }
