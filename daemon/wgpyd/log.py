"""The log: to a file, to standard error, or to the system's log in the background."""

import logging
import os
import socket
import sys
from typing import Final

from .errors import StartError

_LEVELS: Final = {
    "silent": logging.CRITICAL + 1,
    "error": logging.WARNING,
    "verbose": logging.DEBUG,
    "debug": logging.DEBUG,
}
_SYSLOG_ADDRESS: Final = "/dev/log"
_SYSLOG_DAEMON: Final = 3 << 3  # RFC 5424 facility
# RFC 5424 severities: error, warning, informational, debug
_SEVERITIES: Final = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7))


def configure_log(interface: str, level: str | None, file: str = "") -> None:
    """Log from this level on; None is `error`. file: "" for standard error. Raises StartError."""
    handler = _open(file) if file else logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"%(levelname)s: ({interface}) %(asctime)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=_LEVELS[level or "error"])
    logging.captureWarnings(capture=True)
    # Fields of Python's records that the format does not use.
    logging.logThreads = logging.logMultiprocessing = logging.logProcesses = False


def _open(file: str) -> logging.Handler:
    """Append to a file that only its owner may read. Raises StartError."""
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
        return logging.FileHandler(file)
    except OSError as error:
        raise StartError(f"the log {file} cannot be written: {error.strerror}") from None


def log_target() -> str:
    """Return where the log is, for people."""
    handlers = logging.getLogger().handlers
    match handlers[0] if handlers else None:
        case logging.FileHandler(baseFilename=file):
            return file
        case _SystemLog(tag=tag):
            return f"the system's log: `journalctl --identifier='{tag}'`, or /var/log/syslog"
    if "JOURNAL_STREAM" in os.environ:
        return f"the journal: `journalctl _PID={os.getpid()}`"
    return "standard error of the daemon"


def log_to_system(interface: str) -> None:
    """Log to the system's log from now on; lines are lost on a host without one."""
    logging.getLogger().handlers[:] = [_SystemLog(f"wgpyd({interface})")]


class _SystemLog(logging.Handler):
    """syslog(3) without a thread and state: a datagram per line, dropped if the log does not accept it."""

    def __init__(self, tag: str) -> None:
        super().__init__()
        self.tag = tag

    def emit(self, record: logging.LogRecord) -> None:
        severity = next((number for level, number in _SEVERITIES if record.levelno >= level), 7)
        line = f"<{_SYSLOG_DAEMON | severity}>{self.tag}[{os.getpid()}]: {self.format(record)}"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as log:
                log.sendto(line.encode(), _SYSLOG_ADDRESS)
        except OSError:
            pass
