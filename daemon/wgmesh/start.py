"""The entry point of the command `wgmesh`, which says what to install if a dependency is missing."""

import sys
from typing import Final

_REMEDY: Final = (
    "pip install 'wgpy[coordinator]', or apt install python3-fastapi python3-sqlalchemy on Debian 13"
)


def main() -> int:
    """Run the command; return the exit status."""
    try:
        from .main import main as run  # noqa: PLC0415 - this import may fail
    except ImportError as error:
        if error.name is None or error.name.startswith(("wgmesh", "wgpy")):
            raise
        state = "not installed" if isinstance(error, ModuleNotFoundError) else "too old"
        print(f"wgmesh: {error.name} is {state} here: {_REMEDY}", file=sys.stderr)
        return 1
    return run()
