"""From the peers that an interface has to those of the plan. Pure.

Invariant: after the changes the interface has what is planned, whatever it had before. Peers that are not
members any more are removed first.
"""

from collections.abc import Iterable

from wgpy.contract.orders import AllowedIP
from wgpy.keys import PublicKey
from wgpy.mesh.plan import Tunnel, Tunnels
from wgpy.model import AllowedIPChange, DeviceStatus, PeerUpdate
from wgpy.paths.candidates import MAX_CANDIDATES

_NOTHING = Tunnel(frozenset(), ())


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
