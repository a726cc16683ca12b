"""Peers whose endpoint this host has no way to since it is somewhere else: to IPv6 alone, for example."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from wgpy.contract.constants import REJECT_AFTER_TIME
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PublicKey
from wgpy.mesh.plan import Tunnels
from wgpy.model import PeerPath, PeerUpdate

_RECENT: Final = REJECT_AFTER_TIME  # ns since a handshake, in which there may be a session


def moved_peers(
    tunnels: Tunnels, path: Callable[[PublicKey], PeerPath], is_routed: Callable[[Endpoint], bool]
) -> Iterator[PeerUpdate]:
    """Move each such peer to the first of its endpoints that there is a way to; a used one by a handshake.

    The engine would find out by silence, which takes 15 seconds, and then try one endpoint every five.
    """
    for key, tunnel in tunnels.items():
        present = path(key)
        if present.endpoint is None or is_routed(present.endpoint):
            continue
        if endpoint := next(filter(is_routed, tunnel.endpoints), None):
            is_used = time.time_ns() - present.handshake < _RECENT
            yield PeerUpdate(key, update_only=True, endpoint=endpoint, handshake=is_used)
