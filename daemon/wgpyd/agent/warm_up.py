"""A restarted node initiates handshakes: who has a session with its last life would use that for 15 s."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import Final

from wgpy.driver.interface import Interface
from wgpy.keys import PublicKey
from wgpy.mesh.plan import NodePlan
from wgpy.model import DeviceUpdate, PeerUpdate

from .remote_paths import registers_with

_MAX_PEERS: Final = 256
_WARM_UP_TIME: Final = 0.5  # seconds


def in_order(plan: NodePlan) -> list[PublicKey]:
    """Return peers; those first that register with this node as a relay, which then needs a session."""
    local = plan.view.identity if plan.view else None
    ordered = sorted(plan.peers, key=lambda peer: local is None or not registers_with(peer.member, local))
    return [peer.member.key for peer in ordered]


async def warm_up(interface: Interface, keys: Iterable[PublicKey], on_end: Callable[[], None]) -> None:
    """Send peers a keepalive at once. on_end: called when they are to have their own intervals again."""
    with suppress(ConnectionError):  # the interface was closed
        warm = islice(keys, _MAX_PEERS)
        changes = [PeerUpdate(key, update_only=True, persistent_keepalive=1) for key in warm]
        await interface.configure(DeviceUpdate(peers=changes))
        await asyncio.sleep(_WARM_UP_TIME)
        on_end()
