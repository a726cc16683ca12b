"""The command line: `python -m benchmarks`, or `./run bench`."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Run the command of the first argument, and return the exit status. Each imports only what it needs."""
    match arguments:
        case ["report", *rest]:
            from benchmarks.report.command import main as report

            return report(rest)
        case ["install-peers" | "--install-peers", *rest]:
            from benchmarks.suite.install import main as install

            return install(rest)
        case ["kubernetes", *rest]:
            from benchmarks.kubernetes.command import main as kubernetes

            return kubernetes(rest)
        case ["run", *rest] | [*rest]:
            from benchmarks.suite.command import main as run

            return run(rest)
        case _:
            raise AssertionError("a sequence matches")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
