"""The command line: `python -m benchmarks`."""

import sys

from benchmarks.suite.command import main

if __name__ == "__main__":
    sys.exit(main())
