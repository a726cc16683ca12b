"""The clock of each key on disk, so that its TAI64N timestamps never go back. Whitepaper 5.1

A file per public key holds the newest timestamp and whether the daemon still ran. It is written when a
handshake is sent and the last time is a minute ago, and at the end; so after a crash it may be a minute
behind, and nothing wakes the daemon for it.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from wgpy.engine.constants import SECOND

_LOG = logging.getLogger("wgpy")
_INTERVAL: Final = 60 * SECOND
_RUNNING: Final = "running"
_STOPPED: Final = "stopped"


class TimestampFiles:
    """Implements `wgpy.interface.Timestamps`."""

    def __init__(self, directory: Path, wall_clock: Callable[[], int] = time.time_ns) -> None:
        self._directory = directory
        self._wall_clock = wall_clock
        self._newest: dict[bytes, int] = {}  # in this life
        self._write_due: dict[bytes, int] = {}  # boottime ns
        self._warned = False

    def load(self, public_key: bytes) -> int:
        """The value to go on from: what was kept, or a minute more after a crash with the clock behind."""
        if public_key in self._newest:
            return self._newest[public_key]
        try:
            timestamp, _, state = self._path(public_key).read_text().rstrip("\n").partition(" ")
            kept = int(timestamp)
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as error:
            self._warn(f"cannot read the clock of {public_key.hex()}: {error}")
            return 0
        return kept + _INTERVAL if state != _STOPPED and self._wall_clock() < kept else kept

    def keep(self, public_key: bytes, timestamp: int, now: int) -> None:
        self._newest[public_key] = timestamp
        if now >= self._write_due.get(public_key, 0):
            self._write_due[public_key] = now + _INTERVAL
            self._write(public_key, timestamp, _RUNNING)

    def close(self) -> None:
        """Write down where every clock stands, for the next start."""
        for public_key, timestamp in self._newest.items():
            self._write(public_key, timestamp, _STOPPED)

    def _path(self, public_key: bytes) -> Path:
        return self._directory / f"{public_key.hex()}.tai64n"

    def _write(self, public_key: bytes, timestamp: int, state: str) -> None:
        """In one step: whoever reads finds the old or the new value."""
        path = self._path(public_key)
        new = path.with_suffix(".new")
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w") as file:
                file.write(f"{timestamp} {state}\n")
                file.flush()
                os.fsync(fd)  # a power cut must not leave the new name with nothing behind it
            new.replace(path)
        except OSError as error:
            self._warn(f"cannot keep the clock of a key for the next start: {error}")

    def _warn(self, what: str) -> None:
        if not self._warned:
            self._warned = True
            _LOG.warning("%s", what)
