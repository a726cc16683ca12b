"""What a daemon runs beside its interface: the names of endpoints, or a node of a mesh."""

from collections.abc import Callable

from wgpy.contract.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """That runs.

    on_set: to call after another program has configured the interface; leave: to call before the end if
    another process goes on: it gives a descriptor for that, -1 if there is none.
    """

    on_set: Callable[[], None] = lambda: None
    leave: Callable[[], int] = lambda: -1
