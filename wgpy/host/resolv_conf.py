"""/etc/resolv.conf, and the lines in it that are ours. resolv.conf(5)

Invariant: ours are two lines for each network, the first of which names the network and the second's address.
So they can be taken out after a crash, too, and whatever others write into the file stays as they write it.
"""

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

PATH: Final = Path("/etc/resolv.conf")
_MAX_SIZE: Final = 1 << 16  # bytes
_MARK: Final = re.compile(r"# wgpy mesh (\S+) (\S+): .*\n?")
_LOCAL: Final = "127.0.0.1"  # where a file without name servers leads


def with_server(text: str, network: str, address: str) -> str:
    """Return the file with a network's name server before all others."""
    rest = without_server(text, network)
    mark = f"# wgpy mesh {network} {address}: `wgpy mesh down` or `leave` takes out this line and the next"
    return f"{mark}\nnameserver {address}\n{rest}"


def without_server(text: str, network: str) -> str:
    """Return the file without the lines of a network."""
    return "".join(line for line, owner, _ in _owned_lines(text) if owner != network)


def servers(text: str) -> list[str]:
    """Return the addresses of all name servers."""
    return [server for line in text.splitlines() for server in _servers(line)]


def foreign_servers(text: str) -> list[str]:
    """Return the addresses of name servers that are nobody's of ours."""
    found = [server for line, owner, _ in _owned_lines(text) if not owner for server in _servers(line)]
    return found or [_LOCAL]


def mesh_servers(text: str) -> dict[str, str]:
    """Return the addresses of our name servers, by network."""
    return {owner: address for _, owner, address in _owned_lines(text) if owner}


def read(path: Path = PATH) -> str:
    """Return what the file says, "" if it cannot be read."""
    with suppress(OSError):
        return path.read_text(errors="surrogateescape")
    return ""


def edit(change: Callable[[str], str], path: Path = PATH) -> None:
    """Change the file in its place, as it may be a link or a mount. Raises OSError.

    It is locked meanwhile, as there may be other networks on this host.
    """
    if change(before := read(path)) == before:
        return
    fd = _open(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        text = os.pread(fd, _MAX_SIZE, 0).decode(errors="surrogateescape")
        data = change(text).encode(errors="surrogateescape")
        os.pwrite(fd, data, 0)
        os.ftruncate(fd, len(data))
    finally:
        os.close(fd)


def _open(path: Path) -> int:
    """Open it for change; where there is none, one that all can read, whatever the umask. Raises OSError."""
    flags = os.O_RDWR | os.O_CLOEXEC
    with suppress(FileNotFoundError):
        return os.open(path, flags)
    fd = os.open(path, flags | os.O_CREAT, 0o644)
    os.fchmod(fd, 0o644)
    return fd


def _owned_lines(text: str) -> Iterator[tuple[str, str, str]]:
    """Give each line with the network that owns it and its address, "" for those of others."""
    network = address = ""
    for line in text.splitlines(keepends=True):
        if mark := _MARK.fullmatch(line):
            network, address = mark[1], mark[2]
            yield line, network, address
        elif address and list(_servers(line)) == [address]:
            yield line, network, address
            network = address = ""
        else:
            network = address = ""
            yield line, "", ""


def _servers(line: str) -> Iterator[str]:
    words = line.split()
    if words[:1] == ["nameserver"] and len(words) > 1:
        yield words[1]
