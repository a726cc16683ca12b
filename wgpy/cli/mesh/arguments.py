"""What the subcommands of `wgpy mesh` share: how a command runs, and arguments of several of them."""

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from wgpy.cli import colours
from wgpy.cli.command import Argument
from wgpy.cli.errors import CommandError
from wgpy.cli.mesh import argument_types as types


def run_by(target: str, package: str = "wgpy.cli.mesh") -> Callable[[argparse.Namespace], None]:
    """Return a function that runs `module:function` of a package and raises its errors as CommandError."""

    def run(arguments: argparse.Namespace) -> None:
        from wgpy.mesh.addressing import NoSpace
        from wgpy.node.agent_client import AgentError
        from wgpy.node.coordinator_client import CoordinatorError
        from wgpy.node.files import StorageError

        module, _, function = target.partition(":")
        try:
            getattr(import_module(f"{package}.{module}"), function)(arguments)
        except (AgentError, CoordinatorError, NoSpace, StorageError) as error:
            raise CommandError(str(error)) from None

    return run


def argument(*names: str, **options: Any) -> Argument:
    return Argument(names, options)


NETWORK: Final = argument("--network", metavar="NAME", help="the network, on a host that is in several")
KEY: Final = argument("--key", metavar="FILE", help="the network's key (default: this host's copy)")
JSON: Final = argument("--json", action="store_true", help="print JSON")
ALL: Final = argument("--all", action="store_true", help="show also what ended more than a day ago")
COLOR: Final = argument(
    "--color", choices=colours.CHOICES, default=colours.AUTO, help="colours (default: auto, on a terminal)"
)
WATCH: Final = argument(
    "--watch", metavar="SECONDS", type=types.seconds, nargs="?", const=2,
    help="show it in place, again after so many seconds (default: 2)",
)  # fmt: skip
VERBOSE: Final = argument("-v", "--verbose", action="store_true", help="print every command before it is run")
ANY: Final = (NETWORK, JSON)
SHOWING: Final = (*ANY, COLOR)
ADMINISTRATOR: Final = (NETWORK, KEY, JSON)
SIGNING: Final = (
    NETWORK,
    KEY,
    argument(
        "--trust-clock", action="store_true",
        help="sign although the newest record was signed later than this host's clock says",
    ),
    JSON,
)  # fmt: skip
