"""Asks and changes the firewall by `nft`, and reads why it refuses. nft(8)"""

import subprocess
from typing import Final

from wgpy.contract.errors import WgpyError

from .iproute import read_reason

_TIMEOUT: Final = 10.0  # seconds


class NftFailed(WgpyError):
    """The message is the reason."""


def change_nft(script: str) -> None:
    """Make all changes of a script, or none. Raises NftFailed."""
    done = _nft(["-f", "-"], script)
    if done.returncode:
        raise NftFailed(f"`nft` failed: {read_reason(done.stderr)}")


def list_table(table: str) -> str:
    """Return nft's text of a table, "" if it is not there. table: with its family."""
    done = _nft(["list", "table", *table.split()])
    return "" if done.returncode else done.stdout


def removal(table: str) -> str:
    """For `nft -f`. Added first, as deleting a missing table is an error."""
    return f"add table {table}\ndelete table {table}\n"


def _nft(arguments: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
    command = ["nft", *arguments]
    try:
        return subprocess.run(
            command, input=text, capture_output=True, text=True, errors="replace", check=False,
            timeout=_TIMEOUT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"it did not end within {_TIMEOUT:.0f} s")
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 1, "", "it is not installed")
    except OSError as error:
        return subprocess.CompletedProcess(command, 1, "", f"it cannot be run: {error.strerror}")
