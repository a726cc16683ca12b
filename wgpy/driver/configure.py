"""What a `set` means: an update carried out on a running device, a little at a time.

Invariant: nothing here can fail half-way; the caller has done before what can fail. A peer that is known
keeps its session, and a prefix that stays is never without its route, so traffic flows while this runs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from wgpy.contract.constants import KEY_LENGTH, MAX_PEERS
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import StateError
from wgpy.contract.orders import AllowedIP
from wgpy.engine.engine import Engine
from wgpy.engine.peer import Peer
from wgpy.keys import PresharedKey
from wgpy.model import DeviceUpdate, PeerUpdate
from wgpy.paths.candidates import Candidates

_T = TypeVar("_T")

_PREFIXES_PER_STEP: Final = 256
_NO_PRESHARED_KEY: Final = PresharedKey(bytes(KEY_LENGTH))


def check_update(device: Engine, update: DeviceUpdate) -> None:
    """Raises StateError if the device cannot hold what the update asks for."""
    known = set() if update.replace_peers else set(device.peers)
    if len(known.union(bytes(peer.public_key) for peer in update.peers)) > MAX_PEERS:
        raise StateError(f"an interface has at most {MAX_PEERS} peers: remove some first")


def apply_update(device: Engine, update: DeviceUpdate, now: int, last_timestamp: int = 0) -> Iterator[None]:
    """Carry out an update that `check_update` accepted; it is done when the iterator ends.

    Between steps the device may be driven, but not configured. last_timestamp: for the new private key.
    """
    if update.private_key is not None:
        key = bytes(update.private_key) if update.private_key else None
        device.set_private_key(key, now, last_timestamp)
    starting_over: set[bytes] = set()
    if update.replace_peers:
        set_again = {bytes(peer.public_key) for peer in update.peers if not (peer.update_only or peer.remove)}
        for peer in list(device.peers.values()):
            if peer.public_key in set_again:
                starting_over.add(peer.public_key)
            else:
                yield from _remove_peer(device, peer)
    for change in update.peers:
        yield from _change_peer(device, change, starting_over, now)
        yield


def _change_peer(device: Engine, change: PeerUpdate, starting_over: set[bytes], now: int) -> Iterator[None]:
    """starting_over: peers that count as removed, though their sessions wait for them to be set again."""
    key = bytes(change.public_key)
    if key == device.public_key:
        return
    peer = None if key in starting_over else device.peers.get(key)
    if change.remove:
        if peer:
            yield from _remove_peer(device, peer)
        return
    if peer is None:
        if change.update_only:
            return
        if key in starting_over:
            starting_over.remove(key)
            peer = device.peers[key]
            change = _as_first(change)
        else:
            peer = device.add_peer(key)
    if change.preshared_key is not None:
        device.set_preshared_key(peer, bytes(change.preshared_key))
    if change.endpoint is not None and not _leads_to(peer, change.endpoint, change.pinned):
        device.set_endpoint(peer, change.endpoint, now, pinned=change.pinned)
    if change.candidates is not None:
        _set_candidates(device, peer, Candidates.of(change.candidates), now)
    yield from _change_allowed_ips(device, peer, change)
    # Last, as it may send at once: everything that the packet needs is set by now.
    if change.persistent_keepalive is not None:
        device.set_persistent_keepalive(peer, change.persistent_keepalive, now)


def _set_candidates(device: Engine, peer: Peer, candidates: Candidates, now: int) -> None:
    endpoint = candidates.endpoint_instead(peer.endpoint, before=peer.selector)
    device.set_selector(peer, candidates if candidates.endpoints else None)
    if endpoint and not peer.pinned:
        device.set_endpoint(peer, endpoint, now)


def _as_first(change: PeerUpdate) -> PeerUpdate:
    """The same for a peer that was not there: what it leaves out is at its default.

    Only the endpoint stays as it is, since the session that is kept would be of no use without it.
    """
    return replace(
        change,
        preshared_key=change.preshared_key or _NO_PRESHARED_KEY,
        candidates=change.candidates or (),
        persistent_keepalive=change.persistent_keepalive or 0,
        replace_allowed_ips=True,
    )


def _leads_to(peer: Peer, endpoint: Endpoint, pinned: bool) -> bool:
    """Whether the peer's endpoint is this one already, whatever our own address is; and as firmly."""
    if peer.endpoint is None or peer.pinned != pinned:
        return False
    return peer.endpoint.without_source() == endpoint.without_source()


def _remove_peer(device: Engine, peer: Peer) -> Iterator[None]:
    yield from _remove_allowed_ips(device, peer, list(peer.allowed_ips))  # all at once may take long
    device.remove_peer(peer)
    yield


def _change_allowed_ips(device: Engine, peer: Peer, change: PeerUpdate) -> Iterator[None]:
    if change.replace_allowed_ips and peer.allowed_ips:
        wanted = {prefix for prefix, remove in change.allowed_ips if not remove}
        unwanted = [prefix for prefix in peer.allowed_ips if prefix not in wanted]
        yield from _remove_allowed_ips(device, peer, unwanted)
    for changes in _in_steps(change.allowed_ips):
        for prefix, remove in changes:
            if remove:
                device.remove_allowed_ip(peer, prefix)
            else:
                device.add_allowed_ip(peer, prefix)
        yield


def _remove_allowed_ips(device: Engine, peer: Peer, prefixes: Sequence[AllowedIP]) -> Iterator[None]:
    for step in _in_steps(prefixes):
        for prefix in step:
            device.remove_allowed_ip(peer, prefix)
        yield


def _in_steps(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), _PREFIXES_PER_STEP):
        yield items[start : start + _PREFIXES_PER_STEP]
