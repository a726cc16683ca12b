"""Configuration files of tunnels: where a file is, which file an interface has, how a file is saved.

`up` records the file of an interface as a symbolic link in RECORDS until `down`. So a name finds a file that
is not in /etc/wireguard, and what is left of an interface whose daemon has ended has a name.
"""

import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from wgpy import endpoint_names
from wgpy.cli.changes import warn
from wgpy.cli.errors import CommandError
from wgpy.config import Config, write
from wgpy.host.disk import sync_folder

CONFIG_DIRECTORY: Final = Path("/etc/wireguard")
RECORDS: Final = Path(endpoint_names.FOLDER)
_INTERFACE_NAME: Final = re.compile(r"[a-zA-Z0-9_=+.-]{1,15}")


def find_config(name_or_file: str) -> tuple[str, Path]:
    """Return the interface and the file that `up` was given. Raises CommandError."""
    if "/" in name_or_file or name_or_file.endswith(".conf"):
        path = Path(name_or_file)
        interface = path.name.removesuffix(".conf")
        if interface == path.name:
            raise CommandError(f"{path} must be named after its interface, as in wg0.conf")
    else:
        interface = name_or_file
        path = CONFIG_DIRECTORY / f"{interface}.conf"
    if not _INTERFACE_NAME.fullmatch(interface) or interface in (".", ".."):
        raise CommandError(
            f"`{interface}` cannot name an interface: want 1 to 15 letters, digits and the characters _=+.-"
        )
    return interface, path


def find_running(name_or_file: str) -> tuple[str, Path]:
    """Return the same for what is up: a name means the file that `up` was given. Raises CommandError."""
    interface, path = find_config(name_or_file)
    if interface == name_or_file and is_recorded(interface):
        return interface, _record(interface).readlink()
    return interface, path


def record(interface: str, path: Path) -> None:
    with suppress(OSError):
        _record(interface).unlink()
    with suppress(OSError):
        RECORDS.mkdir(mode=0o700, exist_ok=True)
        _record(interface).symlink_to(path.absolute())


def is_recorded(interface: str) -> bool:
    with suppress(OSError):  # RECORDS is root's
        return _record(interface).is_symlink()
    return False


def forget(interface: str) -> None:
    endpoint_names.write_names(interface, {})
    with suppress(OSError):
        _record(interface).unlink()


def _record(interface: str) -> Path:
    return RECORDS / f"{interface}.conf"


def save(path: Path, config: Config) -> None:
    """Replace the file atomically and durably. Raises CommandError."""
    target = path.resolve()
    try:
        descriptor, name = tempfile.mkstemp(
            prefix=path.name, dir=target.parent
        )  # readable by its owner alone
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(write(config).encode(errors="surrogateescape"))
                file.flush()
                os.fsync(descriptor)
            temporary.replace(target)
        except BaseException:
            temporary.unlink()
            raise
        sync_folder(target.parent)
    except OSError as error:
        raise CommandError(f"{path} cannot be saved: {error.strerror}") from None


def warn_if_others_can_read(path: Path) -> None:
    with suppress(OSError):
        if path.stat().st_mode & path.absolute().parent.stat().st_mode & 0o007:
            warn(f"everybody on this host can read {path}; try `chmod 600 {path}`")
