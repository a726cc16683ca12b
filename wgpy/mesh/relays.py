"""By which relays a node reaches its peers. Pure.

A peer that others cannot dial publishes the relays with which it keeps a session, and how far each is. Any
node may use these, as each node is a peer of each relay.
"""

from collections.abc import Mapping
from typing import Final

from wgpy.contract.lazy_dataclass import dataclass
from wgpy.keys import PublicKey
from wgpy.mesh.member import Member
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.topology import Topology

_UNMEASURED: Final = 100  # ms: a relay that this node has not measured comes after one that is near


@dataclass(frozen=True, slots=True)
class UsableRelay:
    """A relay in force. latency: from this node to it, in ms."""

    key: PublicKey
    latency: int


Relays = Mapping[VerifyKey, UsableRelay]


def usable_relays(topology: Topology, local: Member | None) -> Relays:
    """Return the relays that a member may use: all but itself."""
    if local is None:
        return {}
    published = local.paths.relays if local.paths else ()
    own = {relay.identity: relay.latency for relay in published}
    members = filter(None, map(topology.member, topology.relays - {local.identity}))
    return {one.identity: UsableRelay(one.key, own.get(one.identity, _UNMEASURED)) for one in members}


def relays_to(member: Member, relays: Relays) -> tuple[PublicKey, ...]:
    """Return the keys of the relays by which a peer is reached, the shortest way first; none of a relay."""
    if member.paths is None or member.identity in relays:
        return ()
    usable = [(one.latency, relays[one.identity]) for one in member.paths.relays if one.identity in relays]
    ways = sorted((latency + relay.latency, bytes(relay.key)) for latency, relay in usable)
    return tuple(PublicKey(key) for _, key in ways)
