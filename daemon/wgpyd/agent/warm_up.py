"""A restarted node initiates handshakes: who has a session with its last life would use that for 15 s."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from wgpy.driver.interface import Interface
from wgpy.keys import PublicKey
from wgpy.mesh.plan import NodePlan
from wgpy.model import DeviceUpdate, PeerUpdate
from wgpy.paths.exchange import PathKind

from .remote_paths import registers_with
from .selection import Selection

_MAX_PEERS: Final = 256
_WARM_UP_TIME: Final = 0.5  # seconds


def in_order(plan: NodePlan) -> list[PublicKey]:
    """Return peers; those first that register with this node as a relay, which then needs a session."""
    local = plan.view.identity if plan.view else None
    ordered = sorted(plan.peers, key=lambda peer: local is None or not registers_with(peer.member, local))
    return [peer.member.key for peer in ordered]


async def warm_up(interface: Interface, selection: Selection, on_end: Callable[[], None]) -> None:
    """Send peers a keepalive at once. on_end: called when they are to have their own intervals again.

    An initiation that reaches a relay before the session with that is lost, and repeated after five seconds.
    """
    with suppress(ConnectionError):  # the interface was closed
        warm = in_order(selection.plan)[:_MAX_PEERS]
        relayed = [key for key in warm if _is_relayed(selection, key)]
        others = set(warm).difference(relayed)
        changes = [PeerUpdate(key, update_only=True, persistent_keepalive=1) for key in warm if key in others]
        await interface.configure(DeviceUpdate(peers=changes))
        for key in relayed:
            selection.calls.begin(key, others)
        await asyncio.sleep(_WARM_UP_TIME)
        on_end()


def _is_relayed(selection: Selection, key: PublicKey) -> bool:
    path = selection.path(key)
    return path is not None and path.kind is PathKind.RELAYED
