"""The command `wgmesh`, also where what a coordinator needs is not installed: nodes do without it."""

import sys


def main() -> int:
    """Run the command; the exit status."""
    try:
        from .main import main as run  # noqa: PLC0415 - it may be that this fails
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith(("wgmesh", "wgpy")):
            raise
        print(f"wgmesh: {error.name} is not installed here: pip install 'wgpy[coordinator]'", file=sys.stderr)
        return 1
    return run()
