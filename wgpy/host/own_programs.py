"""Which changes of the host are those of programs that this process ran. netlink(7)

The kernel tells of a change by which port it was asked for. The first socket of a program has as its port the
process id, if nothing else has that, and any other socket one that is no process id. So what is taken for
another's may be ours, and costs a look at the host; what is taken for ours is ours, as the kernel gives an id
again only after all others.
"""

import time
from typing import Final

_REMEMBERED: Final = 5.0  # seconds: what the kernel tells may wait unread

_programs: dict[int, float] = {}  # by process id, until when


def note(pid: int) -> None:
    """Remember a program, when it begins and when it has ended."""
    now = time.monotonic()
    for old in [old for old, until in [*_programs.items()] if until < now]:
        _programs.pop(old, None)
    _programs[pid] = now + _REMEMBERED


def is_own(port: int) -> bool:
    """Return whether a port of netlink was that of a program that ran here in the last seconds."""
    return time.monotonic() < _programs.get(port, 0)
