"""Which candidates this host has to tell its peers: its own addresses, and what nodes saw of it."""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from typing import Final

from wgpy.address import is_private
from wgpy.contract.endpoint import Endpoint

from .exchange import MAX_CANDIDATES, Candidate, PathKind
from .nat import Dependence, NatBehaviour, NatObserver

PREDICTED: Final = 8  # ports of a NAT that counts


def local_candidates(
    own: Sequence[Endpoint], behaviours: Iterable[NatBehaviour], public: Sequence[Endpoint] = ()
) -> tuple[Candidate, ...]:
    """Those of a host, which it tells everybody.

    own: its addresses with its port; behaviours: of each version of IP; public: what its operator named.
    """
    found = [Candidate(endpoint, PathKind.PUBLIC) for endpoint in public]
    for behaviour in behaviours:
        found += _seen(behaviour, own)
    seen = {candidate.endpoint for candidate in found}
    found += [Candidate(endpoint, _kind(endpoint)) for endpoint in own if endpoint not in seen]
    return tuple({candidate.endpoint: candidate for candidate in reversed(found)}.values())[::-1][
        :MAX_CANDIDATES
    ]


def _kind(own: Endpoint) -> PathKind:
    """That of an address of the host, which no node has seen."""
    if is_private(ip_address(own.address)):
        return PathKind.LAN
    return PathKind.IPV6 if own.is_ipv6 else PathKind.REFLEXIVE


def predicted_candidates(
    observer: NatObserver, behaviour: NatBehaviour, remotes: Iterable[Endpoint]
) -> tuple[Sequence[Candidate], Sequence[Candidate]]:
    """What a NAT that counts shows to these remote ends, if they were asked, and what it shows next."""
    shown, later = observer.expected(remotes, behaviour), behaviour.predicted(PREDICTED)
    return _predicted(shown), _predicted(later)


def _predicted(endpoints: Iterable[Endpoint]) -> Sequence[Candidate]:
    return [Candidate(endpoint, PathKind.PREDICTED) for endpoint in endpoints]


def _seen(behaviour: NatBehaviour, own: Sequence[Endpoint]) -> Iterator[Candidate]:
    """What others saw last; if that is another port for each of them, always the same."""
    for endpoint in behaviour.seen_as[:1] if behaviour.is_symmetric else behaviour.seen_as[-1:]:
        if behaviour.filtering is Dependence.ENDPOINT_INDEPENDENT:
            yield Candidate(endpoint, PathKind.PUBLIC)
        elif endpoint.is_ipv6 and endpoint in own:
            yield Candidate(endpoint, PathKind.IPV6)
        else:
            yield Candidate(endpoint, PathKind.REFLEXIVE)
