"""Which clock counts, where hosts disagree about the time. Times are Unix seconds.

Expiry is judged by the local clock. The time in an admin record is a claim of the host that signed it: one
that was signed with a wrong clock ends no membership and no token.
"""

from typing import Final

RELEASED: Final = 1_767_225_600  # 2026-01-01: a clock with an earlier time was never set
MAX_DIFFERENCE: Final = 300  # seconds between two clocks that are both called right


def is_unset(now: int) -> bool:
    return now < RELEASED


def judging_time(now: int, newest: int) -> int:
    """Return the time by which to judge expiry.

    now: by the local clock; newest: of the newest admin record, which counts if the local clock is unset.
    """
    return max(now, newest) if is_unset(now) else now


def differ(one: int, other: int) -> bool:
    """Return whether two clocks cannot both be right."""
    return abs(one - other) > MAX_DIFFERENCE


def is_of_the_future(time: int, now: int) -> bool:
    """Return whether a record's time has not come yet, even if the two clocks differ a little."""
    return time > now + MAX_DIFFERENCE


def compared(time: int, now: int, clock: str = "this host's clock") -> str:
    """Return a time beside what a clock says, for people. clock: whose."""
    return f"{written(time)}, and {clock} says {written(now)}"


def written(time: int) -> str:
    """Return a time for people, in UTC."""
    from datetime import UTC, datetime  # noqa: PLC0415 - 0.4 MiB, which most nodes never need

    try:
        return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{time} s after 1970"  # above the year 9999
