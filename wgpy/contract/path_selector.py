"""What the engine asks of the selector of a peer's paths."""

from typing import Protocol

from .endpoint import Endpoint


class PathSelector(Protocol):
    """The choice among the paths to a peer."""

    def destination(self, endpoint: Endpoint, retries: int) -> Endpoint:
        """Where an initiation goes. endpoint: the peer's; retries: initiations in a row without an
        answer; the first goes to the endpoint.
        """
