"""When an empty packet is sent: passive and persistent keepalives. Whitepaper 6.5."""

from collections.abc import Callable

from wgpy.contract.constants import KEEPALIVE_TIMEOUT, SECOND
from wgpy.contract.events import PeerActivity, PeerId
from wgpy.contract.orders import SendKeepalive

from .actions import Action
from .peer import Peer
from .timers import Timer, Timers


class Keepalives:
    """Of all peers. activity, actions: as the engine has them."""

    def __init__(
        self, timers: Timers, activity: Callable[[PeerId], PeerActivity], actions: list[Action]
    ) -> None:
        self._timers = timers
        self._activity = activity
        self._actions = actions

    def send_passive(self, peer: Peer, now: int) -> None:
        """Send one if data has gone unacknowledged for KEEPALIVE_TIMEOUT, or see to it then."""
        first = self._activity(peer.id).first_unacked_received
        if first and first + KEEPALIVE_TIMEOUT <= now:
            self._actions.append(SendKeepalive(peer.id))
        elif first:
            self._timers.arm(peer.id, Timer.SEND_KEEPALIVE, first + KEEPALIVE_TIMEOUT)

    def start_persistent(self, peer: Peer, now: int) -> None:
        """Send one at once, and the next an interval later."""
        self._actions.append(SendKeepalive(peer.id))
        self._timers.arm(peer.id, Timer.PERSISTENT_KEEPALIVE, now + peer.persistent_keepalive * SECOND)

    def arm_persistent(self, peer: Peer) -> None:
        self._timers.arm(peer.id, Timer.PERSISTENT_KEEPALIVE, self._persistent_due(peer))

    def is_persistent_due(self, peer: Peer, now: int) -> bool:
        return self._persistent_due(peer) <= now

    def _persistent_due(self, peer: Peer) -> int:
        """An interval after anything authentic passed, either way."""
        activity = self._activity(peer.id)
        last = max(activity.last_sent, activity.last_received, peer.state.last_handshake_traversal)
        return last + peer.persistent_keepalive * SECOND
