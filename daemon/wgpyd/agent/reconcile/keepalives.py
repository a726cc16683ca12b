"""From the keepalives of an interface's peers to those that are wanted. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from wgpy.keys import PublicKey
from wgpy.model import DeviceStatus, PeerUpdate

Intervals = Mapping[PublicKey, int]  # seconds; a peer that is not in here has none


def read_keepalives(status: DeviceStatus) -> Intervals:
    return {peer.public_key: peer.persistent_keepalive for peer in status.peers if peer.persistent_keepalive}


def with_keepalives(
    changes: Iterable[PeerUpdate], present: Intervals, wanted: Intervals
) -> Iterator[PeerUpdate]:
    """Give changes of peers together with those of their keepalives."""
    differing = {
        key: wanted.get(key, 0) for key in {**present, **wanted} if present.get(key) != wanted.get(key)
    }
    for change in changes:
        yield replace(change, persistent_keepalive=differing.pop(change.public_key, None))
    for key, seconds in differing.items():
        yield PeerUpdate(key, update_only=True, persistent_keepalive=seconds)
