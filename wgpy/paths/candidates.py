"""Where a peer may be found while it does not answer at its endpoint: tried in order, one for each retry.

Invariant: data stays with the endpoint, which may be good although an initiation was lost; an authentic
answer makes an endpoint of the candidate that it comes from.
"""

from collections.abc import Sequence
from typing import Final, Self

from wgpy.contract.constants import REKEY_ATTEMPT_TIME, REKEY_JITTER, REKEY_TIMEOUT
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.contract.path_selector import PathSelector

# Of a peer: each gets an initiation, as does its endpoint, before REKEY_ATTEMPT_TIME has passed.
MAX_CANDIDATES: Final = REKEY_ATTEMPT_TIME // (REKEY_TIMEOUT + REKEY_JITTER)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Implements `PathSelector`. endpoints: the best first."""

    endpoints: tuple[Endpoint, ...]

    @classmethod
    def of(cls, endpoints: Sequence[Endpoint]) -> Self:
        """The first MAX_CANDIDATES of them."""
        return cls(tuple(endpoints[:MAX_CANDIDATES]))

    def destination(self, endpoint: Endpoint, retries: int) -> Endpoint:
        """The endpoint first, then all candidates, and so on until one answers."""
        others = [candidate for candidate in self.endpoints if candidate != endpoint.without_source()]
        return [endpoint, *others][retries % (1 + len(others))]

    def endpoint_instead(self, endpoint: Endpoint | None, before: PathSelector | None) -> Endpoint | None:
        """The first, if the peer has no endpoint, or one that was a candidate before and is none any more.

        None if the endpoint stays, as does one that the peer roamed to.
        """
        present = endpoint and endpoint.without_source()
        was_candidate = isinstance(before, Candidates) and present in before.endpoints
        is_withdrawn = was_candidate and present not in self.endpoints
        return self.endpoints[0] if self.endpoints and (present is None or is_withdrawn) else None
