"""With which relays a node registers, so that others reach it by them: the nearest that answer. Pure.

And those that are the only ones of a peer, such as one whose network lets no UDP through: such a peer uses no
other relay, and a relay forwards nothing from or to a node that it reaches by another one.

A latency is published in coarse steps, and a step is changed by the second one, so that nothing is published
because of a queue in a router.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from wgpy.mesh.member import Member
from wgpy.mesh.records import RegisteredRelay
from wgpy.mesh.records.paths import MAX_LATENCY, MAX_REGISTERED
from wgpy.mesh.signing import VerifyKey

WANTED: Final = 2  # relays: one, and one that is there if that dies
_STEPS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, MAX_LATENCY)  # ms


def only_relays(peers: Iterable[Member]) -> frozenset[VerifyKey]:
    """Return the relays of those that register with one alone."""
    registered = (peer.paths.relays for peer in peers if peer.paths)
    return frozenset(relays[0].identity for relays in registered if len(relays) == 1)


def nearest(
    measured: Mapping[VerifyKey, float],
    before: Sequence[RegisteredRelay],
    needed: Collection[VerifyKey] = (),
) -> tuple[RegisteredRelay, ...]:
    """Return the relays to register with, the nearest first.

    measured: the round trip to each relay that answers, ms; before: those of the last time, which stay unless
    others are nearer by more than a step; needed: `only_relays` of this node's peers.
    """
    known = {relay.identity: relay.latency for relay in before}
    latencies = {identity: _coarse(latency, known.get(identity)) for identity, latency in measured.items()}
    ranked = sorted(latencies, key=lambda one: (_step(latencies[one]) - (one in known), bytes(one)))
    chosen = (*ranked[:WANTED], *(one for one in ranked[WANTED:] if one in needed))
    return tuple(RegisteredRelay(one, latencies[one]) for one in chosen[:MAX_REGISTERED])


def _coarse(latency: float, before: int | None) -> int:
    """Return a step, the one of before if that is a neighbour."""
    step = _step(latency)
    return before if before is not None and abs(_step(before) - step) <= 1 else _STEPS[step]


def _step(latency: float) -> int:
    return min(bisect_left(_STEPS, latency), len(_STEPS) - 1)
