"""Answers that do not leave at once: their questions asked for that, to see what a NAT or a firewall lets in.

Invariant: one answer a question, to where that came from; no node has more than its share of them, and their
number has a maximum.
"""

from typing import Final, NamedTuple

from wgpy.contract.endpoint import Endpoint

MAX_POSTPONED: Final = 1024
MAX_OF_PEER: Final = 16


class Postponed(NamedTuple):
    """to: who asked, and our address at which it did; elsewhere: whether to send it from another port."""

    data: bytes
    to: Endpoint
    due: int
    elsewhere: bool


class PostponedAnswers:
    """Of one node. Times are boottime ns."""

    def __init__(self) -> None:
        self._by_source: dict[tuple[bytes, Endpoint], Postponed] = {}

    def add(self, peer: bytes, answer: Postponed) -> None:
        """In the place of the one to the same node at the same address. Without room it is dropped."""
        key = peer, answer.to.without_source()
        if key in self._by_source or self._has_room(peer):
            self._by_source[key] = answer

    def _has_room(self, peer: bytes) -> bool:
        of_peer = sum(one == peer for one, _ in self._by_source)
        return len(self._by_source) < MAX_POSTPONED and of_peer < MAX_OF_PEER

    @property
    def next_due(self) -> int | None:
        """None: nothing waits."""
        return min((one.due for one in self._by_source.values()), default=None)

    def take_due(self, now: int) -> list[Postponed]:
        """Those whose time has come."""
        due = {key: one for key, one in self._by_source.items() if one.due <= now}
        for key in due:
            del self._by_source[key]
        return list(due.values())
