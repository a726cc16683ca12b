"""Which sessions are renewed when another process goes on with an interface."""

import time

from wgpy.contract.constants import REJECT_AFTER_TIME
from wgpy.model import PeerStatus


def has_session(peer: PeerStatus) -> bool:
    """Return whether packets may pass by the last session that a peer began or answered."""
    return time.time_ns() - peer.last_handshake_time < REJECT_AFTER_TIME
