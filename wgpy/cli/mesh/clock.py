"""The clock of a host that signs for a network: by a wrong one tokens are void, or valid for years."""

from wgpy.cli.changes import warn
from wgpy.cli.errors import CommandError
from wgpy.mesh.clock import differ, is_of_the_future, is_unset, written
from wgpy.mesh.records import AdminRecord


def check_clock(now: int, ahead: int | None, newest: AdminRecord | None, *, trusted: bool = False) -> None:
    """Compare this host's clock with the coordinator's and with the newest admin record.

    now: by this host's clock; ahead: of the coordinator's, as in `Coordinator`; trusted: despite that record.
    Raises CommandError, which names both times.
    """
    here = f"this host's clock says {written(now)}"
    if is_unset(now):
        raise CommandError(f"{here}, so it was never set: set it, and run the command again")
    if ahead is not None and differ(ahead, 0):
        raise CommandError(
            f"{here} and the coordinator's {written(now - ahead)}: set the one that is wrong, and run the "
            "command again"
        )
    if newest is not None and is_of_the_future(newest.time, now) and not trusted:
        raise CommandError(
            f"{here}{_of_coordinator(ahead)}, and the newest admin record was signed at "
            f"{written(newest.time)}: set the clock if it is wrong; if it is right, run the command again "
            "with --trust-clock"
        )
    if ahead is None:
        warn("the coordinator, of an older version, tells no time: only the newest record confirms the clock")


def _of_coordinator(ahead: int | None) -> str:
    return "" if ahead is None else ", as does the coordinator's"
