"""What the engine asks of whoever knows where a peer may be."""

from typing import Protocol

from .endpoint import Endpoint


class PathSelector(Protocol):
    """The choice among the ways to one peer."""

    def destination(self, endpoint: Endpoint, retries: int) -> Endpoint:
        """Where an initiation goes. endpoint: the peer's; retries: initiations in a row without an answer."""
