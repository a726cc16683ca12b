"""The entry point of the command `wgpy`: what takes as long as the imports begins before them."""

import os
import sys
from typing import Final

_HELP: Final = {"-h", "--help"}


def main() -> int:
    """Run the command; return the exit status."""
    if sys.argv[1:3] == ["mesh", "join"] and os.geteuid() == 0 and _HELP.isdisjoint(sys.argv):
        from contextlib import suppress

        from wgpy.cli.errors import CommandError
        from wgpy.cli.mesh.ahead import begin

        with suppress(CommandError):  # the join tries again, and says it
            begin()
    from wgpy.cli.main import main as run

    return run()
