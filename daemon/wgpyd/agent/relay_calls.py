"""Begins sessions with relays, as without one they forward nothing, and then with who is reached by them."""

import time
from collections.abc import Callable, Collection

from wgpy.contract.constants import REJECT_AFTER_TIME
from wgpy.contract.events import EndpointChanged
from wgpy.device import DeviceEvent
from wgpy.driver.interface import Interface
from wgpy.engine.actions import HandshakeCompleted, PeerUnreachable
from wgpy.keys import PublicKey
from wgpy.model import PeerUpdate


class RelayCalls:
    """Of one node."""

    def __init__(
        self,
        interface: Interface,
        relay_to: Callable[[PublicKey], PublicKey | None],
        configure: Callable[..., None],
    ) -> None:
        """relay_to: by which a peer is reached now; configure: changes peers of the interface."""
        self._interface = interface
        self._relay_to = relay_to
        self._configure = configure
        self._waiting: dict[PublicKey, set[PublicKey]] = {}  # by relay: who is reached once it has a session
        self._ended: set[PublicKey] = set()  # with whom this node, a relay, has ended its session

    def is_live(self, key: PublicKey) -> bool:
        """Return whether a session with a relay is young enough to be in use."""
        return 0 <= time.time_ns() - self._interface.path(key).handshake < REJECT_AFTER_TIME

    def call(self, relay: PublicKey, key: PublicKey) -> None:
        """Begin a session with a relay, and then with the peer: without the first it forwards nothing."""
        if relay not in self._waiting:
            self._configure(PeerUpdate(relay, update_only=True, handshake=True))
        self._waiting.setdefault(relay, set()).add(key)

    def note_begun(self, relay: PublicKey) -> None:
        """One with a relay is under way: a second initiation right behind the first one ends both.

        The relay drops it, and its answer to the first one comes for none that is known any more.
        """
        self._waiting.setdefault(relay, set())

    def begin(self, key: PublicKey, begun: Collection[PublicKey]) -> None:
        """Begin a session with a peer, after that with its relay. begun: with whom one is under way."""
        relay = self._relay_to(key)
        if relay is None or self.is_live(relay):
            self._configure(PeerUpdate(key, update_only=True, handshake=True))
        elif relay in begun:
            self._waiting.setdefault(relay, set()).add(key)
        else:
            self.call(relay, key)

    def note_end(self, key: PublicKey) -> None:
        """This node, a relay, has ended its session with a peer, which does not know that.

        It forwards for whom it can send to. So as soon as the peer is heard without another relay, it gets a
        new session: it may be about to have something forwarded.
        """
        self._ended.add(key)

    def on_event(self, key: PublicKey, event: DeviceEvent) -> None:
        """A listener of the interface."""
        match event:
            case HandshakeCompleted():
                self._ended.discard(key)
                self._forget(key)
                self._begin(key)
            case EndpointChanged() if key in self._ended and self._relay_to(key) is None:
                self._ended.discard(key)
                self._configure(PeerUpdate(key, update_only=True, handshake=True))
            case PeerUnreachable():
                self._waiting.pop(key, None)

    def _forget(self, key: PublicKey) -> None:
        """Who has got a session meanwhile waits no more.

        With another one the peer would forget the one before that, by which a process that is being replaced
        still sends.
        """
        for waiting in self._waiting.values():
            waiting.discard(key)

    def _begin(self, relay: PublicKey) -> None:
        """Begin the sessions with those who waited for this relay."""
        waiting = self._waiting.pop(relay, set())
        still = (key for key in waiting if self._relay_to(key) == relay)
        self._configure(*(PeerUpdate(key, update_only=True, handshake=True) for key in still))
