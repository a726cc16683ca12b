"""From the peers that an interface has to those of the plan. Pure.

Invariant: after the changes the interface has what is planned, whatever it had before. Peers that are not
members any more are removed first.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from wgpy.contract.constants import KEY_LENGTH
from wgpy.contract.orders import AllowedIP
from wgpy.keys import PresharedKey, PublicKey
from wgpy.mesh.plan import Tunnel, Tunnels
from wgpy.model import AllowedIPChange, DeviceStatus, PeerUpdate
from wgpy.paths.candidates import MAX_CANDIDATES

_NOTHING = Tunnel(frozenset(), ())
_NO_PRESHARED_KEY = PresharedKey(bytes(KEY_LENGTH))


def read_tunnels(status: DeviceStatus) -> Tunnels:
    return {
        peer.public_key: Tunnel(frozenset(peer.allowed_ips), tuple(peer.candidates)) for peer in status.peers
    }


def difference(present: Tunnels, wanted: Tunnels) -> list[PeerUpdate]:
    """Return what is to change. Removals come first, so that their prefixes are free for others."""
    return [
        *(PeerUpdate(key, remove=True) for key in present if key not in wanted),
        *(
            _change(key, present.get(key, _NOTHING), tunnel)
            for key, tunnel in wanted.items()
            if _differ(present.get(key), tunnel)
        ),
    ]


def without_preshared_keys(changes: Iterable[PeerUpdate], status: DeviceStatus) -> Iterator[PeerUpdate]:
    """Give changes together with those that clear preshared keys: the nodes of a mesh have none."""
    keyed = {peer.public_key for peer in status.peers if any(bytes(peer.preshared_key))}
    for change in changes:
        if change.public_key in keyed and not change.remove:
            keyed.remove(change.public_key)
            yield replace(change, preshared_key=_NO_PRESHARED_KEY)
        else:
            keyed.discard(change.public_key)
            yield change
    for key in keyed:
        yield PeerUpdate(key, update_only=True, preshared_key=_NO_PRESHARED_KEY)


def _differ(present: Tunnel | None, wanted: Tunnel) -> bool:
    """An interface keeps no more than so many endpoints."""
    return present is None or (present.allowed_ips, present.endpoints) != (
        wanted.allowed_ips, wanted.endpoints[:MAX_CANDIDATES]
    )  # fmt: skip


def _change(key: PublicKey, present: Tunnel, wanted: Tunnel) -> PeerUpdate:
    """An endpoint that the peer roamed to stays: only where else it may be is changed."""
    return PeerUpdate(
        key,
        candidates=wanted.endpoints if wanted.endpoints != present.endpoints else None,
        allowed_ips=(
            *_changes(present.allowed_ips - wanted.allowed_ips, remove=True),
            *_changes(wanted.allowed_ips - present.allowed_ips, remove=False),
        ),
    )


def _changes(prefixes: Iterable[AllowedIP], *, remove: bool) -> Iterable[AllowedIPChange]:
    return (AllowedIPChange(prefix, remove) for prefix in prefixes)
