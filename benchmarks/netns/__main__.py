"""The command line: `python -m benchmarks.netns`."""

import sys
from collections.abc import Sequence
from typing import Final

from benchmarks.netns.command import Benchmark, argument, parse, parser, run
from benchmarks.netns.measures import ROWS, Row, measures_of, read_rows
from benchmarks.netns.namespaces import (
    OUTSIDE,
    OUTSIDE6,
    Tunnel,
    configure,
    join,
    ping_through,
    route_through,
)
from benchmarks.netns.rounds import Trial, Turn

OVERHEAD: Final = 8  # seconds beside the streams, for each implementation in each round


def main() -> int:
    usual = ",".join(row.name for row in ROWS if row.usual)
    command = parser("benchmarks.netns", "Compare the userspace WireGuard implementations of this host.")
    command.add_argument(
        "--rows", metavar="NAME,...", type=argument(read_rows), default=usual,
        help=f"what to measure: all, or some of {','.join(row.name for row in ROWS)} (default: %(default)s)",
    )  # fmt: skip
    options = parse(command)
    seconds = OVERHEAD + options.seconds * sum(row.streams for row in options.rows)
    over4 = [row for row in options.rows if not row.outside6]
    over6 = [row for row in options.rows if row.outside6]
    parts = ((over4, OUTSIDE), (over6, OUTSIDE6))
    trials = [_trial(rows, outside, options.seconds) for rows, outside in parts if rows]
    return run(Benchmark(trials, measures_of(options.rows), seconds), options)


def _trial(rows: Sequence[Row], outside: tuple[str, str], seconds: float) -> Trial:
    """Measure rows on one fresh tunnel between two addresses."""

    def measure_all(turn: Turn) -> None:
        implementation = turn.implementation
        if not implementation.is_daemon and outside is OUTSIDE6:
            return  # the limit knows IPv4 only
        left, right, behind = (turn.host(name) for name in ("left", "right", "behind"))
        join(left, right)
        daemons = (turn.start_daemon(left, outside[1]), turn.start_daemon(right, outside[0]))
        turn.doing = "the first ping"
        configure(implementation, left, right, outside)
        route_through(left, right, behind)
        ping_through(left)
        for row in rows:
            turn.doing = row.title
            turn.add(row.measure(Tunnel(left, right, behind, daemons), seconds))

    return measure_all


if __name__ == "__main__":
    sys.exit(main())
