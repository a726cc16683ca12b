"""An ordinary user of a host, who may run Python and open /dev/net/tun, as on most hosts."""

import sys
from collections.abc import Iterator
from pathlib import Path

from tests.integration.hosts import Host, HostProcess, Result

USER = 65534
_PROJECT = Path(__file__).parents[2]
_FOR_ALL = 0o005
AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--inh-caps=-all",
           "--bounding-set=-all", "--")  # fmt: skip
_SETUP = """
set -e
mkdir -m 777 /run/user
mount -t tmpfs -o mode=755 tmpfs /dev/net
mknod -m 666 /dev/net/tun c 10 200
"""
_OPEN_FOLDER = """
mkdir {hidden}
mount --rbind {folder} {hidden}
mount -t tmpfs -o mode=755 tmpfs {folder}
"""
_SHOW = """
mkdir -p {folder}/{child}
mount --rbind {hidden}/{child} {folder}/{child}
"""


def admit(host: Host) -> None:
    """Let the user in: here Python may be in root's home, and /dev/net/tun root's alone."""
    host.run("sh", "-c", _SETUP + "".join(_openings()))


def write_for_user(host: Host, name: str, text: str) -> str:
    """Write a file that this user alone can read, and return its path."""
    path = host.write(f"/run/user/{name}", text)
    host.run("chown", str(USER), path)
    return path


def attempt_as_user(host: Host, *command: str) -> Result:
    return host.attempt("env", "--chdir=/run/user", *AS_USER, *command)


def start_as_user(host: Host, *command: str) -> HostProcess:
    return host.start("env", "--chdir=/run/user", *AS_USER, *command)


def _openings() -> Iterator[str]:
    """Give what makes folders passable that are closed to others, without what else is in them."""
    shown: dict[Path, dict[str, None]] = {}
    for needed in (Path(sys.executable), Path(sys.executable).resolve(), Path(sys.prefix), _PROJECT):
        for folder in reversed(needed.parents):
            if folder.stat().st_mode & _FOR_ALL != _FOR_ALL:
                shown.setdefault(folder, {})[needed.relative_to(folder).parts[0]] = None
    for number, (folder, children) in enumerate(shown.items()):
        hidden = f"/run/hidden{number}"
        yield _OPEN_FOLDER.format(folder=folder, hidden=hidden)
        for child in children:
            yield _SHOW.format(folder=folder, hidden=hidden, child=child)
