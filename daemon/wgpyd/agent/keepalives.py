"""Which peers this node sends persistent keepalives to, so that a NAT keeps its mappings towards them.

Invariant: a node that is behind no NAT, as far as it can tell, sends none unless its operator asks for them.
A peer that does not answer is called again after pauses that grow, so that nobody is called for ever.
"""

import time
from collections.abc import Callable, Collection, Iterator
from math import inf
from typing import Final

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.device import DeviceEvent
from wgpy.engine.actions import HandshakeCompleted, PeerUnreachable
from wgpy.keys import PublicKey
from wgpy.mesh.plan import Tunnels
from wgpy.node.files import KEEPALIVE_AUTO, KEEPALIVE_OFF
from wgpy.paths.lifetime import ASSUMED

from .host_networks import HostNetworks, nat_address
from .identity import LocalIdentity
from .reconcile.keepalives import Intervals

NAT_INTERVAL: Final = ASSUMED  # seconds, until this NAT is known better
FIRST_PAUSE: Final = 60.0  # seconds until a peer that does not answer is called again, then twice as long
LAST_PAUSE: Final = 3600.0


@dataclass(frozen=True, slots=True)
class _Silence:
    """A peer did not answer at these endpoints. until: when it is called again; pause: seconds."""

    endpoints: tuple[Endpoint, ...]
    until: float
    pause: float


class Keepalives:
    """Of one node.

    nat: the address of the NAT that this host is behind, "" if none is known; interval: seconds, 0 for none;
    is_hidden: whether others cannot dial this host, by its NAT or as its operator says; is_automatic: whether
    the interval is to be what the NAT allows.
    """

    def __init__(self, on_change: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        """on_change: called when `wanted` may have changed; clock: seconds."""
        self._on_change = on_change
        self._clock = clock
        self._tunnels: Tunnels = {}
        self._answering: set[PublicKey] = set()
        self._silent: dict[PublicKey, _Silence] = {}
        self._relayed: Collection[PublicKey] = ()
        self.nat = ""
        self.is_hidden = False
        self.is_automatic = False
        self.interval = 0
        self._relay_interval = 0

    def configure(
        self,
        identity: LocalIdentity,
        seen: str,
        here: HostNetworks,
        *,
        is_blocked: bool = False,
        is_filtered: bool = False,
        is_apart: bool = False,
        learnt: int = NAT_INTERVAL,
    ) -> None:
        """seen: the address that the coordinator saw, "" if unknown; is_blocked: whether no UDP passes.

        is_filtered: whether a firewall lets nothing in that was not asked for; is_apart: whether some peers
        have no version of IP by which this node is dialled, so that it is to keep a session with relays;
        learnt: seconds between keepalives that the NAT or the firewall allows.
        """
        record = identity.record()
        self.nat = nat_address(seen, record.endpoints if record else (), here)
        setting = identity.node.keepalive
        automatic = learnt if self.nat or is_filtered else 0
        if is_blocked or here.user_mode:  # which loses a port for good that is silent for long
            automatic = NAT_INTERVAL
        self.is_hidden = bool(_interval(setting, automatic if self.nat or here.user_mode else 0))
        self.is_automatic = setting == KEEPALIVE_AUTO
        self.interval = _interval(setting, automatic)
        self._relay_interval = _interval(setting, automatic or (NAT_INTERVAL if is_apart else 0))

    def wanted(
        self, tunnels: Tunnels, relays: Collection[PublicKey] = (), relayed: Collection[PublicKey] = ()
    ) -> Intervals:
        """Return the interval of each peer that is to have one.

        relays: with which this node registers; relayed: peers that are reached by relays, which have none.
        With relays, others have them only for a while, in which a NAT knows no flow that is older.
        """
        self._tunnels, self._relayed = tunnels, relayed
        self._answering.intersection_update(tunnels)
        self._silent = {key: silence for key, silence in self._silent.items() if key in tunnels}
        interval = min(self.interval, NAT_INTERVAL) if relays else self.interval
        called = dict.fromkeys(self._called(), interval) if interval else {}
        return called | dict.fromkeys(relays if self._relay_interval else (), self._relay_interval)

    @property
    def seconds_left(self) -> float:
        """Until the next peer that does not answer is to be called again; infinity if there is none."""
        now = self._clock()
        waiting = [silence.until - now for silence in self._silent.values() if silence.until > now]
        return min(waiting, default=inf) if self.interval else inf

    def on_event(self, key: PublicKey, event: DeviceEvent) -> None:
        """A listener of the interface."""
        match event:
            case HandshakeCompleted():
                is_news = key not in self._answering or key in self._silent
                self._answering.add(key)
                self._silent.pop(key, None)
            case PeerUnreachable():
                is_news = True
                self._note_silence(key)
            case _:
                return
        if is_news and self.interval:
            self._on_change()

    def _note_silence(self, key: PublicKey) -> None:
        before = self._silent.get(key)
        pause = min(2 * before.pause, LAST_PAUSE) if before else FIRST_PAUSE
        self._silent[key] = _Silence(self._endpoints(key), self._clock() + pause, pause)

    def _called(self) -> Iterator[PublicKey]:
        """Yield peers that answer, and those that may."""
        now = self._clock()
        for key, tunnel in self._tunnels.items():
            silence = self._silent.get(key)
            is_silent = silence is not None and silence.until > now and silence.endpoints == tunnel.endpoints
            is_called = (tunnel.endpoints or key in self._answering) and key not in self._relayed
            if is_called and not is_silent:
                yield key

    def _endpoints(self, key: PublicKey) -> tuple[Endpoint, ...]:
        tunnel = self._tunnels.get(key)
        return tunnel.endpoints if tunnel else ()


def _interval(setting: str, automatic: int) -> int:
    """Return seconds, 0 for none."""
    if setting == KEEPALIVE_AUTO:
        return automatic
    return 0 if setting == KEEPALIVE_OFF else int(setting)
