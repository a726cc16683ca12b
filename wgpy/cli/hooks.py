"""A hook of a wg-quick file as the script of a shell, with the variables that wg-quick's hooks see.

Pure. wg-quick evaluates a hook within its own bash, so a hook may use its variables, most often `$INTERFACE`
and `${ADDRESSES[0]}`, and its function `cmd`; a command that fails ends the hook. A shell that is not bash
has no arrays: there a list is one word, with spaces between its items.
"""

import shlex
from pathlib import Path
from typing import Final

from wgpy.config import Config, wg_text

Variables = dict[str, str | tuple[str, ...]]

_BASH: Final = "set -e -o pipefail\nshopt -s extglob\nexport LC_ALL=C"
_OTHER: Final = "set -e\nexport LC_ALL=C"
_FUNCTIONS: Final = """\
cmd() { "$@"; }
die() { echo "$PROGRAM: $*" >&2; exit 1; }"""


def variables(interface: str, path: Path, config: Config) -> Variables:
    """Return wg-quick's variables. path: of the configuration file."""
    return {
        "PROGRAM": "wgpy",
        "INTERFACE": interface,
        "CONFIG_FILE": str(path.resolve()),
        "WG_CONFIG": wg_text(config),
        "ADDRESSES": tuple(map(str, config.addresses)),
        "DNS": config.dns,
        "DNS_SEARCH": config.dns_search,
        "MTU": "" if config.mtu is None else str(config.mtu),
        "TABLE": config.table or "",
        "SAVE_CONFIG": str(int(config.save_config)),
        "PRE_UP": config.pre_up,
        "POST_UP": config.post_up,
        "PRE_DOWN": config.pre_down,
        "POST_DOWN": config.post_down,
    }


def script(command: str, given: Variables, *, bash: bool) -> str:
    """Return what the shell runs; %i in the command is the interface. bash: whether the shell is one."""
    assignments = (f"{name}={_value(value, bash=bash)}" for name, value in given.items())
    filled = shlex.quote(command.replace("%i", str(given["INTERFACE"])))
    return "\n".join(
        [_BASH if bash else _OTHER, "export LC_ALL=C", *assignments, _FUNCTIONS, f"eval {filled}"]
    )


def _value(value: str | tuple[str, ...], *, bash: bool) -> str:
    if isinstance(value, str):
        return shlex.quote(value)
    return f"({shlex.join(value)})" if bash else shlex.quote(" ".join(value))
