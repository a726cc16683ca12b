"""The lines that tell nodes of a snapshot: those that many nodes are sent are encoded once."""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Final

from wgpy.mesh.signing import Signed, VerifyKey
from wgpy.mesh.wire import deltas, encode_line

from .snapshot import Entry, Snapshot

_MAX_SHARED: Final = 1 << 24  # bytes of all lines that are shared, and those of one delta above
_MAX_RECORDS: Final = 1_000  # of a delta that is shared
_SIGNED: Final[Callable[[Entry], Signed]] = attrgetter("signed")


class Lines:
    """Of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._shared: dict[tuple[int, ...], list[bytes]] = {}
        self._size = 0  # bytes

    def since(self, revision: int, identity: VerifyKey) -> Iterable[bytes]:
        """Return what a node is sent that has all up to a revision."""
        news = self.snapshot.news(identity, revision)
        if not news:
            return ()
        key = (revision, *map(id, news)) if len(news) <= _MAX_RECORDS else ()
        lines = self._shared.get(key)
        if lines is None:
            encoded = map(encode_line, deltas(revision, self.snapshot.revision, map(_SIGNED, news)))
            if not key or self._size > _MAX_SHARED:
                return encoded  # one after the other, as its connection takes them
            lines = self._shared[key] = list(encoded)
            self._size += sum(map(len, lines))
        return lines
