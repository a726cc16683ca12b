"""From what each peer may begin at an interface to what the plan lets it begin. Pure.

Invariant: a peer's policy is in the same update as what else is new of it, so that none is ever without.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from wgpy.mesh.plan import Filter
from wgpy.model import DeviceStatus, PeerUpdate, Policy


def read_filter(status: DeviceStatus) -> Filter:
    return {peer.public_key: peer.policy.permits for peer in status.peers}


def with_policies(changes: Iterable[PeerUpdate], present: Filter, wanted: Filter) -> Iterator[PeerUpdate]:
    """Give changes of tunnels together with those of policies. An interface begins with none."""
    policies = {key: Policy(permits) for key, permits in wanted.items() if permits != present.get(key)}
    for change in changes:
        yield replace(change, policy=policies.pop(change.public_key, None))
    for key, policy in policies.items():
        yield PeerUpdate(key, update_only=True, policy=policy)
