"""Resolution of peers' host names when a tunnel is brought up."""

import time
from collections.abc import Callable
from functools import partial
from socket import EAI_AGAIN, SOCK_DGRAM, gaierror, getaddrinfo
from typing import Final

from wgpy.address import HostPort, is_address
from wgpy.cli.errors import CommandError
from wgpy.config import Config
from wgpy.contract.endpoint import Endpoint

# At boot the network may come up later than the tunnel.
_RESOLVE_TIMEOUT: Final = 20.0  # seconds
_FIRST_PAUSE: Final = 0.5
_PAUSE_GROWTH: Final = 1.5


def resolving(config: Config) -> Callable[[HostPort], Endpoint]:
    """Resolve all endpoints of a file at once; return what maps each to its address. Raises CommandError."""
    from wgpy.host import lookup

    wanted = {peer.endpoint for peer in config.peers if peer.endpoint}
    names = [target for target in wanted if not is_address(target.host.partition("%")[0])]
    found = {target: resolve(target) for target in wanted.difference(names)}
    for first in range(0, len(names), lookup.AT_ONCE):
        targets = names[first : first + lookup.AT_ONCE]
        answers = [lookup.begin(partial(resolve, target)) for target in targets]
        found |= {target: answer.result() for target, answer in zip(targets, answers, strict=True)}
    return found.__getitem__


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
