"""Endpoints that are names: those of a configuration, and the file by which `wgpy up` tells a daemon of them.

The configuration protocol has addresses alone; so a daemon that is to look names up again reads them here.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from wgpy.address import HostPort, is_address, parse_host_port
from wgpy.keys import PublicKey

if TYPE_CHECKING:  # a daemon does without
    from wgpy.config import Config

FOLDER: Final = "/run/wgpy"

Names = Mapping[PublicKey, HostPort]


def names_of(config: "Config") -> Names:
    """Return those of the peers whose endpoint is a name."""
    return {
        peer.public_key: peer.endpoint
        for peer in config.peers
        if peer.endpoint and not is_address(peer.endpoint.host.partition("%")[0])
    }


def read_names(interface: str, folder: str | os.PathLike[str] = FOLDER) -> Names:
    """Return what was written; nothing where there is no file, or one that cannot be read."""
    try:
        with open(_file(interface, folder)) as file:
            lines = [line.split() for line in file]
        return {PublicKey(key): parse_host_port(target) for key, target in lines}
    except (OSError, ValueError):
        return {}


def write_names(interface: str, names: Names, folder: str | os.PathLike[str] = FOLDER) -> None:
    """Replace what is there; no names are no file. A file that cannot be written is as none."""
    path = _file(interface, folder)
    with suppress(OSError):
        if not names:
            os.unlink(path)
            return
        os.makedirs(folder, mode=0o700, exist_ok=True)
        temporary = f"{path}.new"
        with open(temporary, "w") as file:
            file.writelines(f"{key} {target}\n" for key, target in names.items())
        os.replace(temporary, path)  # as a whole or not at all


def _file(interface: str, folder: str | os.PathLike[str]) -> str:
    return os.path.join(folder, f"{interface}.names")
