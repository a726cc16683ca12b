"""What the log says of a host that routes a tunnel into itself."""

from typing import Final

from wgpy.contract.endpoint import Endpoint
from wgpy.lazy_log import LOG

_MAX_KNOWN: Final = 1024  # endpoints


class LoopWarnings:
    """Each endpoint is warned of once, as each keypair and each handshake message tells it again."""

    def __init__(self) -> None:
        self._known: set[Endpoint] = set()

    def warn(self, endpoint: Endpoint, interface: str) -> None:
        if endpoint not in self._known:
            if len(self._known) == _MAX_KNOWN:
                self._known.clear()
            self._known.add(endpoint)
            LOG.warning("the host routes datagrams for %s into %s itself: dropped", endpoint, interface)
