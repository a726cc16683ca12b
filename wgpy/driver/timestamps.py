"""What an identity keeps from one life to the next, so that its handshakes are taken for new ones."""

from typing import Protocol


class Timestamps(Protocol):
    """Keeps the newest TAI64N timestamp of each identity for its next life. ns since 1970."""

    def load(self, public_key: bytes) -> int:
        """The value to go on from, 0 if none is known."""

    def keep(self, public_key: bytes, timestamp: int) -> None:
        """Called whenever a newer one was sent."""
