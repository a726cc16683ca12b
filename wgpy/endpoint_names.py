"""Endpoints that are names: those of a configuration, and the file by which `wgpy up` tells a daemon of them.

The configuration protocol has addresses alone; so a daemon that is to look names up again reads them here.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wgpy.address import HostPort, is_address, parse_host_port
from wgpy.keys import PublicKey

if TYPE_CHECKING:  # a daemon does without
    from wgpy.config import Config

FOLDER: Final = Path("/run/wgpy")

Names = Mapping[PublicKey, HostPort]


def names_of(config: "Config") -> Names:
    """Return those of the peers whose endpoint is a name."""
    return {
        peer.public_key: peer.endpoint
        for peer in config.peers
        if peer.endpoint and not is_address(peer.endpoint.host.partition("%")[0])
    }


def read_names(interface: str, folder: Path = FOLDER) -> Names:
    """Return what was written; nothing where there is no file, or one that cannot be read."""
    try:
        lines = [line.split() for line in (folder / _file(interface)).read_text().splitlines()]
        return {PublicKey(key): parse_host_port(target) for key, target in lines}
    except (OSError, ValueError):
        return {}


def write_names(interface: str, names: Names, folder: Path = FOLDER) -> None:
    """Replace what is there; no names are no file. A file that cannot be written is as none."""
    file = folder / _file(interface)
    with suppress(OSError):
        if not names:
            file.unlink()
            return
        folder.mkdir(mode=0o700, exist_ok=True)
        temporary = file.with_suffix(".new")
        temporary.write_text("".join(f"{key} {target}\n" for key, target in names.items()))
        os.replace(temporary, file)  # noqa: PTH105 - as a whole or not at all


def _file(interface: str) -> str:
    return f"{interface}.names"
