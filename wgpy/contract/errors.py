"""The family of errors of this package.

What the network sends is counted and never raises beyond the engine; what a caller does wrong raises at once,
with a sentence that says what to do.
"""

from .drops import DropReason


class WgpyError(Exception):
    """Whatever this package raises of its own; `str` is one sentence."""


class DatagramError(WgpyError):
    """A handshake message or a foreign datagram is refused; nothing has changed because of it."""

    def __init__(self, reason: DropReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class InputError(WgpyError, ValueError):
    """A text or a value is not what it has to be; the message says what is wanted."""


class StateError(WgpyError, RuntimeError):
    """The caller asked for what this object cannot do now; the message says what to do."""
