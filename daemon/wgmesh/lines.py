"""The lines that tell nodes of a snapshot: those that many nodes are sent are encoded once."""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Final

from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.wire import encode_lines

from .snapshot import Entry, Snapshot

_MAX_SHARED: Final = 1 << 24  # bytes of all lines that are shared, and those of one delta above
_MAX_RECORDS: Final = 2_000  # of a delta that is shared
_TEXT: Final = attrgetter("text")
_Common = tuple[Iterable[bytes] | None, frozenset[VerifyKey]]


class Lines:
    """Of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._members = snapshot.topology.identities
        self._common: dict[int, _Common] = {}  # by revision
        self._shared: dict[tuple[int, ...], Iterable[bytes]] = {}
        self._size = 0  # bytes

    def since(self, revision: int, identity: VerifyKey) -> Iterable[bytes]:
        """Return what a node is sent that has all up to a revision."""
        lines, others = self._common.get(revision) or self._read_common(revision)
        if lines is not None and identity in self._members and not (others and identity in others):
            return lines
        news = self.snapshot.news(identity, revision)
        key = (revision, *map(id, news))
        if (lines := self._shared.get(key)) is None:
            lines = self._encoded(revision, news)
            if isinstance(lines, list):
                self._shared[key] = lines
        return lines

    def _read_common(self, revision: int) -> _Common:
        """Return the lines that all members are sent but some; None if they differ by more."""
        found = self.snapshot.common_news(revision)
        if found is None:
            return None, frozenset()
        news, others = found
        lines = self._encoded(revision, news)
        if isinstance(lines, list):
            self._common[revision] = lines, others
        return lines, others

    def _encoded(self, since: int, news: Sequence[Entry]) -> Iterable[bytes]:
        """Return a list if there is room to share it, else an iterator for one connection."""
        if not news:
            return ()
        lines = encode_lines(since, self.snapshot.revision, map(_TEXT, news))
        if len(news) > _MAX_RECORDS or self._size > _MAX_SHARED:
            return lines  # one after the other, as its connection takes them
        shared = list(lines)
        self._size += sum(map(len, shared))
        return shared
