"""Asks and changes the firewall by `nft`, and reads why it refuses. nft(8)"""

from wgpy.contract.errors import WgpyError

from .iproute import read_reason
from .program import run_program


class NftFailed(WgpyError):
    """The message is the reason."""


def change_nft(script: str) -> None:
    """Make all changes of a script, or none. Raises NftFailed."""
    done = run_program(["nft", "-f", "-"], script)
    if done.returncode:
        raise NftFailed(f"`nft` failed: {read_reason(done.stderr)}")


def list_table(table: str) -> str:
    """Return nft's text of a table, "" if it is not there. table: with its family."""
    done = run_program(["nft", "list", "table", *table.split()])
    return "" if done.returncode else done.stdout


def removal(table: str) -> str:
    """For `nft -f`. Added first, as deleting a missing table is an error."""
    return f"add table {table}\ndelete table {table}\n"
