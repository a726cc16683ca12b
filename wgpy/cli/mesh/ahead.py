"""The daemon of a network that this host is about to join: it starts while the host is admitted.

Both are mostly imports, of this command and of the daemon. Where systemd starts daemons, none starts ahead.

Invariant: the daemon has nothing of the token, and ends if this command does before it names the network.
"""

import os
from typing import Final

from wgpy.cli.launch import SYSTEMD, Launch, program

VARIABLE: Final = "WGPY_TOKEN"  # of the environment: it may have the token
_launches: Final[list[Launch]] = []


def begin() -> None:
    """Raises CommandError."""
    if not _launches and not SYSTEMD.is_dir():
        environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
        _launches.append(Launch([*program("wgpyd"), "--mesh", "-"], environment))


def begun() -> Launch | None:
    """Return the start that was begun, or is now; None where systemd starts daemons. Raises CommandError."""
    begin()
    return _launches.pop() if _launches else None
