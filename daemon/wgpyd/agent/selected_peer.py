"""A peer whose path is selected, and what is under way with it."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

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

    def stop(self) -> None:
        for closable in (self.timer, self.doing):
            if closable is not None:
                closable.cancel()
