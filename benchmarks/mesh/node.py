"""What a node does with a line from its coordinator, without sockets and disk."""

import time
from collections.abc import Iterable
from typing import Final

from wgpy.mesh.ledger import Ledger
from wgpy.mesh.signing import Signed, VerifyKey
from wgpy.mesh.topology import derive
from wgpy.mesh.wire import Delta, decode_line, encode_line
from wgpyd.agent.reconcile.tunnels import LocalView, difference, meet, tunnels

_SOMEWHERE: Final = LocalView({}, frozenset(), frozenset((4, 6)))


class Node:
    """One node, as the agent in `wgpyd` is one."""

    def __init__(self, network: VerifyKey, identity: VerifyKey, now: int, known: Iterable[Signed]) -> None:
        self._ledger = Ledger(network)
        self._identity = identity
        self._now = now
        for signed in known:
            self._ledger.add(signed)
        self._topology = derive(self._ledger, now)
        self._peers = meet(self._topology.peers(identity), _SOMEWHERE)
        self._tunnels = tunnels(self._peers)

    def hear(self, line: bytes) -> int:
        """Make of a line what the interface is to change; how many peers that are."""
        delta = decode_line(line)
        assert isinstance(delta, Delta)
        for signed in delta.records:
            self._ledger.add(signed)
        encode_line(delta)  # for the journal
        self._topology = derive(self._ledger, self._now, self._topology)
        self._peers = meet(self._topology.peers(self._identity), _SOMEWHERE, self._peers)
        before, self._tunnels = self._tunnels, tunnels(self._peers)
        return len(difference(before, self._tunnels))

    def time_to_hear(self, line: bytes) -> float:
        """Return seconds of CPU."""
        begin = time.process_time()
        self.hear(line)
        return time.process_time() - begin
