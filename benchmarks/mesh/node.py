"""A node's work for a line from its coordinator, without sockets and disk."""

import time
from collections.abc import Iterable
from ipaddress import IPv4Address
from typing import Final

from wgpy.mesh.ledger import Ledger
from wgpy.mesh.plan import LocalView, NodePlan, Routing, plan
from wgpy.mesh.signing import Signed, VerifyKey
from wgpy.mesh.topology import derive
from wgpy.mesh.wire import Delta, decode_line, encode_line
from wgpyd.agent.reconcile.tunnels import difference

_ADDRESS: Final = IPv4Address("100.80.0.1")


class Node:
    """One node with the parts of wgpyd's agent."""

    def __init__(self, network: VerifyKey, identity: VerifyKey, now: int, known: Iterable[Signed]) -> None:
        self._ledger = Ledger(network)
        self._view = LocalView(identity, _ADDRESS, {}, frozenset(), frozenset((4, 6)), Routing(7, 8))
        self._now = now
        for signed in known:
            self._ledger.add(signed)
        self._topology = derive(self._ledger, now)
        self._plan = self._planned(NodePlan.empty())

    def hear(self, line: bytes) -> int:
        """Compute the changes of the interface for a line; return how many peers change."""
        delta = decode_line(line)
        assert isinstance(delta, Delta)
        for signed in delta.records:
            self._ledger.add(signed)
        encode_line(delta)  # for the journal
        self._topology = derive(self._ledger, self._now, self._topology)
        before, self._plan = self._plan, self._planned(self._plan)
        return len(difference(before.tunnels, self._plan.tunnels))

    def _planned(self, before: NodePlan) -> NodePlan:
        network = self._ledger.charter()
        assert network is not None
        return plan(network, self._topology, self._view, before)

    def time_to_hear(self, line: bytes) -> float:
        """Return seconds of CPU."""
        begin = time.process_time()
        self.hear(line)
        return time.process_time() - begin
