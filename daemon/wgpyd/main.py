"""The command `wgpyd`: reads its options, and runs in the foreground or the background.

Each module is imported where it is needed, as a daemon's start is mostly imports.
"""

import gc
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .errors import StartError

if TYPE_CHECKING:
    from .options import Options

_FAILURE: Final = 1
_USAGE: Final = 2
_LONGEST_NAME: Final = 63  # of a network


def main() -> int:
    """Run the command; return the exit status."""
    gc.disable()  # what is imported stays; `serve` enables it again
    arguments = sys.argv[1:]
    from .options import HELP, TOLD, UsageError, read_options  # noqa: PLC0415

    if "-h" in arguments or "--help" in arguments:
        print(HELP, end="")
        return 0
    if "--version" in arguments:
        print(_version())
        return 0
    try:
        options = read_options(arguments, os.environ)
        if options.mesh:
            options = _of_node(_told(options) if options.mesh == TOLD else options)
    except StartError as error:
        return _fail(error, _USAGE if isinstance(error, UsageError) else _FAILURE)
    if options.foreground:
        return _run(options, ready=lambda: None)
    from .daemonise import daemonise  # noqa: PLC0415

    keep_output = bool(options.log_level) and not options.log
    return daemonise(lambda ready: _run_in_background(options, ready), keep_output=keep_output)


def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415

    return f"wgpyd {version('wgpy')}"


def _told(options: "Options") -> "Options":
    """Return them with the network that standard input names, and import until then. Raises StartError."""
    from wgpy.contract.lazy_dataclass import replace  # noqa: PLC0415
    from wgpy.host import eventloop  # noqa: F401, PLC0415

    from . import run  # noqa: F401, PLC0415
    from .agent import start  # noqa: F401, PLC0415

    said = b""
    try:
        while b"\n" not in said and len(said) <= _LONGEST_NAME and (data := os.read(0, _LONGEST_NAME)):
            said += data
    except OSError as error:
        raise StartError(f"standard input cannot be read: {error.strerror}") from None
    name, is_whole, _ = said.partition(b"\n")
    if not is_whole:
        raise StartError("standard input names no network, in a line")
    return replace(options, mesh=name.decode(errors="replace"))


def _of_node(options: "Options") -> "Options":
    """Return them with the node's interface. Raises StartError."""
    from wgpy.contract.lazy_dataclass import replace  # noqa: PLC0415

    from .agent.start import interface_of  # noqa: PLC0415

    return replace(options, interface=interface_of(options.mesh))


def _run_in_background(options: "Options", ready: Callable[[], None]) -> int:
    from wgpy.lazy_log import LOG  # noqa: PLC0415

    def log_to_system() -> None:
        from .log import log_to_system  # noqa: PLC0415

        log_to_system(options.interface)

    def ready_without_output() -> None:
        if options.log_level is None and not options.log:
            LOG.configure_later(log_to_system)
        ready()

    return _run(options, ready_without_output)


def _run(options: "Options", ready: Callable[[], None]) -> int:
    """ready: called when the socket listens."""
    options.settings.begin()
    from .run import run  # noqa: PLC0415

    try:
        run(options, ready)
    except StartError as error:
        return _fail(error, _FAILURE)
    return 0


def _fail(error: StartError, status: int) -> int:
    print(f"wgpyd: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
