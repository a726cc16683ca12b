"""Resolution of peers' host names when a tunnel is brought up."""

import time
from socket import EAI_AGAIN, SOCK_DGRAM, gaierror, getaddrinfo
from typing import Final

from wgpy.address import HostPort
from wgpy.cli.errors import CommandError
from wgpy.contract.endpoint import Endpoint

# At boot the network may come up later than the tunnel.
_RESOLVE_TIMEOUT: Final = 20.0  # seconds
_FIRST_PAUSE: Final = 0.5
_PAUSE_GROWTH: Final = 1.5


def resolve(target: HostPort, timeout: float = _RESOLVE_TIMEOUT) -> Endpoint:
    """Return the first address of a host; retry while name servers fail. Raises CommandError.

    timeout: seconds.
    """
    end = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        try:
            address = getaddrinfo(target.host, target.port, type=SOCK_DGRAM)[0][4]
        except gaierror as error:
            if error.errno != EAI_AGAIN or time.monotonic() + pause > end:
                raise CommandError(f"the endpoint {target} cannot be resolved: {error.strerror}") from None
        except UnicodeError:
            raise CommandError(f"the endpoint {target} cannot be resolved: that is no host name") from None
        else:
            scope_id = address[3] if len(address) == 4 else 0
            return Endpoint(str(address[0]).partition("%")[0], target.port, scope_id)
        time.sleep(pause)
        pause *= _PAUSE_GROWTH
