"""What a node reports of the path by which it reaches a peer."""

from collections.abc import Iterable
from typing import Final

from wgpy.driver.interface import Interface
from wgpy.keys import PublicKey
from wgpy.mesh.plan import NodePlan
from wgpy.node.agent_client import RoundTrip, UsedPath

from .node_paths import NodePaths
from .probe import probe

_MICROSECOND: Final = 1000


def names_of_peers(plan: NodePlan, keys: Iterable[PublicKey]) -> tuple[str, ...]:
    members = (plan.by_key[key].member for key in keys if key in plan.by_key)
    return tuple(member.name or str(member.identity) for member in members)


def used_path(interface: Interface, paths: NodePaths, plan: NodePlan, key: PublicKey) -> UsedPath:
    """Return the path that a peer is sent to, which it last was heard by unless that is pinned."""
    present, relay = interface.path(key).endpoint, paths.selection.relay_to(key)
    by_connection = (relay or key) in paths.registration.found.by_stream
    name = "".join(names_of_peers(plan, [relay])) if relay else ""
    return UsedPath(str(present) if present else "", name, by_connection)


async def measure(
    interface: Interface, paths: NodePaths, plan: NodePlan, key: PublicKey, seconds: float
) -> RoundTrip:
    """Have a peer of the plan answer inside of the tunnel in so many seconds, 0 for not at all."""
    elapsed = await probe(str(plan.by_key[key].member.address6), seconds) if seconds else 0
    if elapsed and (present := interface.path(key).endpoint):
        paths.pings.note(key, present, elapsed)
    return RoundTrip(-(-elapsed // _MICROSECOND), used_path(interface, paths, plan, key))


def round_trip(interface: Interface, paths: NodePaths, key: PublicKey) -> int:
    """Return the last round trip by the path in use, microseconds, 0 if unknown.

    By a relay it may be the sum of both parts, as the two ends measured them.
    """
    present, selected = interface.path(key).endpoint, paths.selection.path(key)
    if present is None:
        return 0
    expected = selected.round_trip if selected and selected.endpoint == present else 0
    return (paths.pings.round_trip(key, present) or expected) // _MICROSECOND


def is_idle(paths: NodePaths, key: PublicKey) -> bool:
    """Return whether a peer is reached by a relay out of silence: the NATs have forgotten a direct path."""
    return paths.selection.relay_to(key) is not None and paths.selection.is_idle(key)


def tried(paths: NodePaths, key: PublicKey) -> tuple[str, ...]:
    """Return where a peer that is reached by a relay was asked last, and did not answer."""
    is_asked = paths.selection.relay_to(key) is not None and not paths.selection.is_idle(key)
    return tuple(map(str, paths.selection.tried(key))) if is_asked else ()
