"""The newest timestamp of each key on disk, so that TAI64N timestamps never decrease. Whitepaper 5.1

A file per public key holds a timestamp and whether the daemon still ran. It is written when one is sent that
is a minute above it, and at the end. So after a crash the newest is less than a minute above it, also if the
wall clock jumped, and nothing wakes the daemon for it. A disk takes milliseconds for it, a memory card a
second: so a thread waits for that, and the handshake goes on.
"""

import _thread
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from wgpy.contract.constants import SECOND
from wgpy.lazy_log import LOG

_INTERVAL: Final = 60 * SECOND
_RUNNING: Final = "running"
_STOPPED: Final = "stopped"


def _in_thread(call: Callable[[], None]) -> None:
    """Call it in a thread of its own."""
    try:
        _thread.start_new_thread(call, ())
    except RuntimeError:  # there are as many threads as there can be
        call()


class TimestampFiles:
    """Implements `wgpy.driver.timestamps.Timestamps`."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        wall_clock: Callable[[], int] = time.time_ns,
        beside: Callable[[Callable[[], None]], None] = _in_thread,
    ) -> None:
        """beside: makes a call that takes a while, and need not wait for it."""
        self._directory = directory
        self._wall_clock = wall_clock
        self._beside = beside
        self._writing = _thread.allocate_lock()
        self._newest: dict[bytes, int] = {}  # since the process began
        self._written: dict[bytes, int] = {}  # or about to be
        self._waiting: set[bytes] = set()  # keys whose write has not begun
        self._warned = False

    def load(self, public_key: bytes) -> int:
        """Return the last timestamp; after a crash, at least what may have been sent since it was stored.

        That is a minute more, but not ahead of a clock that is in order: a daemon that crashes again and
        again must not run away from the time.
        """
        if public_key in self._newest:
            return self._newest[public_key]
        try:
            with open(self._path(public_key)) as file:
                timestamp, _, state = file.read().rstrip("\n").partition(" ")
            kept = int(timestamp)
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as error:
            self._warn(f"cannot read the clock of {public_key.hex()}: {error}")
            return 0
        if state == _STOPPED:
            return kept
        now = self._wall_clock()
        return min(kept + _INTERVAL, now) if now >= kept else kept + _INTERVAL

    def keep(self, public_key: bytes, timestamp: int) -> None:
        self._newest[public_key] = timestamp
        written = self._written.get(public_key)
        if written is None or timestamp - written >= _INTERVAL:
            self._written[public_key] = timestamp
            if public_key not in self._waiting:  # a disk may take for ever
                self._waiting.add(public_key)
                self._beside(partial(self._write_running, public_key))

    def _write_running(self, public_key: bytes) -> None:
        with self._writing:
            self._waiting.discard(public_key)
            timestamp = self._written.get(public_key)
            if timestamp is not None:  # else `close` was faster
                self._write(public_key, timestamp, _RUNNING)

    def close(self) -> None:
        """Write the newest timestamp of every key, for the next start."""
        with self._writing:
            for public_key, timestamp in self._newest.items():
                self._write(public_key, timestamp, _STOPPED)
            self._written.clear()  # should this go on after all

    def _path(self, public_key: bytes) -> str:
        return os.path.join(self._directory, f"{public_key.hex()}.tai64n")

    def _write(self, public_key: bytes, timestamp: int, state: str) -> None:
        """Replace the file atomically."""
        from wgpy.host.disk import sync_folder  # noqa: PLC0415 - not before the first handshake

        path = self._path(public_key)
        new = f"{path}.new"
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w") as file:
                file.write(f"{timestamp} {state}\n")
                file.flush()
                os.fsync(fd)  # a power cut must not leave the new name with an empty file
            os.replace(new, path)
            sync_folder(self._directory)  # nor leave it with the old name
        except OSError as error:
            self._warn(f"cannot keep the clock of a key for the next start: {error}")

    def _warn(self, what: str) -> None:
        if not self._warned:
            self._warned = True
            LOG.warning("%s", what)
