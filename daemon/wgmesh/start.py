"""The entry point of the command `wgmesh`, which says what to install if a dependency is missing."""

import sys


def main() -> int:
    """Run the command; return the exit status."""
    try:
        from .main import main as run  # noqa: PLC0415 - this import may fail
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith(("wgmesh", "wgpy")):
            raise
        print(f"wgmesh: {error.name} is not installed here: pip install 'wgpy[coordinator]'", file=sys.stderr)
        return 1
    return run()
