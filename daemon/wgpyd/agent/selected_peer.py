"""A peer whose path is selected, and what is under way with it."""

import asyncio
from collections import deque
from collections.abc import Callable

from wgpy.contract.constants import SECOND
from wgpy.contract.lazy_dataclass import dataclass, field
from wgpy.host.bootclock import boottime
from wgpy.mesh.plan import Peer
from wgpy.paths.exchange import Candidate
from wgpy.paths.outputs import Output, Relay
from wgpy.paths.selection import PeerPaths


@dataclass(slots=True, eq=False)
class SelectedPeer:
    """Of one node.

    relays, remote: what its paths were told last; was_kept: whether it was to have keepalives; outputs: to be
    done.
    """

    peer: Peer
    paths: PeerPaths
    relays: tuple[Relay, ...] = ()
    remote: tuple[Candidate, ...] = ()
    was_kept: bool = False
    outputs: deque[Output] = field(default_factory=deque)
    doing: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None

    def expire_by(self, expire: Callable[[], None]) -> None:
        """Have this called when something is due to the paths, and no more at an earlier deadline."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        deadline = self.paths.next_deadline()
        if deadline is not None:
            wait = max(deadline - boottime(), 0) / SECOND
            self.timer = asyncio.get_running_loop().call_later(wait, expire)

    def stop(self) -> None:
        for closable in (self.timer, self.doing):
            if closable is not None:
                closable.cancel()
