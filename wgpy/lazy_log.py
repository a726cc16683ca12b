"""The logger `wgpy`, for which `logging` is imported when the first line is written.

`logging`, with what it imports, takes a tenth of a daemon's start, in which most daemons write nothing.
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logging import Logger


class LazyLog:
    """Methods as those of `logging.Logger`."""

    __slots__ = ("_later",)

    def __init__(self) -> None:
        self._later: list[Callable[[], None]] | None = []  # None: there is no later any more

    def configure_later(self, configure: Callable[[], None]) -> None:
        """Call it just before the first line is written, or now if one was; several in this order."""
        if self._later is None:
            configure()
        else:
            self._later.append(configure)

    def begin(self) -> "Logger":
        """Do now what was to be done later, and return the logger."""
        import logging  # noqa: PLC0415

        later, self._later = self._later or (), None
        for configure in later:
            configure()
        return logging.getLogger("wgpy")

    def writes_debug(self) -> bool:
        """Return whether `debug` writes its line, for a caller whose line costs much."""
        return _is_loaded() and self.begin().isEnabledFor(sys.modules["logging"].DEBUG)

    def debug(self, message: str, *arguments: object) -> None:
        if _is_loaded():
            self.begin().debug(message, *arguments)

    def info(self, message: str, *arguments: object) -> None:
        if _is_loaded():
            self.begin().info(message, *arguments)

    def warning(self, message: str, *arguments: object) -> None:
        self.begin().warning(message, *arguments)

    def error(self, message: str, *arguments: object, exc_info: BaseException | None = None) -> None:
        self.begin().error(message, *arguments, exc_info=exc_info)

    def exception(self, message: str, *arguments: object) -> None:
        self.begin().exception(message, *arguments)


LOG = LazyLog()


def _is_loaded() -> bool:
    """Return whether anybody can have asked for more than warnings, which is `logging`'s default."""
    return "logging" in sys.modules
