"""Runs a program of the host, whose failures are its own words or ours, and never an exception."""

import subprocess
from collections.abc import Sequence
from typing import Final

from . import own_programs

_TIMEOUT: Final = 60.0  # seconds, also on a busy host: what is killed halfway may have changed something


def run_program(command: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
    """Return what came of it; of one that cannot be run, or does not end, 1 and the reason. text: its input.

    A coroutine calls it in a thread: it may take long, and uvloop fails to write to a process that has ended.
    """
    try:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, errors="replace",
        ) as program:  # fmt: skip
            return _finished(program, text)
    except subprocess.TimeoutExpired:
        reason = f"it did not end within {_TIMEOUT:.0f} s"
    except FileNotFoundError:
        reason = "it is not installed"
    except OSError as error:
        reason = f"it cannot be run: {error.strerror}"
    return subprocess.CompletedProcess(command, 1, "", reason)


def _finished(program: subprocess.Popen[str], text: str) -> subprocess.CompletedProcess[str]:
    """Raises TimeoutExpired."""
    own_programs.note(program.pid)
    try:
        output, complaints = program.communicate(text, _TIMEOUT)
    except BaseException:
        program.kill()
        raise
    finally:
        own_programs.note(program.pid)
    return subprocess.CompletedProcess(program.args, program.returncode, output, complaints)
